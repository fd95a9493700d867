"""Whether two figures of the same things rise together, by ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.intervals import Estimate, weighted_bootstrap

__all__ = ["spearman_with_interval"]

FEWEST = 3
"""Of two things the rank correlation is 1 or -1 whatever they are."""


def spearman_with_interval(
    x: ArrayLike,
    y: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Spearman's rank correlation, and a percentile bootstrap over what was measured.

    Ties share their mean rank. Ranks are made anew in each resample; one that has a single value of `x` or `y`
    is left out.

    Parameters
    ----------
    x, y : array-like of shape (n,)
        Such as pre-training frequency and recall of n classes; rows with NaN are left out.
    clusters : array-like of shape (n,), optional
        What is drawn together, such as the concept of each class; by default each row alone.

    Returns
    -------
    Estimate
        NaN all with fewer than three clusters, or where `x` or `y` never differs.

    Raises
    ------
    InputError
        If the lengths differ.

    References
    ----------
    Spearman, The Proof and Measurement of Association between Two Things, American Journal of Psychology 15, 1904.
    Davison and Hinkley, *Bootstrap Methods and their Application*, 1997.

    Examples
    --------
    >>> spearman_with_interval([1, 10, 100, 1000], [0.1, 0.3, 0.2, 0.8]).value
    0.8
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (x, y))
    groups = np.arange(len(first)) if clusters is None else np.asarray(clusters)
    if first.ndim != 1 or not first.shape == second.shape == groups.shape:
        raise InputError(
            f"rank correlation: {first.shape} and {second.shape} values in {groups.shape} clusters; give one of each"
        )
    known = ~(np.isnan(first) | np.isnan(second))
    first, second, groups = first[known], second[known], groups[known]
    method = "bootstrap" if clusters is None else "bootstrap over clusters"
    if len(np.unique(groups)) < FEWEST:
        return Estimate(float("nan"), float("nan"), float("nan"), method)

    def correlation(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _weighted_correlation(_ranks(first, weights), _ranks(second, weights), weights)

    value = float(correlation(np.ones((1, len(first))))[0])
    low, high = weighted_bootstrap(correlation, groups, resamples=resamples, confidence=confidence, seed=seed)
    return Estimate(round(value, 12), low, high, method)


def _ranks(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean ranks, less a constant, of values of which each is there so many times: (B, n)."""
    below = (values[:, None] < values).astype(np.float64)
    same = (values[:, None] == values).astype(np.float64)
    return weights @ (below + same / 2)


def _weighted_correlation(
    a: NDArray[np.float64], b: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pearson's correlation of each row: (B,); NaN where one side never differs."""
    total = weights.sum(axis=1, keepdims=True)
    a, b = (part - (weights * part).sum(axis=1, keepdims=True) / total for part in (a, b))
    spread = (weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1)
    together = (weights * a * b).sum(axis=1)
    return np.divide(together, np.sqrt(spread), out=np.full(len(weights), np.nan), where=spread > 1e-12)
