"""Folds that part neither a patient nor the same photograph of two patients."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["FOLDS", "flair_folds", "fold_of_rows", "inseparable", "patient_folds"]

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


def flair_folds(
    y: NDArray[np.int64], folds: int = FOLDS
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The folds of FLAIR's tables: rows to fit on and rows to test on, index for index as its code draws them.

    Fold f shuffles the rows with Python's generator seeded with f; then of each class, in ascending order, the first
    fifth (rounded down) is tested, and the next four fifths (rounded down) are fitted on. They are draws of their own
    and no division of the rows: a row may be tested in several folds or in none; patients are not kept together.

    Parameters
    ----------
    y : int array of shape (n,)
        Class of each row, in the order of the authors' table.

    Returns
    -------
    list of (int64 array, int64 array)
        Training and test rows of each fold, class by class.

    References
    ----------
    Silva-Rodríguez et al., A Foundation Language-Image Model of the Retina (FLAIR), Medical Image Analysis 99, 2025.
    """
    parts = []
    for fold in range(folds):
        order = list(range(len(y)))
        random.Random(fold).shuffle(order)  # noqa: S311
        shuffled = np.array(order, dtype=np.int64)
        train, test = [], []
        for c in np.unique(y):
            rows = shuffled[y[shuffled] == c]
            # as the published code computes a percentage of a whole number
            n_test, n_train = int(20 / 100 * len(rows)), int(80 / 100 * len(rows))
            test.append(rows[:n_test])
            train.append(rows[n_test : n_test + n_train])
        parts.append((np.concatenate(train), np.concatenate(test)))
    return parts
