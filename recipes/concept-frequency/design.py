"""The experiment's design and its statistics: a Latin square of frequencies, and what a doubling of them does."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

__all__ = ["Effect", "doubling_effect", "latin_square"]


def latin_square(k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A cyclic square whose rows, columns and symbols are shuffled: each of 0 … k - 1 once a row and once a column.

    Returns
    -------
    int64 array of shape (k, k)
        Row: model; column: concept; entry: place on the ladder of counts.
    """
    cyclic = (np.arange(k)[:, None] + np.arange(k)) % k
    return rng.permutation(k)[cyclic[rng.permutation(k)][:, rng.permutation(k)]]


class Effect(NamedTuple):
    """What one doubling of a concept's photographs does to a figure.

    Attributes
    ----------
    slope : float
        Change of the figure by doubling, models and concepts held fixed.
    low, high : float
        95 % Student-t interval of the mean of the concepts' own slopes.
    p : float
        Of the randomisation test: the share of Latin squares with as large a slope, had they been drawn instead.
    by_concept : float64 array of shape (k,)
        The slope of each concept.
    """

    slope: float
    low: float
    high: float
    p: float
    by_concept: NDArray[np.float64]


def doubling_effect(
    figures: ArrayLike, square: ArrayLike, ladder: ArrayLike, *, draws: int = 9999, seed: int = 0
) -> Effect:
    """Least squares of ``figure = model + concept + slope · log2(photographs)`` over a Latin square, with its test.

    In a Latin square the logarithms are orthogonal to models and to concepts, so that the slope is the mean of the
    slopes of the concepts, each over the figures less their models' means.

    Parameters
    ----------
    figures : array-like of shape (k, k)
        Such as recall; row: model, column: concept.
    square : array-like of shape (k, k)
        As `latin_square` gives it.
    ladder : array-like of shape (k,)
        Photographs at each place of the ladder.
    draws : int
        Squares of the test, drawn as the experiment's was. If frequency did nothing, the figures would be the same
        whichever had been drawn (Fisher, The Design of Experiments, 1935).
    """
    y = np.asarray(figures, dtype=np.float64)
    y = y - y.mean(axis=1, keepdims=True)
    steps = np.log2(np.asarray(ladder, dtype=np.float64))
    steps = steps - steps.mean()
    spread = float(steps @ steps)
    k = len(y)

    def slopes(places: ArrayLike) -> NDArray[np.float64]:
        return (steps[np.asarray(places)] * y).sum(axis=-2) / spread

    own = slopes(square)
    slope = float(own.mean())
    half = float(t.ppf(0.975, k - 1) * own.std(ddof=1) / np.sqrt(k))
    others = slopes(_squares(k, draws, seed)).mean(axis=-1)
    as_large = int((np.abs(others) >= abs(slope) - 1e-12).sum())
    return Effect(slope, slope - half, slope + half, (1 + as_large) / (1 + draws), own)


@cache
def _squares(k: int, draws: int, seed: int) -> NDArray[np.int64]:
    """So many squares: (draws, k, k)."""
    rng = np.random.default_rng(seed)
    return np.stack([latin_square(k, rng) for _ in range(draws)])
