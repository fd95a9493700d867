"""The threshold of conformal sets: a quantile of calibration scores."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError

__all__ = ["Quantile", "fewest_rows", "score_threshold"]

Quantile = Literal["exact", "published"]


def score_threshold(
    scores: NDArray[np.float64], alpha: float, quantile: Quantile = "exact"
) -> NDArray[np.float64]:
    """Thresholds (...,) of calibration scores (..., n): a class whose score is at most that is in the set.

    ``"exact"``: the ⌈(n + 1)(1 − α)⌉-th smallest score, which the guarantee needs (Vovk et al., *Algorithmic
    Learning in a Random World*, 2005). ``"published"``: linear interpolation at the level (n + 1)(1 − α) / n, as
    the code of Full Conformal Adaptation has it, which lies a little below. Both are infinite where there are too
    few scores.
    """
    scores = np.asarray(scores, dtype=np.float64)
    n = scores.shape[-1]
    if quantile == "published":
        level = (n + 1) * (1 - alpha) / n if n else np.inf
        return np.quantile(scores, level, axis=-1) if level <= 1 else np.full(scores.shape[:-1], np.inf)
    if quantile != "exact":
        raise InputError(f"quantile is 'exact' or 'published', not {quantile!r}")
    place = _place(n, alpha)
    if place > n:
        return np.full(scores.shape[:-1], np.inf)
    return np.partition(scores, place - 1, axis=-1)[..., place - 1]


def fewest_rows(alpha: float) -> int:
    """Calibration rows that a finite threshold needs: the smallest n with ⌈(n + 1)(1 − α)⌉ ≤ n."""
    n = max(1, int(1 / alpha) - 2)
    while _place(n, alpha) > n:
        n += 1
    return n


def _place(n: int, alpha: float) -> int:
    return int(np.ceil((n + 1) * (1 - alpha) - 1e-9))
