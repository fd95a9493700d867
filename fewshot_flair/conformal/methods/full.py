"""Full conformal adaptation: each new row joins the shots under each label in turn, and the adapter is fitted anew.

Silva-Rodríguez et al., "Full Conformal Adaptation of Medical Vision-Language Models", IPMI 2025;
Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005.

    c is in the set of x  ⟺  s(x, c) ≤ threshold of the shots' scores, all by the fit on shots and (x, c)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.adapters import fit_episodes
from fewshot_flair.adapters.base import softmax
from fewshot_flair.conformal.base import CONFORMAL, Conformal
from fewshot_flair.conformal.shortcuts import SHORTCUTS
from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.thresholds import score_threshold

CHUNK = 2**20
"""Probabilities of shots that are held at once: 8 MiB of float64."""


@CONFORMAL.register
class Full(Conformal):
    """All labelled rows both fit and calibrate, for one refit a row and class; in closed form for ss-text."""

    name = "full"
    summary = "refit with each new row under each label: nothing is spared for calibration"
    paper = "Silva-Rodríguez et al., Full Conformal Adaptation of Medical Vision-Language Models, IPMI 2025"
    guarantee = "at least 1 − alpha of new rows, where they come as the labelled rows came"
    kept = ("rows_", "labels_", "uniform_")

    def calibrate(self, X: NDArray, y: NDArray[np.int64], u: NDArray[np.float64], groups: NDArray) -> None:
        """Keep the rows: every fit needs them."""
        if self.adapter.needs_tower:
            raise InputError(
                f"full needs a fit for each row and class, and {self.adapter.name} trains through the text tower; take "
                "cross or split"
            )
        self.rows_, self.labels_, self.uniform_ = X, y, u
        self.n_calibration_ = len(X)
        self._warn_of_few(len(X))

    def contains(self, X: NDArray, u: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Classes under which the row fits no worse than the shots do."""
        sets = np.empty((len(X), len(self.columns_)), dtype=bool)
        for part, shots, own in self._refits(X):
            scores = self.score.labelled(shots, self.labels_, self.uniform_)
            mine = np.diagonal(self.score.candidates(own, u[part, None, :]), axis1=1, axis2=2)
            sets[part] = mine <= score_threshold(scores, self.alpha, self.quantile)
        return sets

    def thresholds(self, X: ArrayLike) -> NDArray[np.float64]:
        """The threshold of each row under each label: (n, C)."""
        found = [
            score_threshold(
                self.score.labelled(shots, self.labels_, self.uniform_), self.alpha, self.quantile
            )
            for _, shots, _ in self._refits(self._rows(X))
        ]
        return np.concatenate(found)

    def probabilities(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean over the labels of the probabilities that the fit with each gives the row: (n, C)."""
        return np.concatenate([own.mean(axis=1) for _, _, own in self._refits(self._rows(X))])

    def _refits(self, X: NDArray) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
        """For some rows at a time: probabilities of the shots (m, C, N, C) and of the row itself (m, C, C).

        The second axis is the label that the row has in the fit.
        """
        n, n_classes = len(self.rows_), len(self.columns_)
        size = max(1, CHUNK // (n * n_classes * n_classes))
        shortcut = SHORTCUTS.get(type(self.adapter))
        for start in range(0, len(X), size):
            part = slice(start, min(start + size, len(X)))
            if shortcut is not None:
                yield part, *shortcut(self.adapter, self.rows_, self.labels_, X[part])
            else:
                yield part, *self._one_by_one(X[part])

    def _one_by_one(self, X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n, m, n_classes = len(self.rows_), len(X), len(self.columns_)
        joined = np.concatenate([self.rows_, np.repeat(X, n_classes, axis=0)])
        labels = np.concatenate([self.labels_, np.tile(np.arange(n_classes), m)])
        shots = np.arange(n)
        episodes = [np.append(shots, n + k) for k in range(m * n_classes)]
        fits = fit_episodes(self.adapter, joined, labels, episodes, classes=range(n_classes), common=n)
        logits = fits.head.logits(self.rows_).reshape(m, n_classes, n, n_classes)
        own = np.stack(
            [
                fits.head.take(slice(i * n_classes, (i + 1) * n_classes)).logits(X[i : i + 1])[:, 0]
                for i in range(m)
            ]
        )
        return softmax(logits.astype(np.float64)), softmax(own.astype(np.float64))
