"""What prediction sets are worth: coverage, size, and both by class and by patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError

__all__ = ["SET_FIGURES", "score_sets"]

SET_FIGURES = {
    "coverage": "share of rows whose class is in their set",
    "set_size": "classes a set",
    "single_share": "share of sets with one class",
    "empty_share": "share of sets without a class",
    "class_coverage_gap": "mean over classes of |class coverage − (1 − alpha)|",
    "patient_coverage": "share of patients all of whose rows are covered",
}
"""What is measured of sets, and what it means."""


def score_sets(
    sets: ArrayLike, y: ArrayLike, alpha: float, patients: ArrayLike | None = None
) -> dict[str, NDArray[np.float64]]:
    """Figures of sets (..., n, C) for labels (n,), by the keys of `SET_FIGURES`: each of shape (...,).

    The class coverage gap is that of Ding et al., NeurIPS 2023 (a share here, 100 times it in the paper); classes
    without rows do not count. Without `patients` each row is a patient.

    Raises
    ------
    InputError
        If shapes disagree or a label is no column.
    """
    held, truth = np.asarray(sets, dtype=bool), np.asarray(y)
    if held.ndim < 2 or held.shape[-2] != len(truth) or not len(truth):
        raise InputError(
            f"sets: {truth.shape} labels for sets of shape {held.shape}; give (n,) and (..., n, C)"
        )
    if truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= held.shape[-1]:
        raise InputError(f"sets: labels must be whole numbers from 0 to {held.shape[-1] - 1}")
    covered = held[..., np.arange(len(truth)), truth]
    sizes = held.sum(axis=-1)
    gaps = [np.abs(covered[..., truth == c].mean(axis=-1) - (1 - alpha)) for c in np.unique(truth)]
    groups = (
        np.arange(len(truth)) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    )
    together = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[together], prepend=-1))
    whole = np.logical_and.reduceat(covered[..., together], starts, axis=-1)
    return {
        "coverage": covered.mean(axis=-1),
        "set_size": sizes.mean(axis=-1),
        "single_share": (sizes == 1).mean(axis=-1),
        "empty_share": (sizes == 0).mean(axis=-1),
        "class_coverage_gap": np.mean(gaps, axis=0),
        "patient_coverage": whole.mean(axis=-1),
    }
