"""Split conformal prediction: a threshold from labelled rows that the adapter was not fitted on.

Papadopoulos et al., "Inductive Confidence Machines for Regression", ECML 2002; with zero-shot probabilities it is
the `scp` of Silva-Rodríguez et al., "Full Conformal Adaptation of Medical Vision-Language Models", IPMI 2025.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from fewshot_flair.adapters import Adapter, fit_episodes
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.marks import row_marks
from fewshot_flair.conformal.base import CONFORMAL, Conformal, class_probabilities
from fewshot_flair.conformal.folds import spared_patients
from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.thresholds import score_threshold


@CONFORMAL.register
class Split(Conformal):
    """One threshold for all classes.

    An adapter that needs no shots (zero-shot) calibrates on all rows. Another is fitted on one part of them and
    calibrated on the rest; or it comes fitted, with ``prefit=True``, and calibrates on all of them.

    Parameters
    ----------
    prefit : bool
        Take the adapter as it was fitted, on other rows.
    share : float
        Share of the rows that calibrate, at most a half, where the adapter is fitted here.
    """

    name = "split"
    summary = "a threshold from labelled rows that the adapter was not fitted on"
    paper = "Papadopoulos et al., Inductive Confidence Machines for Regression, ECML 2002"
    guarantee = "at least 1 − alpha of new rows, where they come as the calibration rows came"
    kept: ClassVar[tuple[str, ...]] = ("threshold_",)

    def __init__(
        self, adapter: Adapter, *settings: Any, prefit: bool = False, share: float = 0.5, **more: Any
    ) -> None:
        super().__init__(adapter, *settings, **more)
        if not 0 < share <= 0.5:
            raise InputError(f"{self.name}: share is {share!r}; give at most 0.5, the rows that calibrate")
        self.prefit, self.share = prefit, share

    def calibrate(self, X: NDArray, y: NDArray[np.int64], u: NDArray[np.float64], groups: NDArray) -> None:
        """A quantile of the scores of rows that were not fitted on."""
        self.head_, rows = self.fitted(X, y, groups)
        self.n_calibration_ = len(rows)
        scores = self.score.labelled(class_probabilities(self.head_, X[rows])[0], y[rows], u[rows])
        self.threshold_ = self.threshold_of(scores, y[rows])

    def threshold_of(self, scores: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.float64]:
        """The threshold of calibration scores (n,)."""
        self._warn_of_few(len(scores))
        return score_threshold(scores, self.alpha, self.quantile)

    def contains(self, X: NDArray, u: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Classes whose score is within the threshold."""
        assert self.head_ is not None
        return self.score.candidates(class_probabilities(self.head_, X)[0], u) <= self.threshold_

    def probabilities(self, X: ArrayLike) -> NDArray[np.float64]:
        """The adapter's own: (n, C)."""
        assert self.head_ is not None
        return class_probabilities(self.head_, self._rows(X))[0]

    def fitted(self, X: NDArray, y: NDArray[np.int64], groups: NDArray) -> tuple[Head, NDArray[np.int64]]:
        """The adapter's head, and the rows that calibrate."""
        every = np.arange(len(X))
        if self.prefit:
            check_is_fitted(self.adapter, "head_")
            seen = int(np.isin(row_marks(X), getattr(self.adapter, "marks_", [])).sum())
            if seen:
                warnings.warn(
                    f"{self.name}: {self.adapter.name} was fitted on {seen} of the {len(X)} calibration rows, so "
                    "coverage can be far below 1 − alpha; give other rows, or take cross or full",
                    RuntimeWarning,
                    stacklevel=4,
                )
            return self.adapter.head_, every
        fit_on = calibrate_on = every
        if self.adapter.needs_shots:
            spared = spared_patients(X, groups, self.share, self.random_state)
            fit_on, calibrate_on = np.flatnonzero(~spared), np.flatnonzero(spared)
        fits = fit_episodes(self.adapter, X, y, [fit_on], classes=range(len(self.columns_)))
        return fits.head, calibrate_on
