"""What is fine-tuned and where it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import DataSet, EncoderChoice
from fewshot_flair.experiment.spec import DEFAULT_ADAPTERS, AdapterSpec
from fewshot_flair.finetuning.base import FineTuning
from fewshot_flair.finetuning.settings import TuningSettings

__all__ = ["TuningPlan"]


@dataclass(frozen=True)
class TuningPlan:
    """What is trained and where it is measured.

    Parameters
    ----------
    data : DataSet
        What is trained on; its own test rows are the test side of the same distribution.
    methods : sequence of FineTuning
        Of `create_finetuning`.
    test_on, corruptions : sequence of str
        Other places, and what spoils the own test rows (see `read_sides`).
    adapters : sequence of AdapterSpec
        Frozen ones, fitted on the same rows and measured on the same sides.
    shots : sequence of int
        Photographs a class; ``ALL_SHOTS`` for all training rows.
    seeds : int
        Each draws its own photographs, order and augmentation.
    alphas : sequence of float
        Places on WiSE-FT's path that are measured; 1 is the fine-tuned network, 0 where it started.
    soups : bool
        Whether the seeds' networks are averaged, too. With few shots a soup has seen the photographs of all seeds, as
        its ``n_support`` says.
    save : bool
        Whether each network is saved for `load_encoder` (see `save_tuned`).
    """

    data: DataSet
    methods: Sequence[FineTuning]
    encoder: EncoderChoice = field(default_factory=lambda: EncoderChoice(name="mini"))
    test_on: Sequence[str] = ()
    corruptions: Sequence[str] = ()
    adapters: Sequence[AdapterSpec] = tuple(DEFAULT_ADAPTERS)
    shots: Sequence[int] = (16,)
    scenario: str = "standard"
    allow_fewer: bool = False
    seeds: int = 3
    alphas: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)
    soups: bool = False
    prompts: str = "expert"
    settings: TuningSettings = field(default_factory=TuningSettings)
    save: bool = False

    def __post_init__(self) -> None:
        labels = [*(each.label for each in self.methods), *(each.label for each in self.adapters)]
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise InputError(f"{twice!r} is there twice; name each method and adapter once")
        if not self.alphas or not all(0 <= alpha <= 1 for alpha in self.alphas):
            raise InputError("alphas must lie between 0 (the start) and 1 (the fine-tuned network)")
