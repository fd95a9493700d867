"""Normalisation and biases only: a few thousand numbers.

Frankle, Schwab and Morcos, "Training BatchNorm and Only BatchNorm", ICLR 2021; Ben Zaken, Goldberg and Ravfogel,
"BitFit: Simple Parameter-efficient Fine-tuning", ACL 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from fewshot_flair.finetuning.base import METHODS, FineTuning, is_norm, switch_on


@METHODS.register
@dataclass(frozen=True)
class BNBias(FineTuning):
    """Gains and shifts of every normalisation, and every bias; running means and variances stay."""

    rate: float = 1e-3

    name = "bn-bias"
    summary = "gains and shifts of normalisations, every bias, and the head"
    paper = (
        "Frankle et al., Training BatchNorm and Only BatchNorm, ICLR 2021; Ben Zaken et al., BitFit, ACL 2022"
    )

    def choose(self, tower: nn.Module) -> None:
        """The parameters of normalisations, and those whose name ends in bias."""
        for module in tower.modules():
            own = module.named_parameters(recurse=False)
            switch_on(p for name, p in own if is_norm(module) or name.endswith("bias"))
