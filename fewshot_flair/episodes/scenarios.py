"""Scenarios: how many images of each class a clinic labels, given what its pool holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.words import nearest

__all__ = ["SCENARIOS", "Realistic", "Relaxed", "Scenario", "Standard", "resolve_scenario", "shared_out"]


class Scenario(Protocol):
    """Turns the pool's class counts into the counts of a support set.

    A scenario is a small frozen dataclass: its fields are its settings, and its `repr` is what a study
    records. Whatever is random in it comes from the episode's `seed`.
    """

    @property
    def name(self) -> str:
        """The word that options and tables use."""
        ...

    def counts(self, pool: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
        """Shots of each class.

        Parameters
        ----------
        pool : int64 array of shape (C,)
            Units (images, or patients) of each class that the pool holds.
        shots : int
            Shots a class; the budget is ``shots * C``.
        seed : int
            The episode's seed, for scenarios that draw their proportions.

        Returns
        -------
        int64 array of shape (C,)
        """
        ...


def shared_out(prevalence: NDArray[np.float64], budget: int, at_least: int, trim: bool) -> NDArray[np.int64]:
    """Share a budget of images among classes in proportion to their prevalence.

    ``round(budget * p_c)`` with ties to even, not less than `at_least`; `trim` then takes one image away
    from the (first) largest class until the sum is within the budget.
    """
    counts = np.maximum(np.round(budget * prevalence), at_least).astype(np.int64)
    while trim and counts.sum() > max(budget, at_least * len(counts)):
        counts[np.argmax(counts)] -= 1
    return counts


@dataclass(frozen=True)
class Standard:
    """As many shots of every class, as few-shot papers have it; a clinic would have to look for them."""

    name: ClassVar[str] = "standard"

    def counts(self, pool: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
        """``shots`` of every class."""
        return np.full(len(pool), shots, dtype=np.int64)


@dataclass(frozen=True)
class Relaxed:
    """The pool's proportions, with one shot of every class at least."""

    trim: bool = True
    name: ClassVar[str] = "relaxed"

    def counts(self, pool: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
        """``max(1, round(shots * C * p_c))``, trimmed to the budget ``shots * C``."""
        return shared_out(pool / pool.sum(), shots * len(pool), 1, self.trim)


@dataclass(frozen=True)
class Realistic:
    """The pool's proportions as they are: rare classes may get no shot at all."""

    trim: bool = True
    name: ClassVar[str] = "realistic"

    def counts(self, pool: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
        """``round(shots * C * p_c)``, trimmed to the budget ``shots * C``."""
        return shared_out(pool / pool.sum(), shots * len(pool), 0, self.trim)


SCENARIOS: dict[str, Scenario] = {s.name: s for s in (Standard(), Relaxed(), Realistic())}
"""The scenarios that have a name, by it."""


def resolve_scenario(scenario: str | Scenario) -> Scenario:
    """The scenario of a name, or the given one itself; unknown names say which exist."""
    if not isinstance(scenario, str):
        return scenario
    if scenario not in SCENARIOS:
        hint = nearest(scenario, SCENARIOS)
        raise InputError(
            f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}{'; ' * bool(hint)}{hint}"
        )
    return SCENARIOS[scenario]
