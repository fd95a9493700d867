"""What transductive adapters share: neighbours in the pool, soft assignments of its images, and the head they leave.

The head is one more assignment step. So an image of the pool gets its transductive answer, and any other image the
answer it would get if it were assigned last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_namespace

from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.heads import CHUNK, Head
from fewshot_flair.adapters.namespaces import Array

__all__ = ["AssignmentHead", "Neighbours", "log_softmax", "unit_pool"]

SAME = 2e-6
"""An image whose cosine is nearer to 1 than this is the image itself, which is not its own neighbour."""


def unit_pool(batch: EpisodeBatch) -> tuple[Array, Array] | None:
    """L2-normalised unlabelled features (B, M, D) and their weights (B, M), or None where there are none."""
    if batch.unlabeled is None or not batch.unlabeled.shape[1]:
        return None
    rows = batch.unlabeled[:1] if batch.one_pool else batch.unlabeled
    return batch.xp.broadcast_to(unit(batch.xp, rows), batch.unlabeled.shape), batch.unlabeled_weight


def log_softmax(xp: Any, logits: Array) -> Array:
    """Logarithms of the softmax over the last axis."""
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def largest(xp: Any, values: Array, k: int) -> tuple[Array, Array]:
    """The k largest along the last axis, in any order, and where they are."""
    if is_torch_namespace(xp):
        found: tuple[Array, Array] = xp.topk(values, k)
        return found
    places = np.argpartition(-values, k - 1, axis=-1)[..., :k]
    return np.take_along_axis(values, places, axis=-1), places


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest images of the pool of some rows, by cosine, without the row itself.

    Attributes
    ----------
    weights : (B, n, k)
        Cosines; 0 where they are negative, and for padding.
    places : int (B, n, k)
        Which rows of the pool they are.
    """

    weights: Array
    places: Array

    @classmethod
    def of(cls, rows: Array, pool: Array, k: int) -> Neighbours:
        """Neighbours of unit rows (B or 1, n, D) among unit pool rows (B, M, D), of which padding is 0."""
        xp = array_namespace(pool)
        cosines = rows @ xp.matrix_transpose(pool)
        cosines = xp.where(cosines > 1 - SAME, xp.zeros_like(cosines) - 2, cosines)
        weights, places = largest(xp, cosines, min(k, int(pool.shape[1])))
        return cls(xp.clip(weights, 0, None), places)

    @classmethod
    def within(cls, batch: EpisodeBatch, pool: Array, k: int) -> Neighbours:
        """Neighbours of each unit row of the batch's pool (B, M, D) in it, some at a time to bound memory."""
        xp, episodes = batch.xp, batch.size
        pool = pool[:1] if batch.one_pool else pool
        size, n = int(pool.shape[0]), int(pool.shape[1])
        step = max(1, CHUNK // (size * n))
        parts = [cls.of(pool[:, start : start + step], pool, k) for start in range(0, n, step)]
        weights, places = (
            xp.concat([getattr(part, name) for part in parts], axis=1) for name in ("weights", "places")
        )
        shape = (episodes, *weights.shape[1:])
        return cls(xp.broadcast_to(weights, shape), xp.broadcast_to(places, shape))

    def sums(self, values: Array) -> Array:
        """Σ_j w_ij v_j of values (B, M, C): (B, n, C)."""
        xp = array_namespace(values)
        size, n, k = self.places.shape
        flat = xp.reshape(self.places, (size, n * k, 1))
        found = xp.take_along_axis(values, xp.broadcast_to(flat, (size, n * k, values.shape[2])), axis=1)
        return xp.sum(xp.reshape(found, (size, n, k, -1)) * self.weights[..., None], axis=2)


@dataclass(frozen=True, eq=False)
class AssignmentHead(Head):
    """``y·w_c + y²·q_c + b_c + Σ_j max(0, x̂·u_j) z_jc``, y = x̂ − centre, over the k pool rows nearest to x̂.

    Attributes
    ----------
    weights : (B, C, D)
    bias : (B, C)
    centre : (B, D)
    squares : (B, C, D) or None
        q, where classes differ in their variances.
    keys, values : (B, M, D) and (B, M, C), or None
        Unit pool rows and their assignments; padding is 0. None without a pool.
    k : int
    """

    weights: Array
    bias: Array
    centre: Array
    squares: Array | None = None
    keys: Array | None = None
    values: Array | None = None
    k: int = 3

    def _numbers_per_row(self) -> int:
        size, n_classes, width = self.weights.shape
        near = 0 if self.keys is None else int(self.keys.shape[1]) + 2 * self.k * n_classes
        return int(size * (2 * width + 2 * n_classes + near))

    def _logits(self, x: Array) -> Array:
        xp = array_namespace(x)
        rows = unit(xp, x)[None, ...]
        from_centre = rows - self.centre[:, None, :]
        logits = from_centre @ xp.matrix_transpose(self.weights) + self.bias[:, None, :]
        if self.squares is not None:
            logits = logits + from_centre**2 @ xp.matrix_transpose(self.squares)
        if self.keys is None or self.values is None:
            return logits
        return logits + Neighbours.of(rows, self.keys, self.k).sums(self.values)
