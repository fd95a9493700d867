"""Vision transformer with timm's tensor names.

Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from fewshot_flair.errors import InputError

__all__ = ["ViT", "ViTConfig"]


@dataclass(frozen=True)
class ViTConfig:
    """Shape of a ViT; heads are 64 wide in every published one.

    Parameters
    ----------
    image_size, patch_size, width, depth, hidden : int
        `hidden` is the width inside a block's perceptron.
    pool : {"token", "mean"}
        Feature: the class token after the last norm, or the normalised mean of the patches
        (``global_pool`` of masked auto-encoders' fine-tuning).
    """

    image_size: int
    patch_size: int
    width: int
    depth: int
    hidden: int
    pool: str = "token"

    @classmethod
    def from_shapes(
        cls, shape: Callable[[str, int], tuple[int, ...]], names: set[str], prefix: str, pool: str
    ) -> Self:
        """Read it from the shapes of a checkpoint's tensors, whose names begin with `prefix`."""
        width, _, patch, _ = shape(f"{prefix}patch_embed.proj.weight", 4)
        if width > 64 and width % 64:
            raise InputError(
                f"ViT: a width of {width} does not part into heads of 64; is it another model's file?"
            )
        side = round((shape(f"{prefix}pos_embed", 3)[1] - 1) ** 0.5)
        start = f"{prefix}blocks."
        depth = len({n.removeprefix(start).split(".")[0] for n in names if n.startswith(start)})
        hidden = shape(f"{prefix}blocks.0.mlp.fc1.weight", 2)[0]
        return cls(side * patch, patch, width, depth, hidden, pool)


class Attention(nn.Module):
    """Multi-head self-attention with one matrix for query, key and value."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // 64)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within [B, T, width]."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(x.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Transformer block, normalised before attention and before its perceptron."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, T, width] to the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))


class ViT(nn.Module):
    """Images [B, 3, S, S] to features [B, width]."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, patch = config.width, config.patch_size
        patches = (config.image_size // patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.ModuleList(Block(width, config.hidden) for _ in range(config.depth))
        self.pool = config.pool
        if config.pool == "token":
            self.norm = nn.LayerNorm(width, eps=1e-6)
        else:
            self.fc_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pooled features, neither projected nor of unit length."""
        return self._pooled(self._tokens(pixels))

    def with_map(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features [B, width], and those of the patches, [B, h, w, width].

        Of a mean of patches the norm is carried through with the mean's own deviation, so that the map's mean is
        the feature. Of a class token the patches' tokens after the last norm are given: they have no such tie.
        """
        x = self._tokens(pixels)
        pooled, patches = self._pooled(x), x[:, 1:]
        side = round(patches.shape[1] ** 0.5)
        if self.pool == "token":
            return pooled, self.norm(patches).unflatten(1, (side, side))
        norm, mean = self.fc_norm, patches.mean(dim=1, keepdim=True)
        deviation = (mean.var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
        carried = norm.weight * (patches - patches.mean(dim=-1, keepdim=True)) / deviation + norm.bias
        return pooled, carried.unflatten(1, (side, side))

    def _tokens(self, pixels: Tensor) -> Tensor:
        x = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x

    def _pooled(self, x: Tensor) -> Tensor:
        return self.norm(x)[:, 0] if self.pool == "token" else self.fc_norm(x[:, 1:].mean(dim=1))
