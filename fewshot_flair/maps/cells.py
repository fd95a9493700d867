"""What each cell of a local map adds to a class, for any head.

The photograph's feature is (nearly) the mean of its P cells, f = mean F_p. A cell's score is what the answer would
lose if the cell looked like the mean of the others:

    f₋p = f − (F_p − f) / (P − 1),   score_cp = P · (ẑ_c(f) − ẑ_c(f₋p)),   ẑ_c = z_c − mean_c' z_c'

with the head's logits z. Of a linear head this is its class activation map (Zhou et al., Learning Deep Features for
Discriminative Localization, CVPR 2016), without its mean; it needs no gradient and holds for every head.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["centred", "class_scores", "local_class_scores", "text_scores"]

Logits = Callable[[NDArray], NDArray]
"""Features (n, D) to logits (n, C)."""
BLOCK_NUMBERS = 2**24


def class_scores(
    logits: Logits, feature: NDArray[np.floating], cells: NDArray[np.floating], *, unit: bool
) -> NDArray[np.float64]:
    """Scores of cells for each class.

    Parameters
    ----------
    logits : callable
        A head's, of features (n, D).
    feature : array of shape (D,)
        The photograph's own; of unit length if `unit`.
    cells : array of shape (P, D)
        In the feature's space.
    unit : bool
        Whether features have unit length (embeddings) and cells have not: the feature then gets the length of
        the cells' mean, and what is put together gets unit length again.

    Returns
    -------
    float64 array of shape (P, C)
        In logits; their mean over classes is 0.
    """
    cells = np.asarray(cells, np.float64)
    middle, n = cells.mean(axis=0), len(cells)
    whole: NDArray = np.asarray(feature, np.float64)
    if unit:
        whole = whole * np.linalg.norm(middle)

    def scored(rows: NDArray) -> NDArray[np.float64]:
        if unit:
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return centred(logits(rows))

    without = whole - (cells - middle) / max(1, n - 1)
    return n * (scored(whole[None]) - scored(without))


def local_class_scores(logits: Logits, row: NDArray[np.floating], width: int) -> NDArray[np.float64]:
    """Scores of cells for an adapter that sees the cells themselves: each in turn is put at their mean.

    Parameters
    ----------
    row : array of shape ((1 + P) · width,)
        The global feature and the cells, as `LocalBank` gives them.

    Returns
    -------
    float64 array of shape (P, C)
    """
    flat = np.asarray(row, np.float32)
    cells: NDArray = flat[width:].reshape(-1, width)
    middle, n = cells.mean(axis=0), len(cells)
    whole = centred(logits(flat[None].astype(np.float64)))
    block = max(1, BLOCK_NUMBERS // len(flat))
    parts = []
    for start in range(0, n, block):
        rows = np.repeat(flat[None], min(block, n - start), axis=0)
        for i in range(len(rows)):
            place = width * (1 + start + i)
            rows[i, place : place + width] = middle
            if np.any(flat[:width]):  # the global feature loses the cell too
                length = max(float(np.linalg.norm(middle)), 1e-12)
                rows[i, :width] -= (cells[start + i] - middle) / (length * max(1, n - 1))
        parts.append(whole - centred(logits(rows)))
    return n * np.concatenate(parts)


def text_scores(cells: NDArray[np.floating], texts: NDArray[np.floating]) -> NDArray[np.float64]:
    """What each cell adds to the cosine of the cells' mean with a text: over the cells the mean is that cosine.

    Parameters
    ----------
    cells : array of shape (P, D)
        In the space shared with texts, not of unit length.
    texts : array of shape (T, D)

    Returns
    -------
    float64 array of shape (P, T)
    """
    rows, directions = np.asarray(cells, np.float64), np.asarray(texts, np.float64)
    rows = rows / max(float(np.linalg.norm(rows.mean(axis=0))), 1e-12)
    return rows @ (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T


def centred(logits: NDArray) -> NDArray[np.float64]:
    """Logits (n, C) less their mean over the classes."""
    z = np.asarray(logits, np.float64)
    return z - z.mean(axis=1, keepdims=True)
