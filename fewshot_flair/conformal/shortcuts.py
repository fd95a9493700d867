"""Refits with one more row that need no refit.

For ss-text only the weights of the row's label change: w_c + f · x, f = s / (λ N) with the row counted in N. Products
of shots, rows and weights give all logits of all refits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.adapters import Adapter
from fewshot_flair.adapters.methods.ss_text import SMALLEST_LAMBDA, SSText

__all__ = ["SHORTCUTS"]

Refits = tuple[NDArray[np.float64], NDArray[np.float64]]


def ss_text(adapter: SSText, shots: NDArray, y: NDArray[np.int64], rows: NDArray) -> Refits:
    """Probabilities of shots (m, C, N, C) and of the row (m, C, C) after each row joined under each label."""
    text = adapter.text
    assert text is not None
    total = len(shots) + 1
    lam = 1 / total if adapter.lam is None else adapter.lam
    scale, factor = text.scale, text.scale / (max(lam, SMALLEST_LAMBDA) * total)
    x, new = shots.astype(np.float64), rows.astype(np.float64)
    weights = np.asarray(text.prototypes, dtype=np.float64).copy()
    np.add.at(weights, y, factor * x)
    norms = np.sqrt((weights**2).sum(axis=1))
    squares = (new**2).sum(axis=1)
    with_new = new @ weights.T
    # of w_c + f · x: (m, C)
    joined = np.sqrt(norms**2 + 2 * factor * with_new + (factor**2 * squares)[:, None])
    unit_x = x / np.linalg.norm(x, axis=1, keepdims=True)
    products, near = unit_x @ weights.T, unit_x @ new.T
    base = scale * products / norms
    changed = scale * (products.T[None] + factor * near.T[:, None, :]) / joined[:, :, None]
    unit_new = 1 / np.sqrt(squares)[:, None]
    own_base = scale * with_new * unit_new / norms
    own_changed = scale * (with_new + factor * squares[:, None]) * unit_new / joined
    return _replaced(base[None, None], changed), _replaced(own_base[:, None], own_changed)


def _replaced(base: NDArray[np.float64], changed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax of logits whose column c is another one under label c.

    `base` is (1 or m, 1, N, C) with `changed` (m, C, N), or (m, 1, C) with `changed` (m, C).
    """
    top = base.max(axis=-1)
    plain = np.exp(base - top[..., None])
    sums = plain.sum(axis=-1)
    fresh = np.exp(changed - top)
    c = np.arange(changed.shape[1])
    without = sums - np.moveaxis(plain[:, 0], -1, 1)
    shrink = 1 / (without + fresh)  # products are quicker than quotients
    p = np.broadcast_to(plain, (len(changed), len(c), *plain.shape[2:])) * shrink[..., None]
    p[:, c, ..., c] = np.moveaxis(fresh * shrink, 1, 0)
    return p


SHORTCUTS: dict[type[Adapter], Callable[[Any, NDArray, NDArray[np.int64], NDArray], Refits]] = {
    SSText: ss_text
}
