"""APS: the probability of all classes that are more probable, and a random share of the class's own.

Romano, Sesia and Candès, "Classification with Valid and Adaptive Coverage", NeurIPS 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.evaluation.scores.base import SCORES, ConformityScore, at_labels, before_labels, falling


@SCORES.register
@dataclass(frozen=True)
class APS(ConformityScore):
    """Cumulated probability: sets that grow where the classifier is unsure."""

    name = "aps"
    summary = "cumulated probability down to the class: sets that grow where the classifier is unsure"
    random = True

    def labelled(
        self, p: NDArray[np.float64], y: NDArray[np.int64], u: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Of all before, and u · p_y."""
        return before_labels(p, y)[1] + u * at_labels(p, y)

    def candidates(self, p: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of all before and p_y, less u · p_y."""
        rank, before = falling(p)
        return before + p - np.take_along_axis(np.broadcast_to(u, p.shape), rank, axis=-1) * p
