"""Linear probing of vision-language features from the text prototypes, and two losses for long tails.

Silva-Rodríguez et al., "A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models", CVPR
2024 (zero-shot initialised linear probe); the benchmark of SS-Text+ (MICCAI 2025) for the loop and the losses;
Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019.

    logits = s · x̂·ŵ_c,  w starts at t;  300 full-batch steps on the mean cross-entropy

lp-cw weights each row by N / (C · n_c); lp-ldam also lowers the true class's logit by
m_c = 0.5 · n_c^(−1/4) / max_c' n_c'^(−1/4).
"""

from __future__ import annotations

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.descent import cosine_descent
from fewshot_flair.adapters.heads import Head, cosine_head
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_number
from fewshot_flair.text.prototypes import TextPrototypes

PAPER = "Silva-Rodríguez et al., A Closer Look at the Few-Shot Adaptation of Large VLMs, CVPR 2024"


def mean_mass(batch: EpisodeBatch) -> Array:
    """Rows that weigh alike: the mean cross-entropy, (B, C, N)."""
    return batch.mass / batch.total[:, None, None]


def balanced_mass(batch: EpisodeBatch) -> Array:
    """Rows weighed by N / (C · n_c), then averaged: all present classes weigh alike, (B, C, N)."""
    xp = batch.xp
    n_present = xp.sum(xp.astype(batch.present, batch.x.dtype), axis=1)
    return batch.mass / (batch.safe_counts * n_present[:, None])[:, :, None]


@register
class LinearProbe(Adapter):
    """Cosine head trained from the text prototypes."""

    name = "lp"
    summary = "cosine head trained from the text prototypes, 300 steps"
    paper = PAPER
    training_free = False

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Descend on the mean cross-entropy."""
        text = batch.prototypes
        start = batch.per_episode(text.prototypes)
        weights = cosine_descent(batch, start, text.scale, mean_mass(batch))
        return cosine_head(batch.xp, weights, text.scale)


@register
class ClassWeightedLinearProbe(Adapter):
    """Linear probe whose classes weigh alike, whatever their shots; absent classes weigh nothing."""

    name = "lp-cw"
    class_balanced = True
    summary = "linear probe with class-balanced cross-entropy"
    paper = PAPER
    training_free = False

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Descend on the class-weighted cross-entropy."""
        text = batch.prototypes
        start = batch.per_episode(text.prototypes)
        weights = cosine_descent(batch, start, text.scale, balanced_mass(batch))
        return cosine_head(batch.xp, weights, text.scale)


@register
class LDAMLinearProbe(Adapter):
    """Linear probe with a margin that is larger for classes of fewer shots, and classes weighed alike.

    Parameters
    ----------
    max_margin : float
        The margin, in logits, of the class with the fewest shots; 0.5 as in the benchmark.
    """

    name = "lp-ldam"
    class_balanced = True
    summary = "linear probe with label-distribution-aware margins"
    paper = "Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019"
    training_free = False

    def __init__(
        self, text: TextPrototypes | None = None, max_margin: float = 0.5, device: str = "cpu"
    ) -> None:
        super().__init__(text, device)
        self.max_margin = max_margin

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Descend on the class-weighted cross-entropy with margins."""
        check_number(self.name, "max_margin", self.max_margin)
        xp, text = batch.xp, batch.prototypes
        rarity = batch.safe_counts**-0.25 * xp.astype(batch.present, batch.x.dtype)
        margin = self.max_margin * rarity / xp.max(rarity, axis=1, keepdims=True)
        start = batch.per_episode(text.prototypes)
        weights = cosine_descent(batch, start, text.scale, balanced_mass(batch), margin=margin)
        return cosine_head(xp, weights, text.scale)
