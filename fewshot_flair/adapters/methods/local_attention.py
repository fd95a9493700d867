"""Attention pooling: texts are the queries, cells the keys and values.

    r_c(x) = Σ_p softmax_p(s · ĉ_p·t̂_c) c_p

with the model's own temperature s; attention-based pooling as in Ilse et al., "Attention-based Deep Multiple Instance
Learning", ICML 2018, with texts in place of learned queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fewshot_flair.adapters.local import FeaturePooling, QueryHead
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register


@dataclass(frozen=True, eq=False)
class AttentionHead(QueryHead):
    """Weighs cells by the softmax of their scaled cosines with the text."""

    def weigh(self, xp: Any, scores: Array) -> Array:
        """Softmax over cells; the scale is that of the weights, whose length it is."""
        scale = xp.sqrt(xp.sum(self.weights[0, 0] ** 2))
        raised = xp.exp(scale * (scores - xp.max(scores, axis=-1, keepdims=True)))
        return raised / xp.sum(raised, axis=-1, keepdims=True)


@register
class LocalAttention(FeaturePooling):
    """SS-Text on the global feature and on cells weighed by attention from each class's text.

    Parameters
    ----------
    share : float
        Of the cells' part in the logits, 0 to 1.
    """

    name = "local-attention"
    class_balanced = True
    summary = "ss-text on the global feature and on attention pooling from each text"
    paper = "Ilse et al., Attention-based Deep Multiple Instance Learning, ICML 2018"
    head = AttentionHead
