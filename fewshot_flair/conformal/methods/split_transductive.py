"""Split conformal prediction around an adapter that learns from calibration and test rows together, without labels.

The pipeline of Silva-Rodríguez, Ben Ayed & Dolz, "Trustworthy Few-Shot Transfer of Medical VLMs through Split Conformal
Prediction", MICCAI 2025, arXiv 2506.17503 (SCA-T), with any adapter here that learns without labels in place of theirs,
whose formulas could not be read. Such a fit does not know which rows calibrate: scores of both sides are exchangeable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.adapters import Adapter, fit_episodes
from fewshot_flair.conformal.base import CONFORMAL, class_probabilities
from fewshot_flair.conformal.methods.conf_ot import ConfOT
from fewshot_flair.errors import InputError


@CONFORMAL.register
class SplitTransductive(ConfOT):
    """The adapter is fitted on all rows without their labels; the threshold is of the calibration rows.

    It takes an adapter that learns from unlabelled rows and leaves shots out: ``zero_shot=True``.
    """

    name = "split-transductive"
    summary = "split around an adapter that learns from calibration and test rows without labels"
    paper = (
        "Silva-Rodríguez et al., Trustworthy Few-Shot Transfer of Medical VLMs (its pipeline), MICCAI 2025"
    )
    pooled = True

    def __init__(self, adapter: Adapter, *settings: Any, **more: Any) -> None:
        super().__init__(adapter, *settings, **more)
        if self.prefit or not adapter.uses_unlabeled or adapter.needs_shots:
            raise InputError(
                f"{self.name} fits an adapter that learns from photographs alone, without shots or prefit, such as "
                f"transclip:zero_shot=true; {adapter.name} here is not one"
            )

    def _plan(self, X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Transductive probabilities of the calibration rows and of X."""
        n, rows = len(self.rows_), np.concatenate([self.rows_, X])
        classes = self.columns_.tolist()
        made = fit_episodes(
            self.adapter,
            self.rows_,
            self.columns_[self.labels_],
            [np.arange(n)],
            X_unlabeled=rows,
            classes=classes,
        )
        found = class_probabilities(made.head, rows)[0]
        return found[:n], found[n:]
