"""Adapters of local features: rows that hold a photograph's global feature and then its cells.

A row is ``[g, c_1, …, c_P]`` of (1 + P) · D numbers, as `LocalBank` gives it; D is the width of the text prototypes.
A row of D numbers, without a map, counts as one whose only cell is its global feature. So the contract of all other
adapters holds: rows in, logits out, many episodes at once.

    pooled features   r_c(x) = Σ_p a_cp(x) c_p, a_cp by the likeness of the cells to the text of class c
    pooled scores     z_c(x) = pool_p s · ĉ_p·ŵ_c

Both begin with the prototypes of SS-Text, w_c = t_c + s Σ_{i∈c} x_i (λ = 1/N), and share the logits with the global
feature's own: z = ½ (global + local), unless they say otherwise. No parameter is chosen on validation images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from array_api_compat import array_namespace

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.validation import check_number
from fewshot_flair.errors import InputError
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["CellHead", "FeaturePooling", "LocalAdapter", "QueryHead", "ScorePooling", "parts", "top_k"]


def parts(xp: Any, x: Array, width: int) -> tuple[Array, Array]:
    """Global features (…, D) and cells (…, P, D) of rows (…, (1 + P) · D)."""
    if x.shape[-1] % width:
        raise InputError(
            f"local features: rows of {x.shape[-1]} numbers are no whole number of cells of {width}, the text "
            "prototypes' width; give those of LocalBank.read(keys, 'local')"
        )
    rows = xp.reshape(x, (*x.shape[:-1], x.shape[-1] // width, width))
    return rows[..., 0, :], rows[..., 1:, :] if rows.shape[-2] > 1 else rows


def top_k(xp: Any, scores: Array, share: float) -> Array:
    """1/k for the k highest scores along the last axis, else 0; k is `share` of the cells, and at least one."""
    k = max(1, round(share * scores.shape[-1]))
    lowest = xp.sort(scores, axis=-1)[..., -k, None]
    chosen = xp.astype(scores >= lowest, scores.dtype)
    return chosen / xp.sum(chosen, axis=-1, keepdims=True)


class LocalAdapter(Adapter):
    """Base of adapters of local features; it needs text, whose width is that of a cell.

    Parameters
    ----------
    share : float
        Of the cells' part in the logits, 0 to 1.
    """

    features = "local"

    def __init__(self, text: TextPrototypes | None = None, share: float = 0.5, device: str = "cpu") -> None:
        super().__init__(text, device)
        self.share = share

    def shares(self, batch: EpisodeBatch) -> Array:
        """The parameter `share` for each episode, (B,)."""
        check_number(self.name, "share", self.share)
        if not 0 <= self.share <= 1:
            raise InputError(f"{self.name}: share is {self.share!r}; give a number from 0 to 1")
        return self.share * batch.xp.ones_like(batch.total)

    def sums(self, batch: EpisodeBatch, rows: Array) -> Array:
        """SS-Text's prototypes (B, C, D) of features (B, N, D)."""
        text = batch.prototypes
        return text.prototypes + text.scale * (batch.mass @ rows)


def _beside_global(xp: Any, head: CellHead | QueryHead, whole: Array, local: Array) -> Array:
    """Logits of cells, shared with those of the global features (n, D) by the head's weights: (B, n, C)."""
    share = head.share[:, None, None]
    return (1 - share) * (unit(xp, whole) @ xp.matrix_transpose(head.weights)) + share * local


@dataclass(frozen=True, eq=False)
class CellHead(Head):
    """``(1 − share) · s x̂·ŵ_c + share · pool_p s ĉ_p·v̂_c``; a subclass says what `pool` is.

    Attributes
    ----------
    weights, cell_weights : (B, C, D)
        s ŵ and s v̂.
    share : (B,)
        Of the cells' part.
    """

    weights: Array
    cell_weights: Array
    share: Array

    def pool(self, xp: Any, scores: Array) -> Array:
        """Scores of cells (…, C, P), in logits, to one number a class, (…, C)."""
        raise NotImplementedError

    def _numbers_per_row(self) -> int:
        return 200 * int(self.weights.shape[0] * self.weights.shape[1])

    def _logits(self, x: Array) -> Array:
        xp = array_namespace(x)
        size, classes, width = self.weights.shape
        whole, cells = parts(xp, x, width)
        flat = xp.reshape(self.cell_weights, (size * classes, width))
        scores = xp.reshape(unit(xp, cells) @ flat.T, (*cells.shape[:2], size, classes))
        local = self.pool(xp, xp.permute_dims(scores, (2, 0, 3, 1)))
        return _beside_global(xp, self, whole, local)


class ScorePooling(LocalAdapter):
    """Adapters that score every cell like a photograph, and pool the scores by their `head`."""

    head: ClassVar[type[CellHead]]

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Prototypes of the global features, for the photograph and for its cells."""
        xp, text = batch.xp, batch.prototypes
        whole, _ = parts(xp, batch.x, text.prototypes.shape[1])
        weights = text.scale * unit(xp, self.sums(batch, whole))
        return self.head(weights, self.cell_prototypes(batch, weights), self.shares(batch))

    def cell_prototypes(self, batch: EpisodeBatch, weights: Array) -> Array:
        """What cells are compared with, (B, C, D); by default the photograph's own prototypes."""
        return weights


@dataclass(frozen=True, eq=False)
class QueryHead(Head):
    """``(1 − share) · s x̂·ŵ_c + share · s r̂_c(x)·v̂_c``, r_c the cells weighed by text query c.

    Attributes
    ----------
    queries : (B, C, D)
        Unit text prototypes, the same for all episodes.
    weights, cell_weights : (B, C, D)
    share : (B,)
    """

    queries: Array
    weights: Array
    cell_weights: Array
    share: Array

    def weigh(self, xp: Any, scores: Array) -> Array:
        """Cosines of cells and queries (…, C, P) to weights that sum to 1 over P."""
        raise NotImplementedError

    def pooled(self, xp: Any, cells: Array) -> Array:
        """Cells (n, P, D) to features r_c of unit length, (n, C, D)."""
        scores = self.queries[0] @ xp.matrix_transpose(unit(xp, cells))
        return unit(xp, self.weigh(xp, scores) @ cells)

    def _numbers_per_row(self) -> int:
        return 200 * int(self.weights.shape[1]) + 2 * int(self.weights.shape[0] * self.weights.shape[1])

    def _logits(self, x: Array) -> Array:
        xp = array_namespace(x)
        whole, cells = parts(xp, x, self.weights.shape[2])
        rows = xp.permute_dims(self.pooled(xp, cells), (1, 0, 2))  # (C, n, D)
        local = xp.permute_dims(rows @ xp.permute_dims(self.cell_weights, (1, 2, 0)), (2, 1, 0))
        return _beside_global(xp, self, whole, local)


class FeaturePooling(LocalAdapter):
    """Adapters that pool cells by text queries to a feature for each class, by their `head`."""

    head: ClassVar[type[QueryHead]]

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """SS-Text's prototypes of global features, and those of each class's pooled features of its own shots."""
        xp, text = batch.xp, batch.prototypes
        whole, cells = parts(xp, batch.x, text.prototypes.shape[1])
        weights = text.scale * unit(xp, self.sums(batch, whole))
        blank = self.head(batch.per_episode(text.unit), weights, weights, self.shares(batch))
        flat = xp.reshape(cells, (-1, *cells.shape[2:]))
        pooled = xp.reshape(blank.pooled(xp, flat), (*batch.x.shape[:2], *text.unit.shape))  # (B, N, C, D)
        own = batch.mass[:, :, None, :] @ xp.permute_dims(pooled, (0, 2, 1, 3))  # (B, C, 1, D)
        local = text.scale * unit(xp, text.prototypes + text.scale * own[:, :, 0, :])
        return self.head(blank.queries, weights, local, blank.share)
