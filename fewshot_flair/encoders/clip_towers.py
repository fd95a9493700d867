"""Vision towers with a linear projection, as CLIP's kind has."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["PooledTower", "ProjectedVision"]


class ProjectedVision(nn.Module):
    """A trunk and a bias-free projection: images to the trunk's feature and the embedding."""

    def __init__(self, trunk: nn.Module, width: int, out: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = nn.Linear(width, out, bias=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [B, 3, S, S] to [B, width] and [B, out], neither of unit length."""
        backbone = self.trunk(pixels)
        return backbone, self.projection(backbone)

    def with_map(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The trunk's feature [B, width] and its map [B, h, w, width], neither projected."""
        trunk: Any = self.trunk
        return trunk.with_map(pixels)


class PooledTower(nn.Module):
    """A tower of transformers, reduced to its pooled output."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, S, S] to [B, width]."""
        return self.tower(pixel_values=pixels).pooler_output.flatten(1)

    def with_map(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The pooled output [B, width], and the patches' tokens after the last norm, [B, h, w, width]."""
        out = self.tower(pixel_values=pixels)
        patches = self.tower.post_layernorm(out.last_hidden_state[:, 1:])
        side = round(patches.shape[1] ** 0.5)
        return out.pooler_output.flatten(1), patches.unflatten(1, (side, side))
