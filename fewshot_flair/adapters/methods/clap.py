"""CLAP: a linear probe held to the text prototypes, each class as firmly as its text deserves.

Silva-Rodríguez et al., "A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models", CVPR 2024.

    loss = mean cross-entropy + (1/C) Σ_c λ_c ‖w_c − t_c‖²,
    λ_c  = mean zero-shot probability of class c over its own shots (absent classes: the mean λ of the others)

with the cosine head, w from t, and the common loop.
"""

from __future__ import annotations

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.descent import cosine_descent
from fewshot_flair.adapters.heads import Head, cosine_head
from fewshot_flair.adapters.methods.linear_probe import mean_mass
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_choice
from fewshot_flair.text.prototypes import TextPrototypes


@register
class CLAP(Adapter):
    """Class-adaptive linear probe.

    Parameters
    ----------
    penalty : "class" or "mean"
        λ_c for each class as in the paper, or their mean for every class as the benchmark's code has it.
    """

    name = "clap"
    summary = "linear probe with a class-wise penalty towards the text prototypes"
    paper = "Silva-Rodríguez et al., A Closer Look at the Few-Shot Adaptation of Large VLMs, CVPR 2024"
    training_free = False

    def __init__(
        self, text: TextPrototypes | None = None, penalty: str = "class", device: str = "cpu"
    ) -> None:
        super().__init__(text, device)
        self.penalty = penalty

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Descend on the penalised cross-entropy."""
        check_choice(self.name, "penalty", self.penalty, ("class", "mean"))
        xp, text = batch.xp, batch.prototypes
        lambdas = zero_shot_confidence(batch)
        if self.penalty == "mean":
            lambdas = xp.broadcast_to(xp.mean(lambdas, axis=1, keepdims=True), lambdas.shape)
        start = batch.per_episode(text.prototypes)
        pull = lambdas / batch.n_classes
        weights = cosine_descent(batch, start, text.scale, mean_mass(batch), pull=pull)
        return cosine_head(xp, weights, text.scale)


def zero_shot_confidence(batch: EpisodeBatch) -> Array:
    """Mean zero-shot probability of each class over its own shots, (B, C)."""
    xp, text = batch.xp, batch.prototypes
    logits = xp.matrix_transpose(text.scale * (batch.unit_x @ text.unit.T))
    logits -= xp.max(logits, axis=1, keepdims=True)
    exponentials = xp.exp(logits)
    probabilities = exponentials / xp.sum(exponentials, axis=1, keepdims=True)
    own = xp.sum(batch.mass * probabilities, axis=2) / batch.safe_counts
    present = xp.astype(batch.present, own.dtype)
    others = xp.sum(own * present, axis=1, keepdims=True) / xp.sum(present, axis=1, keepdims=True)
    return xp.where(batch.present, own, others)
