"""Full fine-tuning: every number of the vision tower, and the head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from fewshot_flair.finetuning.base import METHODS, FineTuning, switch_on


@METHODS.register
@dataclass(frozen=True)
class Full(FineTuning):
    """All of the tower from the zero-shot head, as in WiSE-FT's experiments."""

    name = "full"
    summary = "every number of the vision tower and the head"
    paper = "Wortsman et al., Robust Fine-Tuning of Zero-Shot Models (WiSE-FT), CVPR 2022"

    def choose(self, tower: nn.Module) -> None:
        """All parameters."""
        switch_on(tower.parameters())
