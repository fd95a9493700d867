"""Folds that part neither a patient nor the same photograph of two patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["FOLDS", "fold_of_rows", "inseparable", "patient_folds"]

FOLDS = 5


def inseparable(patients: Sequence[str], keys: Sequence[str]) -> NDArray[np.int64]:
    """Groups of rows that no fold may part: rows of a patient, and of patients who share a photograph.

    Returns
    -------
    int64 array of shape (n,)
        Numbered in the order of the patients' names.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, patient = np.unique(patients, return_inverse=True)
    photographs, photograph = np.unique(keys, return_inverse=True)
    n = len(names) + len(photographs)
    links = coo_array((np.ones(len(patient)), (patient, len(names) + photograph)), shape=(n, n))
    return connected_components(links, directed=False)[1][patient].astype(np.int64)


def patient_folds(
    y: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit on and rows to predict, fold by fold, stratified by class (scikit-learn's StratifiedGroupKFold).

    There are never more folds than groups, or than rows of the largest class; none where that leaves fewer than
    two, or one would have nothing to be fitted on.
    """
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    groups = np.unique(groups, return_inverse=True)[1]
    folds = min(folds, int(groups.max()) + 1, int(np.bincount(y).max()))
    if folds < 2:
        return []
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a class has fewer images than there are folds
        parts = list(splitter.split(np.zeros((len(y), 1)), y, groups))
    return parts if all(len(fit) for fit, _ in parts) else []


def fold_of_rows(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], n: int) -> NDArray[np.int64]:
    """In which of the folds of `patient_folds` each of n rows is predicted: (n,)."""
    found = np.empty(n, dtype=np.int64)
    for place, (_, held) in enumerate(parts):
        found[held] = place
    return found
