"""Conf-OT: split conformal prediction on a transport plan between all rows and the classes.

Silva-Rodríguez et al., "Conformal Prediction for Zero-Shot Models", CVPR 2025.

    plan = Sinkhorn(exp(logits / ε)), rows of equal mass, classes of the calibration labels' shares, ε = 1, 3 rounds
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.conformal.base import CONFORMAL
from fewshot_flair.conformal.methods.split import Split
from fewshot_flair.evaluation.thresholds import score_threshold

ROUNDS = 3


@CONFORMAL.register
class ConfOT(Split):
    """The threshold and the sets are of probabilities that calibration and test rows share out together."""

    name = "conf-ot"
    summary = "split on an optimal transport plan over calibration and test rows together"
    paper = "Silva-Rodríguez et al., Conformal Prediction for Zero-Shot Models, CVPR 2025"
    guarantee = (
        "about 1 − alpha of the test side as a whole, where it comes as the calibration rows came; not exactly, as its "
        "plan knows the calibration rows' labels (docs/conformal.md has the figures)"
    )
    transductive = True
    kept = ("rows_", "labels_", "uniform_")

    def calibrate(self, X: NDArray, y: NDArray[np.int64], u: NDArray[np.float64], groups: NDArray) -> None:
        """Keep the calibration rows; the threshold needs the test side."""
        self.head_, rows = self.fitted(X, y, groups)
        self.rows_, self.labels_, self.uniform_ = X[rows], y[rows], u[rows]
        self.n_calibration_ = len(rows)
        self._warn_of_few(len(rows))

    def contains(self, X: NDArray, u: NDArray[np.float64]) -> NDArray[np.bool_]:
        """One plan for all rows, then as `split`."""
        known, new = self._plan(X)
        scores = self.score.labelled(known, self.labels_, self.uniform_)
        return self.score.candidates(new, u) <= score_threshold(scores, self.alpha, self.quantile)

    def probabilities(self, X: ArrayLike) -> NDArray[np.float64]:
        """Rows of the plan, scaled to sum to 1: (n, C)."""
        return self._plan(self._rows(X))[1]

    def _plan(self, X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The plan's rows of the calibration side and of X, each scaled to sum to 1."""
        assert self.head_ is not None
        n = len(self.rows_)
        logits = self.head_.logits(np.concatenate([self.rows_, X]))[0].astype(np.float64)
        plan = np.exp(logits - logits.max())
        shares = np.bincount(self.labels_, minlength=len(self.columns_)) / n
        for _ in range(ROUNDS):
            plan *= shares / np.maximum(plan.sum(axis=0), np.finfo(float).tiny)
            plan /= plan.sum(axis=1, keepdims=True) * len(plan)
        plan *= len(plan)
        return plan[:n], plan[n:]
