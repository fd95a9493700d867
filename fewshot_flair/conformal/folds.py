"""Divisions of labelled rows that part no patient."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError

__all__ = ["ONE_PATIENT", "spared_patients"]

ONE_PATIENT = (
    "conformal sets: the rows are all of one patient, who cannot be on both sides of a division, or no class has two "
    "rows"
)


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
