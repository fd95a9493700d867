"""How typical a row of features is of the rows that an adapter was fitted on: a conformal p-value of a distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError

__all__ = ["Typicality"]

_AT_ONCE = 4096
"""So many rows are compared at a time, so that the distances fit the memory."""


@dataclass(frozen=True)
class Typicality:
    """Training rows, and how far each of them lies from those of other patients.

    A row's distance is the mean cosine distance to its `neighbours` nearest training rows. Of a new row that
    was drawn as the training patients were, ``P(p <= a) <= a`` for every `a`, up to the training rows'
    distances being taken without their own patient and the new row's with all of them.

    Attributes
    ----------
    rows : float32 array of shape (n, D)
        Training rows of length 1.
    reference : float64 array of shape (n,)
        Their distances, in order of size.
    neighbours : int

    References
    ----------
    Laxhammar and Falkman, Conformal prediction for distribution-independent anomaly detection, FUSION 2010;
    the p-value of Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, eq. 2.20.
    """

    rows: NDArray[np.float32]
    reference: NDArray[np.float64]
    neighbours: int

    @classmethod
    def fit(cls, X: ArrayLike, patients: ArrayLike | None = None, neighbours: int = 5) -> Typicality:
        """Learn from training rows.

        Parameters
        ----------
        X : array of shape (n, D)
            Features of the training rows.
        patients : array of shape (n,), optional
            Whose they are; a row is never compared with its own patient's. Without, each is one of its own.
        neighbours : int
            Nearest rows whose distances are averaged; all rows of other patients where there are fewer.

        Raises
        ------
        InputError
            If the arrays do not fit each other, or there are fewer than two patients.
        """
        rows = _unit(X)
        owners = (
            np.arange(len(rows))
            if patients is None
            else np.unique(np.asarray(patients), return_inverse=True)[1]
        )
        if len(owners) != len(rows):
            raise InputError(
                f"typicality: {len(owners)} patients for {len(rows)} rows; give one for each row"
            )
        if neighbours < 1:
            raise InputError(f"typicality: neighbours is {neighbours}; give 1 or more")
        if len(np.unique(owners)) < 2:
            raise InputError("typicality: rows of one patient only; there is no other to compare with")
        distances = np.concatenate(
            [
                _nearest(rows[part], rows, neighbours, owners[part][:, None] == owners[None])
                for part in _parts(len(rows))
            ]
        )
        return cls(rows, np.sort(distances), neighbours)

    def distances(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean cosine distance, from 0 to 2, of each row (m, D) to its nearest training rows, shape (m,)."""
        new = _unit(X)
        if new.shape[1] != self.rows.shape[1]:
            raise InputError(f"typicality: rows of {new.shape[1]} numbers; fitted on {self.rows.shape[1]}")
        parts = [_nearest(new[part], self.rows, self.neighbours) for part in _parts(len(new))]
        return np.concatenate(parts) if parts else np.empty(0)

    def p_values(self, X: ArrayLike) -> NDArray[np.float64]:
        """Share of training rows at least as far off as each row, itself counted: (1 + #{d_i >= d}) / (n + 1).

        Small where a row is unlike all training rows; never below 1 / (n + 1).
        """
        as_far = len(self.reference) - np.searchsorted(self.reference, self.distances(X), side="left")
        return np.asarray((1 + as_far) / (len(self.reference) + 1))


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)]


def _unit(X: ArrayLike) -> NDArray[np.float32]:
    rows = np.asarray(X, np.float32)
    if rows.ndim != 2:
        raise InputError(f"typicality: features have shape {rows.shape}; they must be (rows, D)")
    if not np.isfinite(rows).all():
        raise InputError(
            "typicality: features hold numbers that are not finite; encode the photographs again"
        )
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _nearest(
    new: NDArray[np.float32],
    rows: NDArray[np.float32],
    neighbours: int,
    without: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    distances = 1 - (new @ rows.T).astype(np.float64)
    if without is not None:
        distances[without] = np.inf
    kept = min(neighbours, len(rows))
    nearest = np.sort(np.partition(distances, kept - 1, axis=1)[:, :kept], axis=1)
    there = np.isfinite(nearest)
    return np.where(there, nearest, 0).sum(axis=1) / there.sum(axis=1)
