"""Noisy-or pooling of the cells' probabilities.

    p_pc = softmax_c(s · ĉ_p·ŵ_c),   P_c = 1 − Π_p (1 − p_pc)^(1/P),   z_c(x) = log P_c − log(1 − P_c)

Maron & Lozano-Pérez, "A Framework for Multiple-Instance Learning", NIPS 1997; the exponent 1/P keeps hundreds of cells
from making every class certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import device

from fewshot_flair.adapters.local import CellHead, ScorePooling
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register

LEAST = 1e-30


@dataclass(frozen=True, eq=False)
class NoisyOrHead(CellHead):
    """Pools by the probability that not every cell is of another class."""

    def pool(self, xp: Any, scores: Array) -> Array:
        """Of the cells, the last axis; the classes are the one before."""
        raised = xp.exp(scores - xp.max(scores, axis=-2, keepdims=True))
        total = xp.sum(raised, axis=-2, keepdims=True)
        # where p is nearly 1, 1 − p keeps its digits as the sum of the others
        others = 1 - xp.eye(scores.shape[-2], dtype=scores.dtype, device=device(scores))
        against, p = xp.clip((others @ raised) / total, LEAST, 1.0), raised / total
        none = xp.mean(xp.where(p < 0.5, xp.log1p(-xp.clip(p, 0.0, 0.5)), xp.log(against)), axis=-1)
        return xp.log(xp.clip(-xp.expm1(none), LEAST, 1.0)) - none


@register
class LocalNoisyOr(ScorePooling):
    """SS-Text's prototypes on every cell, pooled by noisy-or, beside the global feature.

    Parameters
    ----------
    share : float
        Of the cells' part in the logits, 0 to 1.
    """

    name = "local-noisy-or"
    class_balanced = True
    summary = "ss-text on the global feature and on cells, pooled by noisy-or"
    paper = "Maron & Lozano-Pérez, A Framework for Multiple-Instance Learning, NIPS 1997"
    head = NoisyOrHead
