"""Cross-conformal prediction (CV+): every row calibrates a fit without its patient.

Romano, Sesia and Candès, "Classification with Valid and Adaptive Coverage", NeurIPS 2020, section 2.3;
Barber et al., "Predictive Inference with the Jackknife+", Annals of Statistics 2021.

    y is in the set of x  ⟺  #{i : s_i < s^(−k(i))(x, y)} < (1 − α)(n + 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.adapters import Adapter, fit_episodes
from fewshot_flair.adapters.base import softmax
from fewshot_flair.adapters.heads import Head
from fewshot_flair.conformal.base import CONFORMAL, Conformal, class_probabilities
from fewshot_flair.conformal.folds import ONE_PATIENT
from fewshot_flair.episodes.folds import fold_of_rows, patient_folds
from fewshot_flair.errors import InputError


@CONFORMAL.register
class Cross(Conformal):
    """All rows both fit and calibrate; no patient is on both sides of a fit.

    Parameters
    ----------
    folds : int
        At least 2; fewer where there are fewer patients.
    """

    name = "cross"
    summary = "every row calibrates a fit without its patient: nothing is spared for calibration"
    paper = "Romano, Sesia and Candès, Classification with Valid and Adaptive Coverage, NeurIPS 2020"
    guarantee = "at least 1 − 2 alpha of new rows, about 1 − alpha in practice"
    kept = ("scores_", "fold_")

    def __init__(self, adapter: Adapter, *settings: Any, folds: int = 5, **more: Any) -> None:
        super().__init__(adapter, *settings, **more)
        if folds < 2:
            raise InputError(f"{self.name}: folds is {folds!r}; give at least 2")
        if self.quantile != "exact":
            raise InputError(f"{self.name} counts ranks, and interpolates no quantile: leave quantile out")
        self.folds = folds

    def calibrate(self, X: NDArray, y: NDArray[np.int64], u: NDArray[np.float64], groups: NDArray) -> None:
        """One fit a fold, all in one batch, and the scores of the rows that it has not seen."""
        parts = patient_folds(y, groups, self.folds, self.random_state)
        if not parts:
            raise InputError(ONE_PATIENT)
        fold = fold_of_rows(parts, len(y))
        episodes = [fit for fit, _ in parts]
        head = fit_episodes(self.adapter, X, y, episodes, classes=range(len(self.columns_))).head
        self._keep(head, class_probabilities(head, X)[fold, np.arange(len(X))], y, fold, u)
        self._warn_of_few(len(X))

    def of_fits(
        self,
        head: Head,
        logits: NDArray,
        y: NDArray[np.int64],
        fold: NDArray[np.int64],
        classes: Sequence[str],
    ) -> Cross:
        """Calibrate on rows that were predicted out of fold already.

        Parameters
        ----------
        head : Head
            One episode a fold: the fit without it.
        logits : array of shape (n, C)
            Of each row by the fit without its fold.
        y, fold : int arrays of shape (n,)
        classes : sequence of C names
        """
        self.columns_ = np.array(classes)
        u = np.random.default_rng(self.random_state).random(len(y))
        self._keep(head, softmax(np.asarray(logits, dtype=np.float64)), y, fold, u)
        return self

    def _keep(
        self,
        head: Head,
        unseen: NDArray[np.float64],
        y: NDArray[np.int64],
        fold: NDArray[np.int64],
        u: NDArray[np.float64],
    ) -> None:
        """Scores of rows by their probabilities (n, C) out of fold."""
        self.head_, self.fold_, self.n_calibration_ = head, fold, len(y)
        self.scores_ = self.score.labelled(unseen, y, u)

    def contains(self, X: NDArray, u: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Classes that fit no worse than enough of the calibration rows, each by the fit without it."""
        assert self.head_ is not None
        candidates = self.score.candidates(class_probabilities(self.head_, X), u)
        smaller = np.zeros(candidates.shape[1:], dtype=np.int64)
        for k, own in enumerate(candidates):
            smaller += np.searchsorted(np.sort(self.scores_[self.fold_ == k]), own, side="left")
        return smaller < np.ceil((len(self.scores_) + 1) * (1 - self.alpha) - 1e-9)

    def probabilities(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean over the folds' fits: (n, C)."""
        assert self.head_ is not None
        return class_probabilities(self.head_, self._rows(X)).mean(axis=0)
