"""LAC: one minus the probability of the class.

Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", JASA 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.evaluation.scores.base import SCORES, ConformityScore, at_labels


@SCORES.register
@dataclass(frozen=True)
class LAC(ConformityScore):
    """1 − p_y: the smallest sets on average, sometimes empty."""

    name = "lac"
    summary = "one minus the probability of the class: the smallest sets on average"

    def labelled(
        self, p: NDArray[np.float64], y: NDArray[np.int64], u: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """1 − p_y."""
        return 1 - at_labels(p, y)

    def candidates(self, p: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        """1 − p."""
        return 1 - p
