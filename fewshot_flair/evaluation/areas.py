"""Areas under the ROC and the precision–recall curve, of many classifiers or of many weightings of one at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_precision", "roc_area"]


def roc_area(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Area under the ROC curve: how often a positive row has the higher score; ties count half.

    Whole-number weights are counted exactly, so that a row of weight 2 is the same as that row twice.

    Parameters
    ----------
    positive : bool array of shape (n,)
    scores : float array of shape (B, n) or (n,)
    weights : float64 array of shape (B, n), optional
        How much each row counts, with scores of shape (n,); by default 1.

    Returns
    -------
    float64 array of shape (B,)
        NaN where there is no positive row, or no other.
    """
    values = np.atleast_2d(scores)
    order = values.argsort(axis=1)
    hits: NDArray[Any] = positive[order].astype(np.int64)
    misses: NDArray[Any] = 1 - hits
    first, last = _ties(np.take_along_axis(values, order, axis=1))
    if weights is None:
        below = misses.cumsum(axis=1)
        under = np.take_along_axis(below, last, axis=1) + np.take_along_axis(below - misses, first, axis=1)
    else:
        counted = weights[:, order[0]]
        hits = counted * hits[0]
        misses = counted - hits
        below = misses.cumsum(axis=1)
        under = below[:, last[0]] + (below - misses)[:, first[0]]
    # `under`: misses below a tie, and half of those in it, all twice
    whole = 2 * hits.sum(axis=1) * below[:, -1]
    area = np.einsum("bn,bn->b", hits, under)
    return np.divide(area, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _ties(ordered: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the run of equal values that each place of ordered rows (B, n) is in begins and ends."""
    n = ordered.shape[1]
    place = np.arange(n)
    new = np.diff(ordered, axis=1) > 0
    first, last = np.zeros(ordered.shape, np.int64), np.full(ordered.shape, n - 1)
    first[:, 1:] = np.where(new, place[1:], 0)
    last[:, :-1] = np.where(new, place[:-1], n - 1)
    first = np.maximum.accumulate(first, axis=1)
    return first, np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]


def average_precision(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average precision (scikit-learn's) of scores (n,) under each weighting (B, n): (B,), NaN without positives."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    counted = weights[:, order]
    hits = (counted * positive[order]).cumsum(axis=1)[:, ends]
    precision = hits / np.maximum(counted.cumsum(axis=1)[:, ends], 1)
    area = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1)
    return np.divide(area, hits[:, -1], out=np.full(len(area), np.nan), where=hits[:, -1] > 0)
