"""What fits say of a clinic's test rows: one adapter on many support sets."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.experiment.calibrating import draw_temperatures

if TYPE_CHECKING:
    from fewshot_flair.episodes import Episodes
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.spec import AdapterSpec

__all__ = ["Answers", "adapter_answers", "part_of"]

_warm: set[str] = set()
"""Adapters that this process has fitted before."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What B fits say of n test rows, and what they cost.

    Attributes
    ----------
    probabilities : float64 array of shape (B, n, C)
    seconds : float
        Wall time of all fits.
    trainable_parameters, bytes : int
        Numbers that one fit learns, and what must be kept of it.
    temperatures : float64 array of shape (B,), optional
        Of each fit, where these were asked for.
    columns : dict of str to list of B
        What else the results have of each fit.
    """

    probabilities: NDArray[np.float64]
    seconds: float
    trainable_parameters: int
    bytes: int
    temperatures: NDArray[np.float64] | None = None
    columns: dict[str, list[Any]] = field(default_factory=dict)


def part_of(episodes: Episodes, which: slice) -> Episodes:
    """Some of the episodes."""
    free = episodes.unlabeled
    return type(episodes)(
        episodes.seeds[which], episodes.indices[which], None if free is None else free[which]
    )


def adapter_answers(
    clinic: Clinic,
    spec: AdapterSpec,
    episodes: Episodes,
    labels: Sequence[NDArray[np.int64]],
    device: str = "cpu",
    *,
    calibrate: bool = False,
) -> Answers:
    """What an adapter that is fitted on each episode says of the test rows.

    Episodes share the pool's rows, unless their labels differ (label noise): then each brings its own.
    """
    from scipy.special import softmax

    from fewshot_flair.adapters import fit_episodes

    adapter = clinic.create(spec)
    kind = clinic.feature_kind(adapter.features)
    free = (episodes.unlabeled if adapter.uses_unlabeled else None) or ()
    blocks = [*episodes.indices, *free]
    ends = np.cumsum([len(rows) for rows in blocks])[:-1]
    pool = np.concatenate(blocks)
    known = np.concatenate(
        [clinic.train.y, np.zeros(0 if clinic.pool is None else len(clinic.pool), np.int64)]
    )
    y = np.concatenate([*labels, *(known[rows] for rows in free)])
    places = np.arange(len(pool))
    if np.array_equal(y, known[pool]):
        pool, places = np.unique(pool, return_inverse=True)
        y = known[pool]
    blocks = np.split(places, ends)
    n = len(episodes)
    local = type(episodes)(episodes.seeds, tuple(blocks[:n]), tuple(blocks[n:]) if free else None)
    X = clinic.learnable(kind, pool)
    if clinic.train.copies:
        X, y, local = _augmented(clinic, kind, pool, X, y, local)
    if adapter.name not in _warm and not adapter.needs_tower:
        # the first fit of a process loads libraries, which is not what a fit costs
        one = part_of(local, slice(1))
        fit_episodes(adapter, X, y, one, classes=range(len(clinic.classes)), device=device)
        _warm.add(adapter.name)
    began = time.perf_counter()
    fitted = fit_episodes(adapter, X, y, local, classes=range(len(clinic.classes)), device=device)
    seconds = time.perf_counter() - began
    probabilities = np.empty((n, len(clinic.test), len(clinic.classes)))
    copies = clinic.test.of_copies()
    for chunk in clinic.test.chunks():
        # of augmented copies the mean of the logits, as FLAIR's code takes it
        logits = sum(fitted.logits(rows.read(kind, chunk)).astype(np.float64) for rows in copies)
        probabilities[:, chunk] = softmax(logits / len(copies), axis=-1)
    cooled = None
    if calibrate:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what such a fit warns of was said of the whole one
            cooled = draw_temperatures(clinic, spec, episodes, labels, device)
    numbers = sum(int(np.prod(array.shape[1:])) for array in fitted.head.arrays().values())
    trained = numbers if adapter.needs_shots else 0
    return Answers(probabilities, seconds, trained, 4 * numbers, cooled)


def _augmented(
    clinic: Clinic,
    kind: str,
    pool: NDArray[np.int64],
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    episodes: Episodes,
) -> tuple[NDArray[np.float32], NDArray[np.int64], Episodes]:
    """Every support row in all its augmented copies and not as it is; unlabelled rows as they are."""
    n, copies = len(pool), clinic.train.of_copies()
    labelled = pool < len(clinic.train)  # of the clinic's pool there are no copies
    blocks = [X]
    for rows in copies:
        block = X.copy()
        block[labelled] = rows.read(kind, pool[labelled])
        blocks.append(block)
    support = tuple(
        np.concatenate([rows + (1 + c) * n for c in range(len(copies))]) for rows in episodes.indices
    )
    return (
        np.concatenate(blocks),
        np.tile(y, len(blocks)),
        type(episodes)(episodes.seeds, support, episodes.unlabeled),
    )
