"""Positive or not: how well scores rank, where the threshold stands, and what it finds and spares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.areas import average_precision, roc_area
from fewshot_flair.evaluation.intervals import Estimate, weighted_bootstrap

__all__ = [
    *("Threshold", "auprc", "auroc", "auroc_difference", "delong_variance", "positive_score"),
    *("sensitivity_specificity", "share_with_interval", "threshold_for"),
]

Z95 = 1.959963984540054


class Threshold(NamedTuple):
    """A score from which on a row is called positive.

    Attributes
    ----------
    value : float
        NaN where the wish cannot be met.
    sensitivity, specificity : float
        On the rows that it was chosen on.
    """

    value: float
    sensitivity: float
    specificity: float


def positive_score(probabilities: ArrayLike, positive: Sequence[int]) -> NDArray[np.float64]:
    """Probability of any of the positive classes: (..., C) and columns give (...)."""
    p = np.asarray(probabilities, dtype=np.float64)
    chosen = sorted(set(positive))
    if not 0 < len(chosen) < p.shape[-1] or chosen[0] < 0 or chosen[-1] >= p.shape[-1]:
        raise InputError(f"positive classes {chosen} of {p.shape[-1]}: give some of them, and not all")
    return np.minimum(p[..., chosen].sum(axis=-1), 1.0)


def auroc(positive: ArrayLike, scores: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Area under the ROC curve; DeLong's interval, or the bootstrap where a patient has several photographs.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, takes rows for independent. Its variance is 0 where
    the classes are apart entirely; the interval is NaN then, as that says nothing of other patients.

    Parameters
    ----------
    positive : bool array-like of shape (n,)
    scores : float array-like of shape (n,)
        Higher is more positive; ties count half.
    clusters : array-like of shape (n,)
        The patient of each row.
    """
    truth, s = _checked(positive, scores)
    if truth.all() or not truth.any():
        return Estimate(float("nan"), float("nan"), float("nan"), "DeLong")
    if _alone(clusters):
        value, variance = delong_variance(truth, s)
        half = Z95 * variance**0.5 if variance > 0 else float("nan")
        low, high = np.clip([value - half, value + half], 0, 1)
        return Estimate(value, float(low), float(high), "DeLong")
    ends = weighted_bootstrap(lambda w: roc_area(truth, s, w), clusters)
    return Estimate(float(roc_area(truth, s)[0]), *ends, "bootstrap over patients")


def auroc_difference(
    positive: ArrayLike, first: ArrayLike, second: ArrayLike, clusters: ArrayLike
) -> tuple[float, float, tuple[float, float]]:
    """AUROC of two scores of the same rows, and the bootstrap interval over patients of first minus second.

    All are NaN without positives, or without others.
    """
    (truth, one), (_, other) = _checked(positive, first), _checked(positive, second)
    low, high = weighted_bootstrap(lambda w: roc_area(truth, one, w) - roc_area(truth, other, w), clusters)
    return float(roc_area(truth, one)[0]), float(roc_area(truth, other)[0]), (low, high)


def auprc(positive: ArrayLike, scores: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Average precision (scikit-learn's), with its bootstrap interval over patients.

    By chance alone it is the share of positives, so it cannot be compared between clinics of different mixes.
    """
    truth, s = _checked(positive, scores)
    if not truth.any():
        return Estimate(float("nan"), float("nan"), float("nan"), "bootstrap over patients")
    value = float(average_precision(truth, s, np.ones((1, len(s))))[0])
    ends = weighted_bootstrap(lambda w: average_precision(truth, s, w), clusters)
    return Estimate(value, *ends, "bootstrap over patients")


def delong_variance(positive: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """AUROC and the variance of it, from mid-ranks (Sun and Xu, IEEE Signal Processing Letters 21, 2014)."""
    from scipy.stats import rankdata

    truth, s = _checked(positive, scores)
    m, n = int(truth.sum()), int((~truth).sum())
    together = rankdata(s)
    value = float(roc_area(truth, s)[0])
    of_positives = (together[truth] - rankdata(s[truth])) / n
    of_negatives = 1 - (together[~truth] - rankdata(s[~truth])) / m
    if min(m, n) < 2:
        return value, float("nan")
    return value, float(of_positives.var(ddof=1) / m + of_negatives.var(ddof=1) / n)


def threshold_for(
    positive: ArrayLike,
    scores: ArrayLike,
    *,
    sensitivity: float | None = None,
    specificity: float | None = None,
) -> Threshold:
    """The threshold whose calls (``score >= threshold``) are the fewest that reach a sensitivity.

    Or the most that keep a specificity. It is one of the scores. Its value is NaN where there is no positive (or
    no negative) row, where the sensitivity is reached only by calling every row positive, and where the
    specificity is kept only by calling none.
    """
    truth, s = _checked(positive, scores)
    if (sensitivity is None) == (specificity is None):
        raise InputError("operating point: give a sensitivity or a specificity")
    wanted = sensitivity if sensitivity is not None else specificity
    if wanted is None or not 0 < wanted < 1:
        raise InputError(f"operating point {wanted}: give a share between 0 and 1, such as 0.9")
    m, n = int(truth.sum()), int((~truth).sum())
    nan = float("nan")
    if not m or not n:
        return Threshold(nan, nan, nan)
    values = np.unique(s)[::-1]
    found = m - np.searchsorted(np.sort(s[truth]), values)
    spared = np.searchsorted(np.sort(s[~truth]), values)
    # shares as counts: 9 of 10 is 0.9, whatever binary fractions say
    if sensitivity is not None:
        at = int(np.argmax(found >= wanted * m - 1e-9))
        reached = at < len(values) - 1
    else:
        kept = spared >= wanted * n - 1e-9
        at = int(np.flatnonzero(kept)[-1]) if kept.any() else 0
        reached = bool(kept.any()) and found[at] > 0
    return Threshold(float(values[at]) if reached else nan, float(found[at] / m), float(spared[at] / n))


def sensitivity_specificity(
    positive: ArrayLike, called: ArrayLike, clusters: ArrayLike
) -> tuple[Estimate, Estimate]:
    """Share of positives called so, and of negatives not, each with its interval (`share_with_interval`)."""
    truth, found = np.asarray(positive, dtype=bool), np.asarray(called, dtype=bool)
    patients = np.asarray(clusters)
    return (
        share_with_interval(found[truth], patients[truth]),
        share_with_interval(~found[~truth], patients[~truth]),
    )


def share_with_interval(right: ArrayLike, clusters: ArrayLike) -> Estimate:
    """A share of rows with its 95 % interval.

    Wilson's by photograph where each is of another patient; else the bootstrap over patients, and where that has
    no width (all right, or all wrong) Wilson's with each patient counted once.
    """
    from scipy.stats import binomtest

    hits, patients = np.asarray(right, dtype=bool), np.asarray(clusters)
    nan = float("nan")
    if not len(hits):
        return Estimate(nan, nan, nan, "Wilson, by photograph")
    share = float(hits.mean())
    if _alone(patients):
        ends = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
        return Estimate(share, float(ends.low), float(ends.high), "Wilson, by photograph")
    if share in (0, 1):
        n = len(np.unique(patients))
        ends = binomtest(n * int(share), n).proportion_ci(method="wilson")
        return Estimate(share, float(ends.low), float(ends.high), "Wilson, by patient")
    low, high = weighted_bootstrap(lambda w: w @ hits / w.sum(axis=1), patients)
    return Estimate(share, low, high, "bootstrap over patients")


def _alone(clusters: ArrayLike) -> bool:
    given = np.asarray(clusters)
    return len(np.unique(given)) == len(given)


def _checked(positive: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth, s = np.asarray(positive), np.asarray(scores, dtype=np.float64)
    if truth.dtype != bool or truth.ndim != 1 or truth.shape != s.shape or not len(s):
        raise InputError(
            f"scores: {truth.shape} {truth.dtype} truths for {s.shape} scores; give bool and (n,)"
        )
    if np.isnan(s).any():
        raise InputError("scores: a score is NaN")
    return truth, s
