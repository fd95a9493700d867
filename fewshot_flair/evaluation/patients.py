"""One answer a patient: both eyes and several photographs together."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from fewshot_flair.errors import InputError

__all__ = ["PatientLabels", "Rule", "combine_patients", "patient_labels", "predicted_by_patient"]

Rule = Literal["mean", "worst"]


class PatientLabels(NamedTuple):
    """True classes of patients.

    Attributes
    ----------
    y : int64 array of shape (P,)
        −1 for a patient who has none.
    differing : int
        Patients whose photographs have different classes without an order.
    """

    y: NDArray[np.int64]
    differing: int


def combine_patients(
    probabilities: ArrayLike, patients: ArrayLike, rule: Rule = "mean"
) -> tuple[NDArray, NDArray[np.float64]]:
    """Class probabilities of patients from those of their photographs.

    Parameters
    ----------
    probabilities : float array-like of shape (n, C)
    patients : array-like of shape (n,)
    rule : "mean" or "worst"
        The mean of the log-probabilities, scaled to sum to 1 (for two classes the mean log-odds), which takes
        photographs for views of one thing; or, of grades in ascending order, the photograph whose predicted
        grade is worst (of several, the one of the highest mean grade), which is how the worse eye counts.

    Returns
    -------
    names : array of shape (P,)
        Patients in the order of their first photograph.
    probabilities : float64 array of shape (P, C)
    """
    p = _checked(probabilities)
    names, place = _places(patients, len(p))
    if rule == "mean":
        logs = np.log(np.maximum(p, np.finfo(np.float64).tiny))
        sums = np.zeros((len(names), p.shape[1]))
        np.add.at(sums, place, logs)
        return names, softmax(sums / np.bincount(place)[:, None], axis=1)
    if rule != "worst":
        raise InputError(f"patients are combined by 'mean' or 'worst', not {rule!r}")
    order = np.lexsort((p @ np.arange(p.shape[1]), p.argmax(axis=1), place))
    last = np.r_[place[order][1:] != place[order][:-1], True]
    return names, p[order[last]]


def predicted_by_patient(
    probabilities: NDArray[np.float64], patients: ArrayLike, rule: Rule = "mean"
) -> NDArray[np.int64]:
    """The class that `combine_patients` finds likeliest, of many draws at once.

    Parameters
    ----------
    probabilities : float64 array of shape (B, n, C)
    patients : array-like of shape (n,)
    rule : "mean" or "worst"

    Returns
    -------
    int64 array of shape (B, P)
        Patients in the order of their first photograph.
    """
    _, place = _places(patients, probabilities.shape[1])
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(place[order]) > 0])
    if rule == "worst":
        return np.maximum.reduceat(probabilities.argmax(axis=2)[:, order], starts, axis=1)
    logs = np.log(np.maximum(probabilities[:, order], np.finfo(np.float64).tiny))
    return np.add.reduceat(logs, starts, axis=1).argmax(axis=2)


def patient_labels(y: ArrayLike, patients: ArrayLike, *, ordinal: bool) -> PatientLabels:
    """The true class of each patient, in the order of `combine_patients`: of ordered grades the worst.

    A patient whose photographs have different classes without an order has none (−1), and is counted.
    """
    truth = np.asarray(y, dtype=np.int64)
    names, place = _places(patients, len(truth))
    highest, lowest = np.full(len(names), -1), np.full(len(names), np.iinfo(np.int64).max)
    np.maximum.at(highest, place, truth)
    np.minimum.at(lowest, place, truth)
    differ = highest != lowest
    if ordinal:
        return PatientLabels(highest, 0)
    return PatientLabels(np.where(differ, -1, highest), int(differ.sum()))


def _places(patients: ArrayLike, n: int) -> tuple[NDArray, NDArray[np.int64]]:
    """Names in the order of their first row, and which of them each row is of."""
    given = np.asarray(patients)
    if given.shape != (n,) or not n:
        raise InputError(f"patients: {given.shape} names for {n} photographs")
    names, first, place = np.unique(given, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    return names[order], rank[place]


def _checked(probabilities: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or not np.isfinite(p).all():
        raise InputError(f"patients: probabilities of shape {p.shape}; give (n, C), all finite")
    return p
