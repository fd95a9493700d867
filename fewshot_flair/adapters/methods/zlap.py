"""ZLaP: labels propagated over a graph of the pool's images and one node a class.

Stojnić, Kalantidis & Tolias, "Label Propagation for Zero-shot Classification with Vision-Language Models", CVPR 2024,
arXiv 2404.04072; its code is under the MIT licence.

    A_ij = max(0, û_i·û_j) for the k images j nearest to image i;  A_ic = max(0, û_i·ŵ_c)^γ for the k classes nearest
    W = A + Aᵀ,  Ŵ = D^(−½) W D^(−½),  D the row sums of W
    Z = (I − αŴ)⁻¹ Y,  Y_cc = 1 for the classes' nodes, 0 for images: Z_i is the answer of image i

Another image x, which is in no graph, gets Σ_j A_xj Z_j + Σ_c A_xc Z_c over its k nearest images and classes (the
paper's inductive inference). Logits are the logarithms of these scores, so that probabilities are their shares.

ŵ_c is the text prototype with ``zero_shot``, as in the paper. With shots, which the paper does not have, it is the
prototype of `ss-text`, so that a class without shots keeps its text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_namespace
from array_api_compat import device as device_of

from fewshot_flair.adapters.assignments import SAME, Neighbours, largest, unit_pool
from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.methods.ss_text import with_shots
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.transductive import TransductiveAdapter
from fewshot_flair.adapters.validation import check_count, check_number
from fewshot_flair.errors import InputError
from fewshot_flair.text.prototypes import TextPrototypes

PRECISION = 1e-9
"""What the iterations of the propagation leave of the first one."""
SMALLEST = 1e-12
"""Score of a class that no path leads to."""
MOST = 16_384
"""Images whose pairwise similarities are held at once."""


@register
class ZLaP(TransductiveAdapter):
    """Class scores of unlabelled images by the paths that lead to them.

    Without unlabelled images the scores are those of the classes' nodes alone.

    Parameters
    ----------
    k : int
        Neighbours among images, and among classes.
    gamma : float
        γ, the power of similarities between images and classes.
    alpha : float
        α, from 0 to below 1: how far labels travel.
    zero_shot : bool
        Leave the shots out, as in the paper.
    """

    name = "zlap"
    class_balanced = True
    summary = "label propagation over unlabelled images and class nodes"
    paper = "Stojnić et al., Label Propagation for Zero-shot Classification with VLMs, CVPR 2024"

    def __init__(
        self,
        text: TextPrototypes | None = None,
        k: int = 5,
        gamma: float = 5.0,
        alpha: float = 0.3,
        zero_shot: bool = False,
        device: str = "cpu",
    ) -> None:
        super().__init__(text, device)
        self.k = k
        self.gamma = gamma
        self.alpha = alpha
        self.zero_shot = zero_shot

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Propagate from every class at once."""
        check_count(self.name, "k", self.k)
        check_number(self.name, "gamma", self.gamma, above=0)
        check_number(self.name, "alpha", self.alpha, above=-1e-300)
        if self.alpha >= 1:
            raise InputError(f"{self.name}: alpha is {self.alpha!r}; give a number below 1")
        xp, text = batch.xp, batch.prototypes
        nodes = batch.per_episode(text.unit) if self.zero_shot else unit(xp, with_shots(batch))
        own = xp.eye(batch.n_classes, dtype=nodes.dtype, device=device_of(nodes))
        if (pool := unit_pool(batch)) is None:
            return GraphHead(nodes, batch.per_episode(own), None, None, self.k, self.gamma)
        u, u_weight = pool
        if u.shape[1] > MOST:
            raise InputError(
                f"{self.name}: {u.shape[1]:,} unlabelled images; it holds the graph of at most {MOST:,} at once, "
                "so give fewer (--unlabelled)"
            )
        u = u * u_weight[:, :, None]
        across = to_classes(u, nodes, self.k, self.gamma)
        between = dense(Neighbours.within(batch, u, self.k), u, alike=batch.one_pool)
        between = between + xp.matrix_transpose(between)
        image = 1 / xp.sqrt(positive(xp, xp.sum(between, axis=2) + xp.sum(across, axis=2)))[:, :, None]
        node = 1 / xp.sqrt(positive(xp, xp.sum(across, axis=1)))[:, :, None]
        scores, own = xp.zeros_like(across), batch.per_episode(own)
        classes = own
        for _ in range(math.ceil(math.log(PRECISION) / math.log(self.alpha)) if self.alpha > 0 else 0):
            spread = image * scores
            scores = self.alpha * image * (between @ spread + across @ (node * classes))
            classes = own + self.alpha * node * (xp.matrix_transpose(across) @ spread)
        return GraphHead(nodes, classes, u, scores, self.k, self.gamma)


def to_classes(rows: Array, nodes: Array, k: int, gamma: float) -> Array:
    """Edges of unit rows (B or 1, n, D) to the k nearest class nodes (B, C, D): (B, n, C)."""
    xp = array_namespace(nodes)
    cosines = rows @ xp.matrix_transpose(nodes)
    if k < nodes.shape[1]:
        kth = xp.min(largest(xp, cosines, k)[0], axis=-1, keepdims=True)
        cosines = xp.where(cosines >= kth, cosines, xp.zeros_like(cosines))
    return xp.clip(cosines, 0, None) ** gamma


def dense(near: Neighbours, pool: Array, *, alike: bool) -> Array:
    """Neighbours as a matrix (B, M, M), or (1, M, M) where they are `alike` in all episodes."""
    xp = array_namespace(pool)
    weights, places = (array[:1] if alike else array for array in (near.weights, near.places))
    found = xp.zeros((*weights.shape[:2], pool.shape[1]), dtype=pool.dtype, device=device_of(pool))
    if is_torch_namespace(xp):
        return found.scatter(2, places, weights)
    np.put_along_axis(found, places, weights, axis=2)
    return found


def positive(xp: Any, sums: Array) -> Array:
    """Row sums with 1 for nodes without an edge."""
    return xp.where(sums > 0, sums, xp.ones_like(sums))


@dataclass(frozen=True, eq=False)
class GraphHead(Head):
    """Logarithms of propagated scores: an image of the pool has its own, another those of its neighbours.

    Attributes
    ----------
    nodes : (B, C, D)
        Unit class nodes.
    classes : (B, C, C)
        Their scores.
    keys, scores : (B, M, D) and (B, M, C), or None
        Unit pool rows and their scores; None without a pool.
    k : int
    gamma : float
    """

    nodes: Array
    classes: Array
    keys: Array | None
    scores: Array | None
    k: int
    gamma: float

    def _numbers_per_row(self) -> int:
        size, n_classes, width = self.nodes.shape
        near = 0 if self.keys is None else int(self.keys.shape[1]) + 2 * self.k * n_classes
        return int(size * (width + 3 * n_classes + near))

    def _logits(self, x: Array) -> Array:
        xp = array_namespace(x)
        rows = unit(xp, x)[None, ...]
        found = to_classes(rows, self.nodes, self.k, self.gamma) @ self.classes
        if self.keys is not None and self.scores is not None:
            found = found + Neighbours.of(rows, self.keys, self.k).sums(self.scores)
            cosines, place = largest(xp, rows @ xp.matrix_transpose(self.keys), 1)
            its_own = xp.take_along_axis(
                self.scores, xp.broadcast_to(place, (*place.shape[:2], found.shape[2])), axis=1
            )
            found = xp.where(cosines > 1 - SAME, its_own, found)
        return xp.log(xp.clip(found, SMALLEST, None))
