"""SS-Text-U: text-informed prototypes that also learn from images without labels.

Silva-Rodríguez & Konukoglu, "Semi-Supervised Few-Shot Adaptation of Vision-Language Models", arXiv 2603.02959.

    w starts at t; 3 rounds of:
      z   = Sinkhorn of the cosine-head logits of the unlabelled u_j: ε = 1, 10 iterations, column mass 1/M,
            class marginal r; the rows of z sum to 1
      w_c = t_c + (s/N)(n_c/2) Σ_{i∈c} x_i + (s/M) Σ_j z_jc u_j

r_c = n_c/N; absent classes get a quarter of the smallest positive r, then all are renormalised.
"""

from __future__ import annotations

from typing import Any

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.heads import Head, cosine_head
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_count
from fewshot_flair.text.prototypes import TextPrototypes

SINKHORN_ITERATIONS = 10


@register
class SSTextU(Adapter):
    """Labelled class sums, and soft class sums of unlabelled images.

    Without unlabelled images it is its labelled part alone.

    Parameters
    ----------
    rounds : int
        How often unlabelled images are assigned anew; 3 in the paper.
    """

    name = "ss-text-u"
    summary = "ss-text with unlabelled images, assigned by optimal transport"
    paper = "Silva-Rodríguez & Konukoglu, Semi-Supervised Few-Shot Adaptation of VLMs, arXiv 2603.02959"
    uses_unlabeled = True

    def __init__(self, text: TextPrototypes | None = None, rounds: int = 3, device: str = "cpu") -> None:
        super().__init__(text, device)
        self.rounds = rounds

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Alternate assignments and prototypes."""
        check_count(self.name, "rounds", self.rounds, 0)
        xp, text = batch.xp, batch.prototypes
        share = text.scale * batch.counts / (2 * batch.total[:, None])
        labelled = text.prototypes + share[:, :, None] * batch.class_sums
        if batch.unlabeled is None or not self.rounds:
            return cosine_head(xp, labelled, text.scale)
        u, u_weight = batch.unlabeled, batch.unlabeled_weight
        unit_u = unit(xp, u)
        log_marginal = xp.log(class_marginal(batch))
        weights = batch.per_episode(text.prototypes)
        n_unlabeled = xp.sum(u_weight, axis=1)[:, None, None]
        for _ in range(int(self.rounds)):
            logits = text.scale * (unit(xp, weights) @ xp.matrix_transpose(unit_u))
            assigned = sinkhorn(xp, logits, log_marginal, u_weight)
            weights = labelled + (text.scale / n_unlabeled) * (assigned @ u)
        return cosine_head(xp, weights, text.scale)


def class_marginal(batch: EpisodeBatch) -> Array:
    """r, (B, C): shares of the shots, with a place for absent classes."""
    xp = batch.xp
    shares = batch.counts / batch.total[:, None]
    smallest = xp.min(xp.where(batch.present, shares, xp.ones_like(shares)), axis=1, keepdims=True)
    shares = xp.where(batch.present, shares, xp.broadcast_to(smallest / 4, shares.shape))
    return shares / xp.sum(shares, axis=1, keepdims=True)


def sinkhorn(xp: Any, logits: Array, log_marginal: Array, weight: Array) -> Array:
    """Assignments (B, C, M) whose columns sum to 1 and whose rows come close to the class marginal.

    In logarithms, as exp(s) overflows float32; ε is 1. Columns of weight 0 are padding and get 0.
    """
    padding = xp.where(weight > 0, xp.zeros_like(weight), xp.full_like(weight, -xp.inf))[:, None, :]
    plan = logits + padding
    log_size = xp.log(xp.sum(weight, axis=1))[:, None, None]
    for _ in range(SINKHORN_ITERATIONS):
        plan = plan + log_marginal[:, :, None] - _log_sum(xp, plan, 2)
        plan = plan - _log_sum(xp, plan, 1) - log_size
    return xp.exp(plan + log_size) * weight[:, None, :]


def _log_sum(xp: Any, values: Array, axis: int) -> Array:
    largest = xp.max(values, axis=axis, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, xp.zeros_like(largest))
    summed = xp.sum(xp.exp(values - largest), axis=axis, keepdims=True)
    return largest + xp.log(xp.where(summed > 0, summed, xp.ones_like(summed)))
