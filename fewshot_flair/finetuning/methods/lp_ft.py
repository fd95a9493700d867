"""LP-FT: a linear probe first, then full fine-tuning from it.

Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022: a head
that fits the frozen features already leaves the first steps little reason to bend them.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from fewshot_flair.finetuning.base import METHODS, FineTuning, switch_on


@METHODS.register
@dataclass(frozen=True)
class LPFT(FineTuning):
    """All of the tower from a head that was fitted to the frozen features."""

    start: str = "probe"

    name = "lp-ft"
    summary = "a linear probe of the frozen features, then everything from there"
    paper = "Kumar et al., Fine-Tuning can Distort Pretrained Features, ICLR 2022"

    def choose(self, tower: nn.Module) -> None:
        """All parameters."""
        switch_on(tower.parameters())
