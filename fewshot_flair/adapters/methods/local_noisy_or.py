"""Noisy-or pooling of the cells' probabilities.

    p_pc = softmax_c(s · ĉ_p·ŵ_c),   P_c = 1 − Π_p (1 − p_pc)^(1/P),   z_c(x) = log P_c − log(1 − P_c)

Maron & Lozano-Pérez, "A Framework for Multiple-Instance Learning", NIPS 1997; the exponent 1/P keeps hundreds of cells
from making every class certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fewshot_flair.adapters.local import CellHead, ScorePooling
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register

SURE = 1e-5


@dataclass(frozen=True, eq=False)
class NoisyOrHead(CellHead):
    """Pools by the probability that not every cell is of another class."""

    def pool(self, xp: Any, scores: Array) -> Array:
        """Of the cells, the last axis; the classes are the one before."""
        raised = xp.exp(scores - xp.max(scores, axis=-2, keepdims=True))
        p = raised / xp.sum(raised, axis=-2, keepdims=True)
        none = xp.mean(xp.log1p(-xp.clip(p, 0.0, 1 - SURE)), axis=-1)
        return xp.log(xp.clip(-xp.expm1(none), SURE**2, 1.0)) - none


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
