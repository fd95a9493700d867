"""Split conformal prediction around an adapter that learns from calibration and test rows together, without labels.

The pipeline of Silva-Rodríguez, Ben Ayed & Dolz, "Trustworthy Few-Shot Transfer of Medical VLMs through Split Conformal
Prediction", MICCAI 2025, arXiv 2506.17503 (SCA-T), with any adapter here that learns without labels in place of theirs,
whose formulas could not be read. Such a fit does not know which rows calibrate: scores of both sides are exchangeable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.adapters import create_adapter, fit_episodes
from fewshot_flair.adapters.base import softmax
from fewshot_flair.conformal.base import CONFORMAL
from fewshot_flair.conformal.methods.conf_ot import ConfOT
from fewshot_flair.errors import InputError


@CONFORMAL.register
class SplitTransductive(ConfOT):
    """The adapter is fitted on all rows without their labels; the threshold is of the calibration rows.

    It takes an adapter that learns from unlabelled rows and leaves shots out: ``zero_shot=True``. Mixtures are so
    sure that scores of 0 and 1 would tie, and every class be in every set. So the logits of all rows are divided by
    one number, found without labels, where their mean range is more than that of the zero-shot logits.
    """

    name = "split-transductive"
    summary = "split around an adapter that learns from calibration and test rows without labels"
    paper = (
        "Silva-Rodríguez et al., Trustworthy Few-Shot Transfer of Medical VLMs (its pipeline), MICCAI 2025"
    )
    pooled = True

    def calibrate(self, X: NDArray, y: NDArray[np.int64], u: NDArray[np.float64], groups: NDArray) -> None:
        """As `conf-ot`; InputError where the adapter would learn from labels."""
        if self.prefit or not self.adapter.uses_unlabeled or self.adapter.needs_shots:
            raise InputError(
                f"{self.name} fits an adapter that learns from photographs alone, without shots or prefit, such as "
                f"transclip:zero_shot=true; {self.adapter.name} here is not one"
            )
        super().calibrate(X, y, u, groups)

    def _plan(self, X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Transductive probabilities of the calibration rows and of X."""
        n, rows = len(self.rows_), np.concatenate([self.rows_, X])
        logits, zero_shot = (
            fit_episodes(
                adapter,
                self.rows_,
                self.columns_[self.labels_],
                [np.arange(n)],
                X_unlabeled=rows if adapter.uses_unlabeled else None,
                classes=self.columns_.tolist(),
            ).logits(rows)[0]
            for adapter in (self.adapter, create_adapter("zero-shot", text=self.adapter.text))
        )
        found = softmax(logits / max(1.0, np.ptp(logits, axis=1).mean() / np.ptp(zero_shot, axis=1).mean()))
        return found[:n], found[n:]
