"""Scenarios of particular clinics: a stated prevalence, one drawn around the pool's, a class never labelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.episodes.scenarios import Scenario, resolve_scenario, shared_out
from fewshot_flair.errors import InputError

__all__ = ["Dirichlet", "MissingClass", "Prevalence", "create_scenario"]


@dataclass(frozen=True)
class Prevalence:
    """A stated prevalence of the classes, such as another clinic's.

    Parameters
    ----------
    prevalence : tuple of C float
        Not negative; scaled to sum to 1.
    at_least : int
        Shots of every class at least.
    trim : bool
        Whether counts are trimmed to the budget where rounding went above it.
    """

    prevalence: tuple[float, ...]
    at_least: int = 0
    trim: bool = True
    name: ClassVar[str] = "prevalence"

    def __post_init__(self) -> None:
        values = np.asarray(self.prevalence, dtype=float)
        if values.ndim != 1 or not np.isfinite(values).all() or values.min() < 0 or not values.sum() > 0:
            raise InputError(f"prevalence {list(self.prevalence)}: give one number a class, none negative")

    def counts(self, pool: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
        """``round(shots * C * p_c)`` of the stated prevalence."""
        return self.shared(shots * len(pool), len(pool))

    def shared(self, budget: int, n_classes: int) -> NDArray[np.int64]:
        """``round(budget * p_c)``: int64 array of shape (C,)."""
        if len(self.prevalence) != n_classes:
            raise InputError(f"prevalence has {len(self.prevalence)} numbers for {n_classes} classes")
        p = np.asarray(self.prevalence, dtype=float)
        return shared_out(p / p.sum(), budget, self.at_least, self.trim)


@dataclass(frozen=True)
class Dirichlet:
    """Clinics that differ: each seed has a prevalence of its own, drawn around the pool's.

    Parameters
    ----------
    concentration : float
        Parameter of Dirichlet(concentration · p); the larger, the nearer to the pool's p.
    at_least : int
        Shots of every class at least.
    """

    concentration: float = 10.0
    at_least: int = 0
    name: ClassVar[str] = "dirichlet"

    def __post_init__(self) -> None:
        if not 1e-6 <= self.concentration <= 1e6:  # beyond, draws over- and underflow
            raise InputError(f"concentration is {self.concentration}; give a number from 0.000001 to 1000000")

    def counts(self, pool: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
        """Counts in the proportions that this seed draws; classes absent from the pool stay absent."""
        present = pool > 0
        p = np.zeros(len(pool))
        rng = np.random.default_rng([seed, len(pool)])
        p[present] = rng.dirichlet(np.maximum(self.concentration * pool[present] / pool.sum(), 1e-3))
        return shared_out(p, shots * len(pool), self.at_least, trim=True)


@dataclass(frozen=True)
class MissingClass:
    """Another scenario, in which nobody has labelled some classes.

    Parameters
    ----------
    missing : tuple of int
        Their columns.
    base : Scenario
        How the others are drawn, each keeping the count it had.
    """

    missing: tuple[int, ...]
    base: Scenario
    name: ClassVar[str] = "missing-class"

    def counts(self, pool: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
        """The base scenario's counts, 0 for the missing classes."""
        counts = self.base.counts(pool, shots, seed).copy()
        if max(self.missing, default=0) >= len(pool):
            raise InputError(f"missing class {max(self.missing)}: there are {len(pool)} classes")
        counts[list(self.missing)] = 0
        return counts


def create_scenario(
    described: str | Mapping[str, Any], classes: Sequence[str], y_test: NDArray[np.int64] | None = None
) -> Scenario:
    """A scenario from its name, or from a table as a study's file holds it.

    Parameters
    ----------
    described : str or mapping
        A name, or ``kind`` with its settings: ``{kind = "prevalence", prevalence = {class = number}}``
        (or a list, or "test": that of the test rows), ``{kind = "dirichlet", concentration = 10}``,
        ``{kind = "missing-class", missing = [class], base = "standard"}``; ``at_least`` with the first two,
        ``trim`` with the first; ``label`` is for tables.
    classes : sequence of C str
    y_test : int array of shape (n,), optional
        Test labels as columns, for ``prevalence = "test"``.

    Raises
    ------
    InputError
        If the kind, a setting or a class is unknown.

    Examples
    --------
    >>> create_scenario({"kind": "missing-class", "missing": ["severe"]}, ["none", "severe"])
    MissingClass(missing=(1,), base=Standard())
    """
    if isinstance(described, str):
        return resolve_scenario(described)
    settings = {key: value for key, value in described.items() if key not in ("kind", "label")}
    makers: dict[str, Callable[..., Scenario]] = {
        "prevalence": lambda prevalence, **rest: Prevalence(_vector(prevalence, classes, y_test), **rest),
        "dirichlet": Dirichlet,
        "missing-class": lambda missing, base="standard": MissingClass(
            tuple(_column(n, classes) for n in ([missing] if isinstance(missing, str) else missing)),
            create_scenario(base, classes, y_test),
        ),
    }
    kind = described.get("kind")
    if kind not in makers:
        raise InputError(f"scenario kind {kind!r}: there are {', '.join(makers)}, or a scenario's name")
    try:
        return makers[kind](**settings)
    except (TypeError, AttributeError) as error:
        raise InputError(f"scenario {kind!r}: {error}") from error


def _vector(
    prevalence: str | Mapping[str, float] | Sequence[float],
    classes: Sequence[str],
    y_test: NDArray[np.int64] | None,
) -> tuple[float, ...]:
    if prevalence == "test" and y_test is not None:
        return tuple(np.bincount(y_test, minlength=len(classes)).astype(float))
    if isinstance(prevalence, str):
        raise InputError(f'prevalence {prevalence!r}: give numbers, or "test" where there are test labels')
    if isinstance(prevalence, Mapping):
        for name in prevalence:
            _column(name, classes)
        prevalence = [prevalence.get(name, 0.0) for name in classes]
    try:
        return tuple(float(value) for value in prevalence)
    except ValueError as error:
        raise InputError(f"prevalence {list(prevalence)}: give numbers ({error})") from None


def _column(name: str, classes: Sequence[str]) -> int:
    if name not in classes:
        raise InputError(f"scenario: class {name!r} is not one of {list(classes)}")
    return list(classes).index(name)
