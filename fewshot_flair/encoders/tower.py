"""Encoders whose vision tower is a torch module: one pass for encoding, and for graphs of other engines."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.base import Encoder, ImageFeatures

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["TowerEncoder"]


class TowerEncoder(Encoder):
    """An encoder whose vision tower torch runs."""

    @property
    @abstractmethod
    def _vision(self) -> nn.Module:
        """The vision tower on its device, its weights read."""

    @abstractmethod
    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Pixels float32 [B, 3, S, S] on the device to the tensors of `ImageFeatures`, in their order."""

    def encode_prepared(self, batch: NDArray[np.float32]) -> ImageFeatures:
        """Encode images that `prepare` made, float32 [B, 3, S, S], to float32 features."""
        import torch

        from fewshot_flair.encoders.inference import frozen, to_numpy

        _ = self._vision  # loaded out here: what is loaded without gradients can never have them
        with frozen(self.device):
            found = self.forward(torch.from_numpy(batch).to(self.device))
        return ImageFeatures(*(to_numpy(feature) for feature in found))
