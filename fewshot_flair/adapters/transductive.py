"""What transductive adapters are alike in: they learn from a pool without labels, with shots or without."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch

__all__ = ["TransductiveAdapter"]


class TransductiveAdapter(Adapter):
    """Base of adapters that learn from images without labels and have a variant without shots.

    A subclass takes ``zero_shot`` and lets `without_labels` take the shots away where it is set.
    """

    uses_unlabeled: ClassVar[bool] = True
    zero_shot: bool

    @property
    def needs_shots(self) -> bool:  # type: ignore[override]
        """Whether its answers depend on the labelled rows."""
        return not self.zero_shot

    def without_labels(self, batch: EpisodeBatch) -> EpisodeBatch:
        """The batch, with no labelled row left where `zero_shot` is set."""
        return replace(batch, weight=batch.xp.zeros_like(batch.weight)) if self.zero_shot else batch
