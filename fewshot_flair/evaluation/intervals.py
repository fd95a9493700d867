"""Intervals: over the draw of the support set (seeds), and over the patients of the test set."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError

__all__ = ["cluster_bootstrap", "interval_over_seeds"]

WEIGHT_BYTES = 64 * 2**20
"""Memory for the resamples that are scored at once."""
MOST_DRAWS = 20
"""Draws for each resample that may be spent on finding ones with every class in them."""


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
    y_true: NDArray[np.int64],
    y_pred: NDArray[np.int64],
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
    y_true : int array of shape (n,)
    y_pred : int array of shape (n,) or (episodes, n)
    clusters : array-like of shape (n,)
        What may not be parted, a patient's identifier for each image.

    Returns
    -------
    low, high : float
    """
    y_true = np.asarray(y_true)
    y_pred = np.atleast_2d(y_pred)
    if y_pred.shape[1] != len(y_true):
        raise InputError(f"bootstrap: {y_pred.shape} predictions for {len(y_true)} labels")
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    n = len(names)
    cell = cluster * n_classes + y_true
    images = np.bincount(cell, minlength=n * n_classes)
    # As small as the counts allow: a million patients and 20 episodes of 5 classes are 100 MB.
    counts = np.empty((1 + len(y_pred), n * n_classes), np.min_scalar_type(int(images.max())))
    counts[0] = images
    for episode, predicted in enumerate(y_pred, 1):
        counts[episode] = np.bincount(cell[predicted == y_true], minlength=n * n_classes)
    rng = np.random.default_rng(seed)
    balanced: list[NDArray[np.float64]] = []
    kept, drawn_in_all = 0, 0
    block = max(1, min(resamples, WEIGHT_BYTES // (8 * n)))
    there = counts[0].reshape(n, n_classes).any(axis=0)
    while kept < resamples:
        weights = rng.multinomial(n, np.full(n, 1 / n), size=block).astype(np.float64)
        drawn = np.stack([weights @ part.reshape(n, n_classes).astype(np.float64) for part in counts])
        drawn_in_all += block
        if drawn_in_all <= MOST_DRAWS * resamples:
            drawn = drawn[:, (drawn[0][:, there] > 0).all(axis=1)]
        present = drawn[0] > 0
        recall = np.divide(drawn[1:], drawn[0], out=np.zeros_like(drawn[1:]), where=present)
        balanced.append((recall.sum(axis=2) / present.sum(axis=1)).mean(axis=0))
        kept += len(balanced[-1])
    values = np.concatenate(balanced)[:resamples]
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def paired_bootstrap(y_true, first, second, clusters, n_classes, *, resamples=1000, seed=0):
    """Replaced on merge."""
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    n = len(names)
    if n < 2:
        return float("nan"), float("nan")
    cell = cluster * n_classes + y_true
    images = np.bincount(cell, minlength=n * n_classes).reshape(n, n_classes)
    right = [
        np.bincount(cell[p == y_true], minlength=n * n_classes).reshape(n, n_classes) for p in (first, second)
    ]
    w = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
    d = w @ images
    m = [(np.divide(w @ r, d, out=np.zeros_like(d), where=d > 0)).sum(1) / (d > 0).sum(1) for r in right]
    low, high = np.quantile(m[0] - m[1], [0.025, 0.975])
    return float(low), float(high)
