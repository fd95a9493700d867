"""A temperature for every support-set draw, from its own support rows out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.episodes.folds import FOLDS, fold_of_rows, inseparable, patient_folds
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.episodes import Episodes
    from fewshot_flair.evaluation.calibration import Calibration
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.spec import AdapterSpec

__all__ = ["calibrate_seen", "draw_temperatures"]


def draw_temperatures(
    clinic: Clinic,
    spec: AdapterSpec,
    episodes: Episodes,
    labels: Sequence[NDArray[np.int64]],
    device: str = "cpu",
) -> NDArray[np.float64]:
    """The temperature of each draw: (B,), 1 where its support rows are too few for one (see `calibrate`).

    The folds of all draws are the episodes of one fit.

    Parameters
    ----------
    labels : sequence of B int64 arrays
        Of the support rows, as the adapter is told them.
    """
    from fewshot_flair.adapters import fit_episodes

    adapter = clinic.create(spec)
    kind = clinic.feature_kind(adapter.features)
    groups = inseparable(clinic.train.patients, clinic.train.keys)
    free = (episodes.unlabeled if adapter.uses_unlabeled else None) or [np.zeros(0, np.int64)] * len(episodes)
    blocks = [*episodes.indices, *free]
    ends = np.cumsum([0, *map(len, blocks)])
    fits: list[NDArray[np.int64]] = []
    beside: list[NDArray[np.int64]] = []
    found = []
    for draw, (rows, y, seed) in enumerate(zip(episodes.indices, labels, episodes.seeds, strict=True)):
        parts = patient_folds(y, groups[rows], FOLDS, seed)
        found.append((slice(len(fits), len(fits) + len(parts)), parts))
        fits += [ends[draw] + fit for fit, _ in parts]
        beside += [np.arange(*ends[len(episodes) + draw :][:2])] * len(parts)
    temperatures = np.ones(len(episodes))
    if not fits:
        return temperatures
    X = clinic.learnable(kind, np.concatenate(blocks))
    y_all = np.concatenate([*labels, np.zeros(len(X) - ends[len(episodes)], np.int64)])
    fitted = fit_episodes(
        adapter,
        X,
        y_all,
        fits,
        unlabeled=beside if adapter.uses_unlabeled and episodes.unlabeled else None,
        classes=range(len(clinic.classes)),
        device=device,
    )
    for draw, (which, parts) in enumerate(found):
        if not parts:
            continue
        own = replace(fitted, head=fitted.head.take(which))
        predicted = own.logits(X[ends[draw] : ends[draw + 1]])
        fold = fold_of_rows(parts, predicted.shape[1])
        logits = predicted[fold, np.arange(len(fold))]
        temperatures[draw] = calibrate_seen(logits, labels[draw], fold)[0].temperature
    return temperatures


def calibrate_seen(
    logits: NDArray[np.floating], y: NDArray[np.int64], fold: NDArray[np.int64], *, class_wise: bool = False
) -> tuple[Calibration, NDArray[np.bool_]]:
    """Calibrate on the rows whose class their fit had seen, and say which these are: (n,).

    An adapter without text can never answer a class that it has not seen; such a row would ask for a temperature
    at which everything is equally likely.
    """
    from fewshot_flair.adapters.heads import NEVER
    from fewshot_flair.evaluation.calibration import Calibration, calibrate

    seen = logits[np.arange(len(y)), y] > NEVER / 2
    if not seen.any():
        none = (0.0,) * logits.shape[1]
        return Calibration(1.0, none, "not calibrated: too few patients for rows out of fold"), seen
    found = calibrate(logits[seen], y[seen], fold[seen], class_wise=class_wise)
    left = int((~seen).sum())
    if left:
        rule = f"{found.rule}; {counted(left, 'row')} left out, whose class their fit had not seen"
        found = replace(found, rule=rule)
    return found, seen
