"""When not to answer: how the error falls as the less sure answers are referred."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError

__all__ = ["RiskCoverage", "referral_threshold", "risk_coverage"]


class RiskCoverage(NamedTuple):
    """The risk–coverage curve: a point for each distinct confidence, the surest first.

    Attributes
    ----------
    threshold, coverage, risk : float64 arrays of shape (points,)
        Rows of at least this confidence are answered; their share; the share of them that is wrong.
    area : float
        AURC: the mean risk over the coverages 1/n … 1 (Geifman and El-Yaniv, ICLR 2019, section 2), rows of
        one confidence taken in every order.
    """

    threshold: NDArray[np.float64]
    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    area: float


def risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Of confidences (n,) and whether each answer is right (n,).

    Raises
    ------
    InputError
        If shapes disagree, there is no row, or a confidence is NaN.
    """
    given, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if given.ndim != 1 or given.shape != right.shape or not len(given) or np.isnan(given).any():
        raise InputError(
            f"referral: {given.shape} confidences for {right.shape} answers; give (n,), none NaN"
        )
    n = len(given)
    order = np.argsort(-given, kind="stable")
    ordered, wrong = given[order], (~right[order]).astype(np.float64)
    last = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    size = np.diff(last, prepend=-1)
    errors = np.add.reduceat(wrong, last - size + 1)
    expected = np.repeat(errors / size, size).cumsum() / np.arange(1, n + 1)
    return RiskCoverage(ordered[last], (last + 1) / n, errors.cumsum() / (last + 1), float(expected.mean()))


def referral_threshold(confidence: ArrayLike, correct: ArrayLike, max_error: float) -> float:
    """The lowest confidence at which the answered rows have an error of at most `max_error`; NaN where none has.

    The error is that of the rows at hand; chosen out of fold it is about right for new rows, and no guarantee.
    """
    if not 0 <= max_error < 1:
        raise InputError(f"--max-error {max_error}: give a share from 0 to below 1, such as 0.05")
    curve = risk_coverage(confidence, correct)
    allowed = np.flatnonzero(curve.risk <= max_error + 1e-12)
    return float(curve.threshold[allowed[-1]]) if len(allowed) else float("nan")
