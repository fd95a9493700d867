"""The support sets of a study's cells: drawn once for a setting, whatever the adapter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.data.labels import misspelling_hints
from fewshot_flair.episodes import Episodes, EpisodeSampler, create_scenario
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import FLAIR_2025
from fewshot_flair.experiment.clinic import check_classes
from fewshot_flair.experiment.grid import ALL_SHOTS

if TYPE_CHECKING:
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.design import Study
    from fewshot_flair.experiment.sources import Sources

__all__ = ["check_draws", "draw", "sampler_of"]

_DRAWN: WeakKeyDictionary[Clinic, dict[str, Episodes]] = WeakKeyDictionary()


def sampler_of(
    study: Study,
    scenario: str | Mapping[str, Any],
    shots: int,
    classes: Sequence[str],
    y_test: NDArray[np.int64],
) -> EpisodeSampler:
    """The study's sampler for a setting."""
    described = create_scenario(scenario, classes, y_test)
    fewer = study.allow_fewer or shots == ALL_SHOTS
    # the protocol of FLAIR's tables draws nothing: its folds are the draw
    protocol = "fewshot-flair" if study.protocol == FLAIR_2025 else study.protocol
    return EpisodeSampler(shots, described, protocol=protocol, allow_fewer=fewer)


def check_draws(study: Study, name: str, sources: Sources) -> None:
    """Raise where a class has too few images for a setting, before anything is encoded."""
    train, test = sources.train, sources.test
    check_classes(train.classes)
    # of folds the first stands for all
    y = train.y[sources.folds[0][0]] if sources.folds else train.y
    if study.unit == "patient":
        return  # the draw itself tells of patients
    for scenario in study.scenarios:
        for shots in study.shots:
            try:
                sampler_of(study, scenario, shots, train.classes, test.y).sample_many(
                    y, study.seeds[:1], classes=train.classes
                )
            except InputError as error:
                counts = Counter([*train.frame["label"], *test.frame["label"]])
                hints = "".join(f"{hint}\n" for hint in misspelling_hints(counts))
                place = f"{name}: " if len(study.data) > 1 else ""
                raise InputError(f"{hints}{place}{error}") from error


def draw(
    study: Study, clinic: Clinic, scenario: str | Mapping[str, Any], shots: int, *, unlabelled: int | None
) -> Episodes:
    """Support sets of the study's seeds, with so many unlabelled rows (None: the whole pool, 0: none).

    Rows count through the clinic's training rows and then its pool, as in `Clinic.learnable`.
    """
    kept = _DRAWN.setdefault(clinic, {})
    key = repr((scenario, shots, unlabelled, study.seeds, study.protocol, study.allow_fewer, study.unit))
    if key not in kept:
        kept[key] = _draw(study, clinic, scenario, shots, unlabelled)
    return kept[key]


def _draw(
    study: Study, clinic: Clinic, scenario: str | Mapping[str, Any], shots: int, wanted: int | None
) -> Episodes:
    sampler = sampler_of(study, scenario, shots, clinic.classes, clinic.test.y)
    groups = np.unique(clinic.train.patients, return_inverse=True)[1] if study.unit == "patient" else None
    drawn = sampler.sample_many(clinic.train.y, study.seeds, classes=clinic.classes, groups=groups)
    if wanted == 0 or (wanted is None and clinic.pool is None):
        return drawn
    if clinic.pool is not None:
        return Episodes(drawn.seeds, drawn.indices, _of_pool(clinic, drawn.seeds, wanted))
    assert wanted is not None
    # the semi-supervised paper's code draws them at the test set's prevalence
    published = study.protocol == "sstext-2025"
    prevalence = np.bincount(clinic.test.y, minlength=len(clinic.classes)) if published else None
    return sampler.sample_many(
        clinic.train.y,
        study.seeds,
        classes=clinic.classes,
        unlabeled=wanted,
        groups=groups,
        prevalence=prevalence,
    )


def _of_pool(clinic: Clinic, seeds: Sequence[int], wanted: int | None) -> tuple[NDArray[np.int64], ...]:
    """Rows of the pool for each seed: all of them, or so many drawn anew."""
    assert clinic.pool is not None
    first, n = len(clinic.train), len(clinic.pool)
    if wanted is None or wanted >= n:
        return (np.arange(first, first + n),) * len(seeds)
    return tuple(first + np.random.default_rng([seed, n]).permutation(n)[:wanted] for seed in seeds)
