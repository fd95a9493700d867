"""Rows known again by their numbers, and uniform numbers that belong to a row whatever else is in the call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["row_marks", "row_uniforms"]

COLUMNS = 16
_ODD = np.random.default_rng(0).integers(0, 2**63, COLUMNS, dtype=np.uint64) | np.uint64(1)


def row_marks(X: NDArray) -> NDArray[np.uint64]:
    """A number for each row, the same for rows of the same features in float32: (n,).

    It is made of the first 16 columns, in which two photographs never agree.
    """
    bits = np.ascontiguousarray(X[:, :COLUMNS], dtype=np.float32).view(np.uint32).astype(np.uint64)
    return _mixed((bits * _ODD[: bits.shape[1]]).sum(axis=1, dtype=np.uint64))


def row_uniforms(X: NDArray, n: int, seed: int) -> NDArray[np.float64]:
    """`n` numbers in [0, 1) for each row of features, which depend on the row and the seed alone: (rows, n)."""
    steps = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    start = row_marks(X) ^ _mixed(np.full(1, seed % 2**64, dtype=np.uint64))
    return (_mixed(start[:, None] + steps) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
