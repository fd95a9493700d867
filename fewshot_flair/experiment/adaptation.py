"""One clinic, some adapters, some numbers of shots: what ``fewshot-flair adapt`` computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.scoring import AdapterSpec, Outcome, evaluate_adapter

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from fewshot_flair.adapters import Adapter
    from fewshot_flair.episodes import Episodes
    from fewshot_flair.experiment.clinic import EncodedClinic

__all__ = [
    "DEFAULT_ADAPTERS",
    "WITHOUT_TEXT",
    "Adaptation",
    "draw_supports",
    "run_adaptation",
    "usable_adapters",
]

DEFAULT_ADAPTERS = ("zero-shot", "lp", "logistic", "clip-adapter", "ss-text", "ss-text+")
WITHOUT_TEXT = ("ss",)
"""What joins the default adapters where there is no text, and so only `logistic` of them is left."""


@dataclass(frozen=True)
class Adaptation:
    """The outcomes of `run_adaptation`, one for each number of shots and adapter, in that order."""

    clinic: EncodedClinic
    shots: list[int]
    scenario: str
    outcomes: dict[tuple[int, str], Outcome]
    support: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    @property
    def results(self) -> pd.DataFrame:
        """One row for each shots, adapter and seed, with the metrics of `result_columns`."""
        import pandas as pd

        rows = [
            {
                "adapter": label,
                "shots": shots,
                "scenario": self.scenario,
                **row,
                "fit_seconds": done.fit_seconds,
            }
            for (shots, label), done in self.outcomes.items()
            for row in done.rows
        ]
        return pd.DataFrame(rows)

    def best(self) -> Outcome:
        """The adapter of the highest mean balanced accuracy at the most shots; the first of equals."""
        import numpy as np

        last = [outcome for (shots, _), outcome in self.outcomes.items() if shots == self.shots[-1]]
        return max(last, key=lambda outcome: np.nanmean([row["balanced_accuracy"] for row in outcome.rows]))


def usable_adapters(
    specs: Sequence[AdapterSpec], *, has_text: bool
) -> tuple[list[AdapterSpec], list[AdapterSpec]]:
    """Those that the encoder can serve, and those it cannot because it has no text tower.

    Raises
    ------
    InputError
        Where a name is unknown, an adapter is named twice, or none is left.
    """
    from fewshot_flair.adapters import create_adapter, get_adapter_class

    labels = [spec.label for spec in specs]
    for spec in specs:
        get_adapter_class(spec.name)
        if not get_adapter_class(spec.name).needs_tower:
            create_adapter(spec.name, **spec.params)  # says which parameter is unknown
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(f"adapter {twice[0]!r} is named twice")
    usable = [spec for spec in specs if has_text or not get_adapter_class(spec.name).needs_text]
    left_out = [spec for spec in specs if spec not in usable]
    if not usable:
        raise InputError(
            f"none of {', '.join(labels)} works with an encoder that has no text tower; "
            "try --adapter logistic (see `fewshot-flair adapters`)"
        )
    return usable, left_out


def run_adaptation(
    clinic: EncodedClinic,
    specs: Sequence[AdapterSpec],
    *,
    shots: Sequence[int],
    scenario: str = "standard",
    seeds: int = 20,
    protocol: str = "fewshot-flair",
    allow_fewer: bool = False,
    unlabelled: int = 0,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Adaptation:
    """Fit and score every adapter on the same support sets.

    Parameters
    ----------
    shots : sequence of int
        Shots per class; each gives its own support sets.
    seeds : int
        Support sets are drawn for the seeds 0 … seeds − 1, the same for every adapter.
    unlabelled : int
        Training images an episode whose features, without labels, go to the adapters that use them.
    progress : callable
        Told the label of what is being fitted.
    """
    y = clinic.train.y
    # all draws first: a class too small is said before anything is fitted
    drawn = draw_supports(
        y,
        clinic.classes,
        shots,
        scenario,
        seeds,
        protocol=protocol,
        allow_fewer=allow_fewer,
        unlabelled=unlabelled,
    )
    outcomes = {}
    for k, episodes in drawn.items():
        for spec in specs:
            progress(f"{spec.label}, {k} shots")
            outcomes[k, spec.label] = evaluate_adapter(clinic, spec, episodes, device=device)
    support = {k: _support_range(episodes.indices, y, len(clinic.classes)) for k, episodes in drawn.items()}
    return Adaptation(clinic, sorted(drawn), scenario, outcomes, support)


def draw_supports(
    y: NDArray[np.int64],
    classes: Sequence[str],
    shots: Sequence[int],
    scenario: str,
    seeds: int,
    *,
    protocol: str = "fewshot-flair",
    allow_fewer: bool = False,
    unlabelled: int = 0,
) -> dict[int, Episodes]:
    """Support sets by number of shots, of the seeds 0 … seeds − 1.

    Raises
    ------
    InputError
        If there are fewer than two classes, or a class has too few images.
    """
    from fewshot_flair.episodes import EpisodeSampler

    if len(classes) < 2:
        raise InputError(
            f"there is only one class, {', '.join(classes)}; adapting is telling classes apart, and needs two"
        )
    return {
        k: EpisodeSampler(k, scenario, protocol=protocol, allow_fewer=allow_fewer).sample_many(
            y, range(seeds), classes=classes, unlabeled=unlabelled
        )
        for k in sorted(set(shots))
    }


def refit(clinic: EncodedClinic, spec: AdapterSpec, device: str = "cpu") -> Adapter:
    """The adapter fitted on every training row, for use on new photographs."""
    adapter = clinic.create(spec)
    features = clinic.train.read(clinic.feature_kind(adapter.features))
    labels = [clinic.classes[code] for code in clinic.train.y]
    return adapter.fit(features, labels)


def _support_range(indices, y, n_classes: int) -> list[tuple[int, int]]:  # type: ignore[no-untyped-def]
    import numpy as np

    counts = np.stack([np.bincount(y[rows], minlength=n_classes) for rows in indices])
    return [(int(low), int(high)) for low, high in zip(counts.min(axis=0), counts.max(axis=0), strict=True)]
