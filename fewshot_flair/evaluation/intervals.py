"""Intervals: over the draw of the support set (seeds), and over the patients of the test set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError

__all__ = [
    *("Estimate", "cluster_bootstrap", "cluster_weights", "interval_over_seeds", "paired_bootstrap"),
    "weighted_bootstrap",
]

WEIGHT_BYTES = 64 * 2**20
"""Memory for the resamples that are scored at once."""
MOST_DRAWS = 20
"""Draws for each resample that may be spent on finding ones with every class in them."""

Resamples = tuple[NDArray[np.float64], NDArray[np.float64]]


class Estimate(NamedTuple):
    """A number with its 95 % interval, and how that was made; NaN where undefined.

    Attributes
    ----------
    method : str
        "DeLong", "Wilson, by photograph", "Wilson, by patient" or "bootstrap over patients".
    """

    value: float
    low: float
    high: float
    method: str


def interval_over_seeds(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean and Student-t interval of the mean over support-set draws.

    It says how far the mean over *other draws of the support set* may lie from this one, the test set
    being what it is; it does not say how another test set would score (see `cluster_bootstrap`).

    Parameters
    ----------
    values : array-like of shape (seeds,)
        A metric, one value a seed; NaN (undefined) is left out.

    Returns
    -------
    mean, low, high : float
        NaN all where no value is defined; low and high NaN where only one is.
    """
    from scipy.stats import t

    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    if not len(defined):
        return float("nan"), float("nan"), float("nan")
    mean = float(defined.mean())
    if len(defined) == 1:
        return mean, float("nan"), float("nan")
    half = float(t.ppf(0.5 + confidence / 2, len(defined) - 1) * defined.std(ddof=1) / np.sqrt(len(defined)))
    return mean, mean - half, mean + half


def cluster_bootstrap(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    clusters: ArrayLike,
    n_classes: int,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of balanced accuracy over test patients, both eyes drawn together.

    Whole clusters (patients) are drawn with replacement, as their images are not independent (Davison
    and Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.8). With several episodes the
    statistic is the mean over episodes of the balanced accuracy, each resample scoring all of them on the
    same patients. A resample that lacks a class would estimate another quantity, the mean recall of the
    others, and is drawn again; where classes are so rare that twenty times as many draws do not suffice,
    the rest of the resamples are of whatever classes they have.

    Parameters
    ----------
    y_true : int array-like of shape (n,)
    y_pred : int array-like of shape (n,) or (episodes, n)
    clusters : array-like of shape (n,)
        What may not be parted, a patient's identifier for each image.

    Returns
    -------
    low, high : float
        NaN where there is a single cluster, which says nothing of others.
    """
    (values,) = _resampled(y_true, [y_pred], clusters, n_classes, resamples, seed)
    return _percentiles(values, confidence)


def paired_bootstrap(
    y_true: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    clusters: ArrayLike,
    n_classes: int,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval over test patients of how much better `first` is than `second`.

    The difference of their balanced accuracies (first minus second), both scored on the same resamples of
    patients, which are those of `cluster_bootstrap`: what makes some patients hard for both cancels out.

    Parameters
    ----------
    y_true : int array-like of shape (n,)
    first, second : int array-like of shape (n,) or (episodes, n)
        Predictions; the numbers of episodes may differ.
    clusters : array-like of shape (n,)
        What may not be parted, a patient's identifier for each image.

    Returns
    -------
    low, high : float
        NaN where there is a single cluster.
    """
    one, other = _resampled(y_true, [first, second], clusters, n_classes, resamples, seed)
    return _percentiles(one - other, confidence)


def weighted_bootstrap(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    clusters: ArrayLike,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of any statistic that takes weights of rows, whole clusters (patients) drawn together.

    Parameters
    ----------
    statistic : callable
        Takes float64 weights of shape (B, n), how often each row was drawn, and gives (B,); a resample for
        which it is NaN, as it lacks positives, is left out.
    clusters : array-like of shape (n,)

    Returns
    -------
    low, high : float
        NaN where there is a single cluster, or the statistic is NaN on all resamples.
    """
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) == 1:
        return float("nan"), float("nan")
    block = max(1, WEIGHT_BYTES // (64 * len(cluster)))
    parts = [
        statistic(weights[start : start + block][:, cluster])
        for weights, _ in _drawn(np.ones((len(names), 1)), resamples, seed)
        for start in range(0, len(weights), block)
    ]
    values = np.concatenate(parts)[:resamples]
    values = values[~np.isnan(values)]
    return _percentiles(values, confidence) if len(values) else (float("nan"), float("nan"))


def cluster_weights(n: int, block: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """How often each of n clusters is drawn, with replacement, in `block` resamples at a time: (block, n), for ever."""
    while True:
        cells = rng.integers(0, n, (block, n)) + n * np.arange(block)[:, None]
        yield np.bincount(cells.ravel(), minlength=block * n).reshape(block, n).astype(np.float64)


def _percentiles(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _resampled(
    y_true: ArrayLike,
    predictions: Sequence[ArrayLike],
    clusters: ArrayLike,
    n_classes: int,
    resamples: int,
    seed: int,
) -> NDArray[np.float64]:
    """Balanced accuracy of each of the predictions on each resample of clusters: (predictions, resamples)."""
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    n = len(names)
    if n == 1:
        return np.full((len(predictions), 1), np.nan)
    images, right = _cluster_counts(np.asarray(y_true), predictions, cluster, n, n_classes)
    balanced = []
    for weights, drawn in _drawn(images, resamples, seed):
        # The mean over episodes of a class's recall is that of its right answers: one product for all.
        recall = np.stack([weights @ answers for answers in right]) / np.maximum(drawn, 1)
        balanced.append(recall.sum(axis=2) / (drawn > 0).sum(axis=1))
    return np.concatenate(balanced, axis=1)[:, :resamples]


def _drawn(images: NDArray[np.float64], resamples: int, seed: int) -> Iterable[Resamples]:
    """Resamples of clusters in blocks: how often each is drawn, (m, clusters), and images of each class, (m, C).

    `images` of shape (clusters, C) are what each cluster has; a resample has every class that there is. A study asks
    for those of one test side hundreds of times.
    """
    draw = _kept if 8 * len(images) * resamples <= WEIGHT_BYTES else _blocks
    return draw(images.tobytes(), images.shape[1], resamples, seed)


def _blocks(counts: bytes, n_classes: int, resamples: int, seed: int) -> Iterator[Resamples]:
    images = np.frombuffer(counts).reshape(-1, n_classes)
    n, there = len(images), images.any(axis=0)
    kept, drawn_in_all = 0, 0
    block = max(1, min(resamples, WEIGHT_BYTES // (8 * n)))
    resampled = cluster_weights(n, block, np.random.default_rng(seed))
    while kept < resamples:
        weights = next(resampled)
        drawn = weights @ images
        drawn_in_all += block
        if drawn_in_all <= MOST_DRAWS * resamples:
            every = (drawn[:, there] > 0).all(axis=1)
            drawn, weights = drawn[every], weights[every]
        kept += len(drawn)
        yield weights, drawn


@lru_cache(maxsize=4)
def _kept(counts: bytes, n_classes: int, resamples: int, seed: int) -> list[Resamples]:
    return list(_blocks(counts, n_classes, resamples, seed))


def _cluster_counts(
    y: NDArray[np.int64],
    predictions: Sequence[ArrayLike],
    cluster: NDArray[np.int64],
    n_clusters: int,
    n_classes: int,
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Images of each cluster and class, and how many of them are answered right, a mean over episodes."""
    cell = cluster * n_classes + y

    def counted(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        counts = np.bincount(cell, weights, minlength=n_clusters * n_classes)
        return counts.reshape(n_clusters, n_classes).astype(np.float64)

    right = []
    for given in predictions:
        predicted = np.atleast_2d(given)
        if predicted.shape[1] != len(y):
            raise InputError(f"bootstrap: {predicted.shape} predictions for {len(y)} labels")
        right.append(counted((predicted == y).mean(axis=0)))
    return counted(None), right
