"""LoRA: a change of low rank for every convolution and every matrix of attention.

Hu et al., ICLR 2022: W + (alpha / rank) · B A, where B starts at zero; a kernel is a matrix (out, in · k · k).
Not by peft, which wraps models of transformers under new names: these towers keep theirs, and many are ResNets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fewshot_flair.finetuning.base import METHODS, FineTuning


class LowRank(nn.Module):
    """Adds ``scale · up @ down`` to a weight; nothing at first, as `up` is zero."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        out, rest = weight.shape[0], weight[0].numel()
        rank, self.scale = min(rank, out, rest), scale
        self.up = nn.Parameter(weight.new_zeros(out, rank))
        self.down = nn.Parameter(torch.randn(rank, rest, device=weight.device) / rest**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight."""
        return weight + (self.scale * self.up @ self.down).view_as(weight)


@METHODS.register
@dataclass(frozen=True)
class LoRA(FineTuning):
    """Changes of low rank, which are added to the weights when training is over."""

    rate: float = 1e-3
    rank: int = 4
    alpha: float = 4.0

    name = "lora"
    above_zero = ("rank", "alpha")
    summary = "a change of low rank for convolutions and attention, and the head"
    paper = "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022"

    def choose(self, tower: nn.Module) -> None:
        """Parametrise the weights of convolutions and of attention."""
        for name, module in list(tower.named_modules()):
            attends = isinstance(module, nn.Linear) and "att" in name.lower()
            if isinstance(module, nn.Conv2d) or attends:
                low = LowRank(module.weight, self.rank, self.alpha / self.rank)
                parametrize.register_parametrization(module, "weight", low)
                module.parametrizations.weight.original.requires_grad_(False)

    def finish(self, tower: nn.Module) -> None:
        """Add the changes to the weights, and leave plain modules."""
        for module in tower.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
