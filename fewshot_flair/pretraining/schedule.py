"""The learning rate over a training."""

from __future__ import annotations

import math

__all__ = ["learning_rate"]


def learning_rate(peak: float, step: int, warm_up: int, total: int) -> float:
    """Linear warm-up over the first steps, then a cosine to zero.

    Parameters
    ----------
    peak : float
        The largest rate.
    step : int
        From 0.
    warm_up, total : int
        Steps of the warm-up, and of the whole training.
    """
    if step < warm_up:
        return peak * (step + 1) / warm_up
    share = (step - warm_up) / max(1, total - warm_up)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))
