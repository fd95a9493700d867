"""Fit an adapter on the support sets of many seeds at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.adapters.base import Adapter, check_head, finite, softmax
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.pool import Pool
from fewshot_flair.adapters.threads import one_thread
from fewshot_flair.adapters.validation import check_features
from fewshot_flair.episodes import Episodes
from fewshot_flair.errors import InputError

__all__ = ["EpisodeFits", "fit_episodes"]

BATCH_NUMBERS = 2**25
"""Numbers that a batch's features, or its Gram matrices, may hold: 128 MiB of float32 each."""


@dataclass(frozen=True, eq=False)
class EpisodeFits:
    """An adapter fitted on B support sets.

    Attributes
    ----------
    columns_ : array of shape (C,)
        Names or codes of the logits' columns, as `Adapter.columns_`.
    head : Head
        Weights of all episodes.
    seconds : float
        Wall time of all fits together.
    """

    adapter: Adapter
    columns_: NDArray
    head: Head
    seconds: float

    def logits(self, X: ArrayLike) -> NDArray:
        """Logits of query features (n, D): (B, n, C)."""
        X = check_features(self.adapter, X, reset=False)
        return finite(self.adapter.name, self.head.logits(X))

    def predict(self, X: ArrayLike) -> NDArray:
        """Predicted class of each query in each episode: (B, n)."""
        return self.columns_[self.logits(X).argmax(axis=2)]

    def probabilities(self, X: ArrayLike) -> NDArray:
        """Softmax of the logits, in the order of `columns_`, not that of `Adapter.predict_proba`: (B, n, C)."""
        return softmax(self.logits(X))


def fit_episodes(
    adapter: Adapter,
    X: ArrayLike,
    y: ArrayLike,
    episodes: Episodes | Iterable[ArrayLike],
    *,
    X_unlabeled: ArrayLike | None = None,
    unlabeled: Sequence[ArrayLike] | None = None,
    sample_weight: ArrayLike | None = None,
    classes: Sequence[Any] | None = None,
    device: str | None = None,
    common: int = 0,
) -> EpisodeFits:
    """Fit an adapter on many support sets of one pool.

    Parameters
    ----------
    adapter : Adapter
        Left as it is: nothing is stored on it.
    X : array-like of shape (n, D)
        Features of the pool.
    y : array-like of shape (n,)
        Its labels, names or codes.
    episodes : Episodes or iterable of index arrays
        Rows of the pool, one array an episode.
    X_unlabeled : array-like of shape (M, D), optional
        Features of images without labels that every episode may use.
    unlabeled : sequence of index arrays, optional
        Rows of the pool that an episode may use without their labels, one array an episode; by default
        those of `episodes`, for adapters that use them.
    sample_weight : array-like of shape (n,), optional
    classes : sequence of C names or codes, optional
        The columns, for an adapter without text; by default the labels of the whole pool.
    device : str, optional
        Instead of the adapter's own.
    common : int
        So many leading rows are the same in all episodes, which some adapters make use of.

    Raises
    ------
    InputError
        As `Adapter.fit`, or if an episode is empty or refers to a row that the pool does not have.
    """
    began = time.perf_counter()
    adapter = copy(adapter)
    drawn = episodes if isinstance(episodes, Episodes) else Episodes.of(list(episodes))
    pool = Pool.checked(
        adapter, X, y, X_unlabeled=X_unlabeled, sample_weight=sample_weight, classes=classes, device=device
    )
    others = _unlabeled_rows(adapter, drawn, unlabeled)
    _check_rows(adapter.name, drawn.indices, len(pool.X))
    size = _batch_size(pool, drawn, others)
    heads = []
    for start in range(0, len(drawn), size):
        part = slice(start, start + size)
        with one_thread():
            batch = pool.batch(drawn.indices[part], others and others[part], common)
            heads.append(adapter.fit_batch(batch))
        check_head(adapter.name, heads[-1], pool)
    return EpisodeFits(adapter, pool.classes, Head.joined(heads), time.perf_counter() - began)


def _unlabeled_rows(
    adapter: Adapter, drawn: Episodes, unlabeled: Sequence[ArrayLike] | None
) -> tuple[NDArray[np.int64], ...] | None:
    if unlabeled is None:
        return drawn.unlabeled if adapter.uses_unlabeled else None
    if not adapter.uses_unlabeled:
        raise InputError(f"{adapter.name} cannot use unlabelled images; ss-text-u can")
    rows = Episodes.of(unlabeled)
    if len(rows) != len(drawn):
        raise InputError(f"{adapter.name}: unlabelled rows for {len(rows)} of {len(drawn)} episodes")
    return rows.indices


def _check_rows(name: str, indices: Sequence[NDArray[np.int64]], n: int) -> None:
    for number, rows in enumerate(indices):
        if not len(rows):
            raise InputError(f"{name}: episode {number} has no shots; give at least one row")
        if rows.min() < 0 or rows.max() >= n:
            raise InputError(f"{name}: episode {number} refers to row {rows.max()}; the pool has {n} rows")


def _batch_size(pool: Pool, drawn: Episodes, others: tuple[NDArray[np.int64], ...] | None) -> int:
    shots = max(len(rows) for rows in drawn.indices) + len(pool.classes)
    free = max((len(rows) for rows in others), default=0) if others else 0
    numbers = (shots + free) * max(shots, pool.X.shape[1])
    return max(1, BATCH_NUMBERS // numbers)
