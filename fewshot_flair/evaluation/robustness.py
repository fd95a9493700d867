"""Whether a classifier is better elsewhere than its figures at home promise, and which ones nothing else beats."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError

__all__ = ["Line", "baseline_line", "pareto_front"]


class Line(NamedTuple):
    """What accuracy elsewhere is expected of an accuracy at home: ``intercept + slope · inside``.

    Attributes
    ----------
    n : int
        Baseline models that it was fitted to.
    r2 : float
        Share of the variance of their accuracy elsewhere that it explains; NaN where there is none.
    """

    slope: float
    intercept: float
    n: int
    r2: float

    def effective(self, inside: ArrayLike, outside: ArrayLike) -> NDArray[np.float64]:
        """Effective robustness: accuracy elsewhere minus what the line expects, in the unit of the accuracies."""
        expected = self.intercept + self.slope * np.asarray(inside, dtype=np.float64)
        return np.asarray(outside, dtype=np.float64) - expected


def baseline_line(inside: ArrayLike, outside: ArrayLike) -> Line:
    """Fit the least-squares line of accuracy elsewhere on accuracy at home over baseline models.

    Parameters
    ----------
    inside, outside : array-like of shape (n,)
        Accuracies of the same n models, such as frozen adapters, on both test sets.

    Raises
    ------
    InputError
        If there are fewer than three models, or all have the same accuracy at home.

    References
    ----------
    Taori et al., Measuring Robustness to Natural Distribution Shifts in Image Classification, NeurIPS 2020 (there
    after a logit of both axes; here, far from 0 and 1, the axes are as they are).
    """
    x, y = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (inside, outside))
    if len(x) != len(y) or len(x) < 3 or np.ptp(x) == 0:
        raise InputError(
            f"effective robustness: {len(x)} baseline models at {len(np.unique(x))} accuracies; a line needs three of "
            "them, not all alike"
        )
    slope, intercept = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    rest = float(((y - intercept - slope * x) ** 2).sum())
    return Line(float(slope), float(intercept), len(x), 1 - rest / spread if spread else float("nan"))


def pareto_front(gains: ArrayLike) -> NDArray[np.bool_]:
    """Which rows no other row beats: none is at least as good in every column and better in one.

    Parameters
    ----------
    gains : array-like of shape (n, k)
        More is better; give costs with a minus.

    Returns
    -------
    bool array of shape (n,)

    Examples
    --------
    >>> pareto_front([[0.5, 0.4], [0.6, 0.3], [0.5, 0.3]]).tolist()
    [True, True, False]
    """
    rows = np.asarray(gains, dtype=np.float64)
    at_least = np.all(rows[None] >= rows[:, None], axis=2)
    better = np.any(rows[None] > rows[:, None], axis=2)
    return np.asarray(~np.any(at_least & better, axis=1), dtype=bool)
