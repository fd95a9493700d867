"""Features of spoilt photographs: an encoder that corrupts each photograph before it is prepared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.base import Encoder
from fewshot_flair.encoders.changed import ChangedEncoder
from fewshot_flair.images.corruptions.base import Corruption
from fewshot_flair.images.preparation import ImageLike, prepare, read_image

__all__ = ["CorruptedEncoder"]


class CorruptedEncoder(ChangedEncoder):
    """An encoder of photographs that are corrupted first; the corruption is part of the fingerprint.

    Parameters
    ----------
    encoder : Encoder
    corruption : Corruption
        See `fewshot_flair.images.corruptions`.
    """

    def __init__(self, encoder: Encoder, corruption: Corruption) -> None:
        super().__init__(encoder)
        self.corruption = corruption

    @property
    def change(self) -> dict[str, Any]:
        """The corruption, its numbers and its strength."""
        return {"corruption": {"kind": self.corruption.label, "steps": list(self.corruption.steps)}}

    def prepare(self, image: ImageLike) -> NDArray[np.float32]:
        """Corrupt a photograph and prepare it as the encoder does: float32 of shape (3, S, S)."""
        return prepare(self.corruption(read_image(image)), self.preparation)
