"""Class-conditional (Mondrian) conformal prediction: a threshold for each class.

Vovk, "Conditional Validity of Inductive Conformal Predictors", ACML 2012.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.conformal.base import CONFORMAL
from fewshot_flair.conformal.methods.split import Split
from fewshot_flair.evaluation.thresholds import fewest_rows, score_threshold


@CONFORMAL.register
class Mondrian(Split):
    """As `split`, with a threshold for each class; a class with too few rows for one is in every set."""

    name = "mondrian"
    summary = "as split, with a threshold for each class"
    paper = "Vovk, Conditional Validity of Inductive Conformal Predictors, ACML 2012"
    guarantee = "at least 1 − alpha of the new rows of each class; rare classes by being in every set"

    def threshold_of(self, scores: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.float64]:
        """A threshold a class (C,); infinite where ⌈(n_c + 1)(1 − alpha)⌉ rows of it are not there."""
        counts = np.bincount(y, minlength=len(self.columns_))
        found = np.array(
            [score_threshold(scores[y == c], self.alpha, self.quantile) for c in range(len(counts))]
        )
        if np.isinf(found).any():
            rare = ", ".join(f"{self.columns_[c]} ({counts[c]})" for c in np.flatnonzero(np.isinf(found)))
            warnings.warn(
                f"{self.name}: in every set, as alpha {self.alpha:g} needs {fewest_rows(self.alpha)} calibration rows "
                f"a class: {rare}",
                RuntimeWarning,
                stacklevel=5,
            )
        return found
