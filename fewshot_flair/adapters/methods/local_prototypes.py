"""Prototypes of cells: what the cells of a class's shots have that those of the other shots have not.

    v_c = t̂_c + mean over the class's shots of û_i,  u_i = mean of the shot's cells ranked highest by ŵ_c·ĉ_p
    z_c(x) = mean of the share k of cells with the highest s · ĉ_p·v̂_c

Prototypes as in Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017, on cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.local import CellHead, ScorePooling, parts, top_k
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register

SHARE_OF_CELLS = 0.1


@dataclass(frozen=True, eq=False)
class TopScoresHead(CellHead):
    """Pools by the mean of the highest tenth."""

    def pool(self, xp: Any, scores: Array) -> Array:
        """Of the cells, the last axis."""
        return xp.sum(top_k(xp, scores, SHARE_OF_CELLS) * scores, axis=-1)


@register
class LocalPrototypes(ScorePooling):
    """SS-Text on the global feature, and the highest tenth of cells by prototypes of cells.

    Parameters
    ----------
    share : float
        Of the cells' part in the logits, 0 to 1.
    """

    name = "local-prototypes"
    class_balanced = True
    summary = "ss-text on the global feature, and prototypes of cells"
    paper = "Snell et al., Prototypical Networks for Few-shot Learning, NeurIPS 2017"
    head = TopScoresHead

    def cell_prototypes(self, batch: EpisodeBatch, weights: Array) -> Array:
        """Means of each class's highest cells, beside its text."""
        xp, text = batch.xp, batch.prototypes
        cells = unit(xp, parts(xp, batch.x, weights.shape[2])[1])
        scores = weights[:, None] @ xp.matrix_transpose(cells)  # (B, N, C, P)
        best = unit(xp, top_k(xp, scores, SHARE_OF_CELLS) @ cells)  # (B, N, C, D)
        own = batch.mass[:, :, None, :] @ xp.permute_dims(best, (0, 2, 1, 3))
        return text.scale * unit(xp, text.unit + own[:, :, 0, :] / batch.safe_counts[:, :, None])
