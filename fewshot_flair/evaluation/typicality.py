"""How typical a row of features is of the rows that an adapter was fitted on: a conformal p-value of a distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError

__all__ = ["Typicality"]

_AT_ONCE = 4096
"""So many rows are compared at a time, so that they fit the memory."""
_LEAST = 1e-9
"""Least variance in any direction, of rows of length 1: rows that are all the same have none."""


@dataclass(frozen=True)
class Typicality:
    """The mean and the shrunk covariance of training rows, and how far each of them lies from the other patients'.

    A row's distance is Mahalanobis', of rows brought to length 1. Of a new row that was drawn as the training
    patients were, ``P(p <= a) <= a`` for every `a`, up to the training rows' distances being taken without their own
    patient and the new row's with all of them.

    Attributes
    ----------
    mean : float64 array of shape (D,)
    factor : float64 array of shape (D, D)
        Lower Cholesky factor of the covariance.
    reference : float64 array of shape (n,)
        The training rows' distances, in order of size.

    References
    ----------
    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, J. Multivariate Analysis
    88, 2004; Lee et al., A simple unified framework for detecting out-of-distribution samples, NeurIPS 2018 (the
    distance, there by class); Laxhammar and Falkman, Conformal prediction for distribution-independent anomaly
    detection, FUSION 2010; the p-value of Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005,
    eq. 2.20.
    """

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]
    reference: NDArray[np.float64]

    @classmethod
    def fit(cls, X: ArrayLike, patients: ArrayLike | None = None) -> Typicality:
        """Learn from training rows.

        Parameters
        ----------
        X : array of shape (n, D)
            Features of the training rows.
        patients : array of shape (n,), optional
            Whose they are; a row is never compared with its own patient's. Without, each is one of its own.

        Raises
        ------
        InputError
            If the arrays do not fit each other, or there are fewer than two patients.
        """
        from scipy.linalg import cholesky
        from sklearn.covariance import ledoit_wolf_shrinkage

        rows = _unit(X)
        n = len(rows)
        owners = np.arange(n) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
        if len(owners) != n:
            raise InputError(f"typicality: {len(owners)} patients for {n} rows; give one for each row")
        if len(np.unique(owners)) < 2:
            raise InputError("typicality: rows of one patient only; there is no other to compare with")
        mean = rows.mean(axis=0)
        centred = rows - mean
        shrinkage = float(ledoit_wolf_shrinkage(centred, assume_centered=True))
        share = (1 - shrinkage) / n
        covariance = share * centred.T @ centred
        variance = shrinkage * np.square(centred).sum() / centred.size
        covariance[np.diag_indices_from(covariance)] += max(variance, _LEAST)
        factor = cholesky(covariance, lower=True)
        fitted = cls(mean, factor, np.empty(0))
        whitened = fitted._whitened(rows)
        distances = np.empty(n)
        for own in np.split(np.argsort(owners, kind="stable"), np.cumsum(np.bincount(owners))[:-1]):
            distances[own] = _without(whitened[own], n, share)
        return cls(mean, factor, np.sort(distances))

    def distances(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mahalanobis distance of each row (m, D) to the training rows, shape (m,)."""
        new = _unit(X)
        if new.shape[1] != len(self.mean):
            raise InputError(f"typicality: rows of {new.shape[1]} numbers; fitted on {len(self.mean)}")
        parts = [
            np.linalg.norm(self._whitened(new[start : start + _AT_ONCE]), axis=1)
            for start in range(0, len(new), _AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def p_values(self, X: ArrayLike) -> NDArray[np.float64]:
        """Share of training rows at least as far off as each row, itself counted: (1 + #{d_i >= d}) / (n + 1).

        Small where a row is unlike all training rows; never below 1 / (n + 1).
        """
        as_far = len(self.reference) - np.searchsorted(self.reference, self.distances(X), side="left")
        return np.asarray((1 + as_far) / (len(self.reference) + 1))

    def _whitened(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self.factor, (rows - self.mean).T, lower=True).T)


def _unit(X: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(X, np.float64)
    if rows.ndim != 2:
        raise InputError(f"typicality: features have shape {rows.shape}; they must be (rows, D)")
    if not np.isfinite(rows).all():
        raise InputError(
            "typicality: features hold numbers that are not finite; encode the photographs again"
        )
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _without(own: NDArray[np.float64], n: int, share: float) -> NDArray[np.float64]:
    """Distances of a patient's whitened rows (k, D) to the other patients' mean, by their covariance.

    Leaving k rows Z out takes Z' A Z, A = I + 11' / (n - k), from the scatter and moves their differences to the mean
    to A Z; Woodbury's identity then needs no more than the k inner products. Shrinkage stays that of all rows.
    """
    k = len(own)
    inner = own @ own.T
    moved = np.eye(k) + 1 / (n - k)
    # A's inverse is I - 11' / n.
    longer = inner + share * inner @ np.linalg.solve(np.eye(k) - 1 / n - share * inner, inner)
    squared = np.einsum("ij,jk,ik->i", moved, longer, moved) * (n - k) / n
    return np.asarray(np.sqrt(np.maximum(squared, 0)))
