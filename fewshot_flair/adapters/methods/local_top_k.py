"""Mean of the cells that are most like a class's text.

    r_c(x) = mean of the share k of cells with the highest ĉ_p·t̂_c

after the top-k pooling of multiple-instance learning (Li & Vasconcelos, "Multiple Instance Learning for Soft Bags via
Top Instances", CVPR 2015), with texts as the scorer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fewshot_flair.adapters.local import FeaturePooling, QueryHead, top_k
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register

SHARE_OF_CELLS = 0.1


@dataclass(frozen=True, eq=False)
class TopKHead(QueryHead):
    """Weighs the tenth of the cells that is most like the text."""

    def weigh(self, xp: Any, scores: Array) -> Array:
        """Equal weights of the highest scores."""
        return top_k(xp, scores, SHARE_OF_CELLS)


@register
class LocalTopK(FeaturePooling):
    """SS-Text on the global feature and on the mean of the tenth of cells most like each class's text.

    Parameters
    ----------
    share : float
        Of the cells' part in the logits, 0 to 1.
    """

    name = "local-top-k"
    class_balanced = True
    summary = "ss-text on the global feature and on the cells most like each text"
    paper = "Li & Vasconcelos, Multiple Instance Learning for Soft Bags via Top Instances, CVPR 2015"
    head = TopKHead
