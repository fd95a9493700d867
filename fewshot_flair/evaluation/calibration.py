"""Probabilities that mean something: a temperature, or one with a bias a class, from rows that no fit has seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.intervals import Estimate, weighted_bootstrap
from fewshot_flair.evaluation.metrics import BINS, expected_calibration_error, reliability_bins
from fewshot_flair.words import counted

__all__ = [
    *("Calibration", "calibrate", "brier_with_interval", "ece_with_interval", "fit_bias", "fit_temperature"),
    *("fewest_to_estimate", "reliability_of"),
]

FEWEST_ROWS = 20
"""With fewer rows out of fold not even a temperature is fitted."""
FEWEST_OF_A_CLASS = 10
"""Every class has so many rows out of fold, or none gets a bias."""
FEWEST_TO_ESTIMATE = (50, 20)
"""Photographs from which a prevalence may be estimated: in all, and for each class."""
SHARPEST = 1e3
"""1 / T is sought between this and one over it."""


@dataclass(frozen=True)
class Calibration:
    """softmax(logits / temperature + bias).

    Attributes
    ----------
    bias : tuple of C float
        Sums to 0; all 0 for a temperature alone, which never changes the most probable class.
    rule : str
        How it was chosen, in a sentence.
    """

    temperature: float
    bias: tuple[float, ...]
    rule: str

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Of logits (..., C)."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        return softmax(scaled + np.asarray(self.bias), axis=-1)


def calibrate(logits: ArrayLike, y: ArrayLike, folds: ArrayLike, *, class_wise: bool = False) -> Calibration:
    """The calibration of rows that were predicted by fits without them.

    The temperature has the lowest mean negative log likelihood (Guo et al., ICML 2017, section 4.2), which is
    convex in 1 / T. It stays 1 with fewer than 20 rows, and where every row is right, as the likelihood has no
    maximum then. A bias a class (with the temperature, vector scaling with one scale) is taken on request where
    every class has at least 10 rows and the likelihood of rows of other folds is higher with it.

    Parameters
    ----------
    logits : float array-like of shape (n, C)
        Out of fold.
    y : int array-like of shape (n,)
    folds : int array-like of shape (n,)
        Which rows were predicted together; the bias is tried on one while fitted on the others.
    """
    z, truth = _checked(logits, y)
    none = (0.0,) * z.shape[1]
    if len(z) < FEWEST_ROWS:
        return Calibration(
            1.0, none, f"not calibrated: {counted(len(z), 'row')} out of fold, {FEWEST_ROWS} are needed"
        )
    if (z.argmax(axis=1) == truth).all():
        return Calibration(
            1.0, none, "not calibrated: every row out of fold is right, so no temperature is best"
        )
    alone = Calibration(fit_temperature(z, truth), none, "temperature of the lowest negative log likelihood")
    if not class_wise:
        return alone
    counts = np.bincount(truth, minlength=z.shape[1])
    if counts.min() < FEWEST_OF_A_CLASS:
        return Calibration(
            alone.temperature, none, f"temperature alone: a class has {counts.min()} rows out of fold, a bias "
            f"needs {FEWEST_OF_A_CLASS}",
        )  # fmt: skip
    without, with_bias = _tried(z, truth, np.asarray(folds))
    if not with_bias < without:
        return Calibration(
            alone.temperature, none, "temperature alone: a bias a class is no better on other folds"
        )
    temperature, bias = fit_bias(z, truth)
    return Calibration(temperature, tuple(bias.tolist()), "temperature and a bias a class")


def fit_temperature(logits: ArrayLike, y: ArrayLike) -> float:
    """The T > 0 for which softmax(logits / T) has the lowest mean negative log likelihood; within 0.001 to 1000."""
    from scipy.optimize import minimize_scalar

    z, truth = _checked(logits, y)

    def loss(log_sharpness: float) -> float:
        return _nll(z * np.exp(log_sharpness), truth)

    # one valley in 1 / T is one valley in its logarithm
    limit = float(np.log(SHARPEST))
    found = minimize_scalar(loss, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(-found.x))


def fit_bias(logits: ArrayLike, y: ArrayLike) -> tuple[float, NDArray[np.float64]]:
    """Temperature and bias (C,) of the lowest mean negative log likelihood, which is convex in 1 / T and bias."""
    from scipy.optimize import minimize

    given, truth = _checked(logits, y)
    alone = fit_temperature(given, truth)
    z = given / alone  # so that all that is sought is about 1
    rows, n = np.arange(len(z)), z.shape[1]

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = x[0] * z + x[1:]
        log_p = log_softmax(scaled, axis=1)
        error = np.exp(log_p)
        error[rows, truth] -= 1
        return -float(log_p[rows, truth].mean()), np.r_[(error * z).sum() / len(z), error.mean(axis=0)]

    start = np.r_[1.0, np.zeros(n)]
    bounds = [(alone / SHARPEST, alone * SHARPEST), *[(None, None)] * n]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000})
    return float(alone / found.x[0]), found.x[1:] - found.x[1:].mean()


def brier_with_interval(y: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Brier score (0 to 2, as `score` has it) with its bootstrap interval over patients."""
    p, truth = _checked(probabilities, y)
    squared = p.copy()
    squared[np.arange(len(p)), truth] -= 1
    each = (squared**2).sum(axis=1)
    low, high = weighted_bootstrap(lambda w: w @ each / w.sum(axis=1), clusters)
    return Estimate(float(each.mean()), low, high, "bootstrap over patients")


def ece_with_interval(y: ArrayLike, probabilities: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Expected calibration error (15 bins, as `score` has it) with its bootstrap interval over patients.

    The error of a resample is on average larger than that of all rows, as noise within a bin never cancels:
    the interval can lie above the value.
    """
    p, truth = _checked(probabilities, y)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == truth
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gap = np.zeros((len(p), BINS))
    gap[np.arange(len(p)), bins] = confidence - correct
    low, high = weighted_bootstrap(lambda w: np.abs(w @ gap).sum(axis=1) / w.sum(axis=1), clusters)
    value = float(expected_calibration_error(reliability_of(truth, p)))
    return Estimate(value, low, high, "bootstrap over patients")


def reliability_of(y: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Images, summed confidence and summed correctness in 15 bins of confidence: (3, 15)."""
    p, truth = _checked(probabilities, y)
    return reliability_bins(p.max(axis=1)[None], (p.argmax(axis=1) == truth)[None])[0]


def fewest_to_estimate(n_classes: int) -> int:
    """Photographs that it takes to estimate their prevalence: 50 in all, and 20 for each class."""
    in_all, each = FEWEST_TO_ESTIMATE
    return max(in_all, each * n_classes)


def _tried(z: NDArray[np.float64], y: NDArray[np.int64], folds: NDArray[np.int64]) -> tuple[float, float]:
    """Negative log likelihood of rows of other folds, with a temperature alone and with a bias."""
    alone, biased = np.empty(len(y)), np.empty(len(y))
    for fold in np.unique(folds):
        held = folds == fold
        if held.all():
            return 0.0, 0.0
        temperature, bias = fit_bias(z[~held], y[~held])
        single = fit_temperature(z[~held], y[~held])
        rows = np.arange(held.sum())
        alone[held] = -log_softmax(z[held] / single, axis=1)[rows, y[held]]
        biased[held] = -log_softmax(z[held] / temperature + bias, axis=1)[rows, y[held]]
    return float(alone.mean()), float(biased.mean())


def _nll(z: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    return -float(log_softmax(z, axis=1)[np.arange(len(y)), y].mean())


def _checked(values: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    z, truth = np.asarray(values, dtype=np.float64), np.asarray(y)
    if z.ndim != 2 or truth.shape != z.shape[:1] or not z.size:
        raise InputError(f"calibration: {truth.shape} labels for {z.shape} numbers; give (n,) and (n, C)")
    if not np.isfinite(z).all():
        raise InputError("calibration: a number is NaN or infinite")
    if truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= z.shape[1]:
        raise InputError(f"calibration: labels must be whole numbers from 0 to {z.shape[1] - 1}")
    return z, truth.astype(np.int64)
