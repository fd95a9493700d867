"""Adapting to the prevalence of the place of use, after the classifier is fitted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from fewshot_flair.errors import InputError

__all__ = ["correct_prior", "estimate_prior"]


def correct_prior(
    probabilities: NDArray[np.floating], source: ArrayLike, target: ArrayLike
) -> NDArray[np.float64]:
    """Move class probabilities from the prevalence they were fitted under to another.

    By Bayes' rule under label shift: p'(c | x) ∝ p(c | x) · target_c / source_c (Saerens, Latinne and
    Decaestecker, Neural Computation 14, 2002, equation 2.4). A class absent from `source` keeps weight 1.

    Parameters
    ----------
    probabilities : float array of shape (..., n, C)
    source, target : array-like of shape (C,)
        Prevalences; each is scaled to sum to 1.
    """
    p_source, p_target = _prior("source", source), _prior("target", target)
    tiny = np.finfo(np.float64).tiny
    ratio = np.where(p_source > 0, p_target / np.where(p_source > 0, p_source, 1.0), 1.0)
    with np.errstate(divide="ignore"):
        moved = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), tiny)) + np.log(ratio)
    return softmax(moved, axis=-1)


def estimate_prior(
    probabilities: NDArray[np.floating],
    source: ArrayLike,
    *,
    weight: float = 0.0,
    tolerance: float = 1e-6,
    max_iter: int = 1000,
) -> NDArray[np.float64]:
    """Estimate the prevalence behind unlabelled rows by expectation maximisation.

    Saerens, Latinne and Decaestecker, Neural Computation 14, 2002, equation 2.9; it starts at `source`
    and presumes calibrated probabilities.

    Parameters
    ----------
    probabilities : float array of shape (n, C)
        Of unlabelled rows, under `source`.
    weight : float
        Rows that `source` counts as beside these (a Dirichlet prior): of few rows and classes that are hard to
        tell apart the likeliest prevalence alone is often none at all of some.

    Returns
    -------
    float64 array of shape (C,)
        Sums to 1; a class of prevalence 0 in `source` stays at 0.
    """
    start = _prior("source", source)
    given = np.asarray(probabilities, dtype=np.float64)
    prior = start
    for _ in range(max_iter):
        ratio = np.divide(prior, start, out=np.zeros_like(prior), where=start > 0)
        posterior = given * ratio
        posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        renewed = posterior.sum(axis=0) + weight * start
        renewed /= max(renewed.sum(), np.finfo(float).tiny)
        if np.abs(renewed - prior).max() < tolerance:
            return renewed
        prior = renewed
    return prior


def _prior(name: str, values: ArrayLike) -> NDArray[np.float64]:
    prior = np.asarray(values, dtype=np.float64)
    if prior.ndim != 1 or not np.isfinite(prior).all() or prior.min() < 0 or prior.sum() <= 0:
        raise InputError(f"{name} prevalence {prior.tolist()}: give one number a class, none negative")
    return prior / prior.sum()
