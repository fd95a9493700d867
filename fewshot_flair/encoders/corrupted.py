"""Features of spoilt photographs: an encoder that corrupts each photograph before it is prepared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.base import Encoder, ImageFeatures
from fewshot_flair.images.corruptions.base import Corruption
from fewshot_flair.images.preparation import ImageLike, prepare, read_image

__all__ = ["CorruptedEncoder"]


class CorruptedEncoder(Encoder):
    """An encoder of photographs that are corrupted first; the corruption is part of the fingerprint.

    Parameters
    ----------
    encoder : Encoder
    corruption : Corruption
        See `fewshot_flair.images.corruptions`.
    """

    def __init__(self, encoder: Encoder, corruption: Corruption) -> None:
        self.encoder, self.corruption = encoder, corruption
        self.name, self.preparation, self.precision = encoder.name, encoder.preparation, encoder.precision
        self.device, self.engine = encoder.device, encoder.engine

    @property
    def feature_dims(self) -> dict[str, int]:
        """Those of the encoder."""
        return self.encoder.feature_dims

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The encoder's, with the corruption, its numbers and its strength."""
        made = {"kind": self.corruption.label, "steps": list(self.corruption.steps)}
        return {**self.encoder.fingerprint, "corruption": made}

    def prepare(self, image: ImageLike) -> NDArray[np.float32]:
        """Corrupt a photograph and prepare it as the encoder does: float32 of shape (3, S, S)."""
        return prepare(self.corruption(read_image(image)), self.preparation)

    def encode_prepared(self, batch: NDArray[np.float32]) -> ImageFeatures:
        """Encode as the encoder does."""
        return self.encoder.encode_prepared(batch)
