"""An encoder that changes each photograph on its way into another encoder."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.base import Encoder, ImageFeatures

__all__ = ["ChangedEncoder"]


class ChangedEncoder(Encoder):
    """Another encoder's features of changed photographs; a subclass says how they are changed, in `prepare`.

    The change is part of the fingerprint, so that its features have a bank of their own.

    Parameters
    ----------
    encoder : Encoder
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.name, self.preparation, self.precision = encoder.name, encoder.preparation, encoder.precision
        self.device, self.engine, self.local_map = encoder.device, encoder.engine, encoder.local_map

    @property
    @abstractmethod
    def change(self) -> dict[str, Any]:
        """What is changed, as the fingerprint has it."""

    @property
    def feature_dims(self) -> dict[str, int]:
        """Those of the encoder."""
        return self.encoder.feature_dims

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The encoder's, with the change."""
        return {**self.encoder.fingerprint, **self.change}

    def encode_prepared(self, batch: NDArray[np.float32]) -> ImageFeatures:
        """Encode as the encoder does."""
        return self.encoder.encode_prepared(batch)

    def encode_with_map(self, batch: NDArray[np.float32]) -> ImageFeatures:
        """Encode as the encoder does."""
        return self.encoder.encode_with_map(batch)
