"""Log-sum-exp pooling of the cells' scores.

    z_c(x) = log mean_p exp(s · ĉ_p·ŵ_c)

between their mean and their largest (Pinheiro & Collobert, "From Image-level to Pixel-level Labeling with
Convolutional Networks", CVPR 2015, with r = 1 in logits).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fewshot_flair.adapters.local import CellHead, ScorePooling
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register


@dataclass(frozen=True, eq=False)
class LogSumExpHead(CellHead):
    """Pools by the logarithm of the mean exponential."""

    def pool(self, xp: Any, scores: Array) -> Array:
        """Of the cells, the last axis."""
        highest = xp.max(scores, axis=-1, keepdims=True)
        return highest[..., 0] + xp.log(xp.mean(xp.exp(scores - highest), axis=-1))


@register
class LocalLSE(ScorePooling):
    """SS-Text's prototypes on every cell, pooled by log-sum-exp, beside the global feature.

    Parameters
    ----------
    share : float
        Of the cells' part in the logits, 0 to 1.
    """

    name = "local-lse"
    class_balanced = True
    summary = "ss-text on the global feature and on cells, pooled by log-sum-exp"
    paper = "Pinheiro & Collobert, From Image-level to Pixel-level Labeling with Convolutional Networks, CVPR 2015"
    head = LogSumExpHead
