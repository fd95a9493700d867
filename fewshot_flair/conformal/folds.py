"""Divisions of labelled rows that part no patient."""

from __future__ import annotations

import warnings
import zlib

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError

__all__ = ["patient_folds", "spared_patients"]

ONE_PATIENT = "conformal sets: the rows are all of one patient, who cannot be on both sides of a division"


def spared_patients(X: NDArray, groups: NDArray, share: float, seed: int) -> NDArray[np.bool_]:
    """The rows (n,) of a random share of the patients.

    Not stratified: the rows that calibrate must come as new ones do, and a division by class takes odd rows of rare
    classes always to the same side. It depends on the rows too, as rows of few shots stand class by class.
    """
    names, patient = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise InputError(ONE_PATIENT)
    rng = np.random.default_rng([seed, zlib.crc32(X.tobytes())])
    return (rng.permutation(len(names)) < max(1, round(share * len(names))))[patient]


def patient_folds(y: NDArray[np.int64], groups: NDArray, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row (n,), stratified by class as far as patients allow; fewer folds than patients at most.

    Raises
    ------
    InputError
        If there is one patient, who cannot be divided.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(folds, len(np.unique(groups)))
    if folds < 2:
        raise InputError(ONE_PATIENT)
    found = np.zeros(len(y), dtype=np.int64)
    with warnings.catch_warnings():
        # classes with fewer rows than folds are usual here
        warnings.simplefilter("ignore", UserWarning)
        divider = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        for k, (_, held) in enumerate(divider.split(np.zeros((len(y), 1)), y, groups)):
            found[held] = k
    # a fold that no patient came into is no fold
    return np.unique(found, return_inverse=True)[1]
