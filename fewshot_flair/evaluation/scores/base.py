"""What a conformity score is: two functions of probabilities and uniform numbers."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.registry import OWN, Registry

__all__ = ["SCORES", "ConformityScore", "score_of"]

SCORES: Registry[ConformityScore] = Registry("conformal score")
"""All scores by name; its `register` adds a class of your own."""


@dataclass(frozen=True)
class ConformityScore:
    """Base of all scores; a large one says that the class does not fit."""

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    random: ClassVar[bool] = False
    """Whether it uses the uniform numbers."""

    def labelled(
        self, p: NDArray[np.float64], y: NDArray[np.int64], u: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Scores (..., n) of rows with their own labels: p (..., n, C), y (n,), u (n,)."""
        raise NotImplementedError

    def candidates(self, p: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores (..., n, C) of every class of rows without labels: p and u (..., n, C).

        A row's uniform numbers go by rank: the first belongs to its most probable class.
        """
        raise NotImplementedError


def score_of(name: str | ConformityScore, **parameters: Any) -> ConformityScore:
    """A score by its name and parameters; InputError names what is unknown."""
    if isinstance(name, ConformityScore):
        return name
    for module in ("lac", "aps", "raps"):
        importlib.import_module(f"fewshot_flair.evaluation.scores.{module}")
    cls = SCORES.get(name, OWN)
    try:
        return cls(**parameters)
    except TypeError as error:
        raise InputError(f"conformal score {name!r}: {error}") from error


def falling(p: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each class's rank by probability (0: the most probable), and the probability of all before it: (..., C)."""
    order = np.argsort(-p, axis=-1, kind="stable")
    ordered = np.take_along_axis(p, order, axis=-1)
    before, rank = np.empty_like(p), np.empty_like(order)
    np.put_along_axis(before, order, np.cumsum(ordered, axis=-1) - ordered, axis=-1)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(p.shape[-1]), p.shape), axis=-1)
    return rank, before


def before_labels(
    p: NDArray[np.float64], y: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What `falling` gives at the labels (n,), without sorting: (..., n)."""
    own = at_labels(p, y)[..., None]
    ahead = (p > own) | ((p == own) & (np.arange(p.shape[-1]) < y[:, None]))
    return ahead.sum(axis=-1), np.where(ahead, p, 0).sum(axis=-1)


def at_labels(values: NDArray[Any], y: NDArray[np.int64]) -> NDArray[Any]:
    """What `values` (..., n, C) has at the labels (n,): (..., n)."""
    return values[..., np.arange(len(y)), y]
