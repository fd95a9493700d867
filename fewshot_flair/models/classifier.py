"""An encoder's image tower and a fitted head as one torch network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.namespaces import to_numpy
from fewshot_flair.encoders.graphs import Vision
from fewshot_flair.encoders.tower import TowerEncoder

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Images to logits and the feature that they are of; the head computes as it does elsewhere, in torch's arrays.

    Parameters
    ----------
    place : int
        Which of the encoder's features the head takes.
    head : Head
        Of one episode.
    """

    def __init__(self, encoder: TowerEncoder, place: int, head: Head) -> None:
        super().__init__()
        self.vision, self.place, self.head = Vision(encoder._vision, encoder.forward), place, head
        self.names = list(head.arrays())
        for name in self.names:
            array = torch.from_numpy(np.array(to_numpy(head.arrays()[name])))
            self.register_buffer(f"head_{name}", array)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels float32 [B, 3, S, S] to logits [B, C] and the feature [B, D], both float32."""
        feature = self.vision(image)[self.place]
        arrays = {name: getattr(self, f"head_{name}") for name in self.names}
        head = replace(self.head, **arrays)
        kind = next(array.dtype for array in arrays.values() if array.is_floating_point())
        return head._logits(feature.to(kind))[0].float(), feature
