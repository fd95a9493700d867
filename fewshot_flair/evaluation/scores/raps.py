"""RAPS: APS with a penalty on classes of a low rank.

Angelopoulos et al., "Uncertainty Sets for Image Classifiers using Conformal Prediction", ICLR 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.evaluation.scores.aps import APS
from fewshot_flair.evaluation.scores.base import SCORES, before_labels, falling


@SCORES.register
@dataclass(frozen=True)
class RAPS(APS):
    """APS + max(0, λ · (rank − k)), ranks from 1.

    Parameters
    ----------
    lam : float
        λ; 0.001 as in the published code.
    k : int
        Ranks that cost nothing.
    """

    name = "raps"
    summary = "aps with a penalty on ranks: smaller sets at the far end"
    lam: float = 0.001
    k: int = 1

    def labelled(
        self, p: NDArray[np.float64], y: NDArray[np.int64], u: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """APS and the penalty of the label's rank."""
        return super().labelled(p, y, u) + self._penalty(before_labels(p, y)[0])

    def candidates(self, p: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        """APS and the penalty of each class's rank."""
        return super().candidates(p, u) + self._penalty(falling(p)[0])

    def _penalty(self, rank: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.maximum(0.0, self.lam * (rank + 1 - self.k))
