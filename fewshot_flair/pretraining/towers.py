"""Both towers in one pass, in mixed precision where asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot_flair.encoders.flair_network import FLAIRNetwork

__all__ = ["Towers", "uses_bfloat16"]


class Towers(nn.Module):
    """Pixels and tokens to embeddings; what DistributedDataParallel wraps.

    Parameters
    ----------
    network : FLAIRNetwork
    bfloat16 : bool
        Compute the towers in bfloat16 by autocast; projections and what follows are in float32 always.
    """

    def __init__(self, network: FLAIRNetwork, *, bfloat16: bool) -> None:
        super().__init__()
        self.network, self._mixed = network, bfloat16

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels float [B, 3, S, S] in [0, 1], tokens [B, T] to unit embeddings [B, D] of both, and the temperature."""
        network = self.network
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self._mixed):
            backbone = network.vision_model.model(pixels)
            states = network.text_model.model(ids, mask)
        images = network.vision_model.projection_head_vision(backbone.float())
        return images, network.text_model.pool(states), network.scale()


def uses_bfloat16(precision: str, device: str) -> bool:
    """Whether a recipe's precision means bfloat16 on a device."""
    if precision != "auto":
        return precision == "bfloat16"
    return device.startswith("cuda") and torch.cuda.is_bf16_supported()
