"""What is said of classifiers on one test set, those of many draws at once.

The definitions are scikit-learn's wherever it has the metric; it takes one classifier at a time, which for the
draws of a study costs fifty times this.

A metric that is undefined on a test set is NaN, which tables show as absent and means leave out: the
recall of a class without test images, the kappa of a test set of one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.areas import roc_area

__all__ = ["METRICS", "Metric", "Score", "Scores", "balanced_accuracy", "score", "score_draws"]

SMALLEST = 1e-15
"""Probability of the true class below which the log loss does not look."""
BINS = 15
"""Bins of confidence."""


@dataclass(frozen=True)
class Metric:
    """One column of the results: its key, its name for people, its direction and its meaning."""

    key: str
    title: str
    higher_is_better: bool
    percent: bool
    meaning: str


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            True,
            True,
            "mean recall of the classes in the test set (the field's ACA)",
        ),
        Metric("accuracy", "accuracy", True, True, "share of images classified right"),
        Metric(
            "quadratic_kappa",
            "quadratic kappa",
            True,
            False,
            "Cohen's kappa, weighted by the squared distance of the grades (ordered classes only)",
        ),
        Metric("macro_f1", "macro F1", True, True, "mean F1 of the classes in the test set"),
        Metric(
            "macro_auroc",
            "macro AUROC",
            True,
            False,
            "mean one-against-rest area under the ROC curve of the classes in the test set",
        ),
        Metric(
            "log_loss", "log loss", False, False, "mean negative log probability of the true class, in nats"
        ),
        Metric(
            "brier_score",
            "Brier score",
            False,
            False,
            "mean squared distance of probabilities and truth, 0 to 2",
        ),
        Metric(
            "expected_calibration_error",
            "ECE",
            False,
            True,
            "mean gap of confidence and accuracy, 15 equal-width bins (Guo et al., ICML 2017)",
        ),
    )
}
"""Every metric that `score` gives, by its key."""


@dataclass(frozen=True)
class Score:
    """Every metric of one classifier on one test set.

    Attributes
    ----------
    values : dict of str to float
        By key of `METRICS`; NaN where undefined.
    recall, specificity : float64 array of shape (C,)
        One against rest; NaN for a class without test images (recall) or without others (specificity).
    confusion : int64 array of shape (C, C)
        Rows are the truth, columns the prediction.
    reliability : float64 array of shape (3, 15)
        For each confidence bin: images, summed confidence, summed correctness.
    """

    values: dict[str, float]
    recall: NDArray[np.float64]
    specificity: NDArray[np.float64]
    confusion: NDArray[np.int64]
    reliability: NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """The `Score` of each of B classifiers on one test set.

    Attributes
    ----------
    values : dict of str to float64 array of shape (B,)
    recall, specificity : float64 array of shape (B, C)
    confusion : int64 array of shape (B, C, C)
    reliability : float64 array of shape (B, 3, 15)
    """

    values: dict[str, NDArray[np.float64]]
    recall: NDArray[np.float64]
    specificity: NDArray[np.float64]
    confusion: NDArray[np.int64]
    reliability: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.recall)

    def __getitem__(self, draw: int) -> Score:
        values = {key: float(value[draw]) for key, value in self.values.items()}
        arrays = (self.recall, self.specificity, self.confusion, self.reliability)
        return Score(values, *(array[draw] for array in arrays))


def score(y_true: ArrayLike, probabilities: ArrayLike, *, ordinal: bool = False) -> Score:
    """Score the class probabilities (n, C) of one classifier; as `score_draws` in all else."""
    return score_draws(y_true, np.asarray(probabilities)[None], ordinal=ordinal)[0]


def score_draws(y_true: ArrayLike, probabilities: ArrayLike, *, ordinal: bool = False) -> Scores:
    """Score the class probabilities of many draws against the same truth.

    Parameters
    ----------
    y_true : int array-like of shape (n,)
        True classes as columns of `probabilities`.
    probabilities : float array-like of shape (B, n, C)
        Rows sum to 1. A tie is won by the lowest column.
    ordinal : bool
        Whether the classes are ordered grades; without it ``quadratic_kappa`` is NaN.

    Returns
    -------
    Scores
        The metrics of draw b are ``scores[b]``.

    Raises
    ------
    InputError
        If shapes disagree, there is no row, a label is no column, or a probability is not finite.
    """
    y, p = _checked(np.asarray(y_true), np.asarray(probabilities, dtype=np.float64))
    size, n, n_classes = p.shape
    predicted = p.argmax(axis=2)
    correct = predicted == y
    confusion = _counted(y * n_classes + predicted, n_classes**2).reshape(size, n_classes, n_classes)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    support, named = np.bincount(y, minlength=n_classes), confusion.sum(axis=1)
    present = support > 0
    recall, others = _ratio(hits, support), n - support
    reliability = reliability_bins(p.max(axis=2), correct)
    squared = p.copy()
    squared[:, np.arange(n), y] -= 1
    values = {
        "balanced_accuracy": recall[:, present].mean(axis=1),
        "accuracy": correct.mean(axis=1),
        "quadratic_kappa": _quadratic_kappa(confusion, ordinal),
        "macro_f1": (2 * hits / np.maximum(support + named, 1))[:, present].mean(axis=1),
        "macro_auroc": _macro_auroc(y, p, np.flatnonzero(present & (others > 0))),
        "log_loss": np.abs(np.log(np.clip(p[:, np.arange(n), y], SMALLEST, 1))).mean(axis=1),
        "brier_score": np.einsum("bnc,bnc->b", squared, squared) / n,
        "expected_calibration_error": expected_calibration_error(reliability),
    }
    specificity = _ratio(others - (named - hits), others)
    return Scores(values, recall, specificity, confusion, reliability)


def reliability_bins(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Images, summed confidence and summed correctness in equal-width bins of confidence.

    Both are of shape (B, n), the result (B, 3, 15).
    """
    which = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    parts = [_counted(which, BINS, weights) for weights in (None, confidence, correct)]
    return np.stack(parts, axis=1).astype(np.float64)


def expected_calibration_error(reliability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected calibration error of `reliability_bins` (Guo et al., ICML 2017, equation 3): (...,)."""
    images, confidence, correct = np.moveaxis(reliability, -2, 0)
    return np.abs(confidence - correct).sum(axis=-1) / images.sum(axis=-1)


def _checked(y: NDArray[Any], p: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if p.ndim != 3 or y.shape != p.shape[1:2] or not p.size:
        raise InputError(
            f"scores: {y.shape} labels and {p.shape[1:]} probabilities; "
            "they must be (n,) and (n, C) with n at least 1"
        )
    if not np.isfinite(p).all():
        raise InputError("scores: a probability is NaN or infinite")
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= p.shape[2]:
        raise InputError(f"scores: labels must be whole numbers from 0 to {p.shape[2] - 1}, the columns")
    return y.astype(np.int64), p


def _counted(which: NDArray[np.int64], size: int, weights: NDArray[Any] | None = None) -> NDArray[Any]:
    """What each draw has in each of `size` cells: (B, n) cell numbers give (B, size)."""
    draws = len(which)
    cells = (which + size * np.arange(draws)[:, None]).ravel()
    flat = None if weights is None else weights.ravel()
    return np.bincount(cells, flat, minlength=draws * size).reshape(draws, size)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares (B, C); NaN for a class of which there is nothing."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _quadratic_kappa(confusion: NDArray[np.int64], ordinal: bool) -> NDArray[np.float64]:
    truth, named = confusion[0].sum(axis=1), confusion.sum(axis=1)
    if not ordinal or np.count_nonzero(truth) < 2:
        return np.full(len(confusion), np.nan)
    grades = np.arange(len(truth))
    apart = (grades[:, None] - grades) ** 2.0
    seen = np.einsum("bij,ij->b", confusion, apart)
    return 1 - seen * truth.sum() / (named @ (truth @ apart))


def _macro_auroc(
    y: NDArray[np.int64], p: NDArray[np.float64], defined: NDArray[np.int64]
) -> NDArray[np.float64]:
    if not len(defined):
        return np.full(len(p), np.nan)
    return np.mean([roc_area(y == c, p[:, :, c]) for c in defined], axis=0)


def balanced_accuracy(y_true: NDArray[np.int64], y_pred: NDArray[np.int64]) -> float:
    """Mean recall of the classes that are in the test set, of predicted classes alone.

    Parameters
    ----------
    y_true, y_pred : int arrays of shape (n,)
        The truth, and what was predicted.
    """
    return float(np.mean([(y_pred[y_true == c] == c).mean() for c in np.unique(y_true)]))
