"""The last stage only: what comes before stays as it was trained.

Yosinski et al., "How Transferable are Features in Deep Neural Networks?", NeurIPS 2014; Lee et al., "Surgical
Fine-Tuning Improves Adaptation to Distribution Shifts", ICLR 2023, on which layers suit which shift.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from fewshot_flair.errors import InputError
from fewshot_flair.finetuning.base import METHODS, FineTuning, switch_on

BLOCK = re.compile(r"(.*\.)?(layer\d+|(blocks|layers?|stages)\.\d+)$")
"""What blocks are called: ``layer4`` of ResNets; ``blocks.11``, ``layers.11``, ``stages.3`` of others."""


@METHODS.register
@dataclass(frozen=True)
class LastStage(FineTuning):
    """The last quarter of the blocks (layer4 of a ResNet, 3 of a ViT's 12) and all that follows them."""

    rate: float = 3e-4

    name = "last-stage"
    summary = "the last quarter of the tower's blocks, what follows them, and the head"
    paper = "Lee et al., Surgical Fine-Tuning Improves Adaptation to Distribution Shifts, ICLR 2023"

    def choose(self, tower: nn.Module) -> None:
        """The parameters from the first block of the last quarter on."""
        found = [name for name, _ in tower.named_modules() if BLOCK.match(name)]
        if not found:
            raise InputError(
                "last-stage: this tower has no stages or blocks that are known; take full or lora"
            )
        depth = min(name.count(".") for name in found)  # blocks of the outermost kind
        blocks = [name for name in found if name.count(".") == depth]
        first = blocks[len(blocks) - -(-len(blocks) // 4)] + "."
        names = [name for name, _ in tower.named_parameters()]
        start = next(i for i, name in enumerate(names) if name.startswith(first))
        switch_on(p for i, p in enumerate(tower.parameters()) if i >= start)
