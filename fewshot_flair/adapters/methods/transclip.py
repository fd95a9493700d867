"""TransCLIP: a Gaussian mixture of the pool's images, held to their zero-shot answers and to their neighbours'.

Zanella, Gérin & Ben Ayed, "Boosting Vision-Language Models with Transduction", NeurIPS 2024, arXiv 2406.01837.

    ŷ_i = softmax_c(s û_i·t̂_c);  p_ic = N(û_i; μ_c, diag σ), one σ for all classes;  w_ij = max(0, û_i·û_j) of the
    3 nearest;  z starts at ŷ, and in each of 10 rounds

      z_i ← softmax_c(λ log ŷ_ic + log p_ic + Σ_j w_ij z_jc), 5 times
      μ_c ← (γ/|S| Σ_{i∈S} y_ic x̂_i + 1/|Q| Σ_{i∈Q} z_ic û_i) / (γ/|S| Σ_S y_ic + 1/|Q| Σ_Q z_ic)
      σ   ← (γ/|S| Σ_S Σ_c y_ic (x̂_i − μ_c)² + 1/|Q| Σ_Q Σ_c z_ic (û_i − μ_c)²) / (γ + 1)

S are the shots, Q the unlabelled images. μ_c starts at the mean of the class's shots, without shots at that of the 8
images whose ŷ_ic is largest; σ starts at 1/D. Written from the paper's formulas alone (its code is under the
AGPL); its numbers (λ, rounds, 3, 5 and 8) are from memory, as only its abstract could be opened when this was written.
Neighbours are sought in Q only; shots act through μ and σ.
"""

from __future__ import annotations

from typing import Any

from fewshot_flair.adapters.assignments import (
    AssignmentHead,
    Neighbours,
    largest,
    log_softmax,
    unit_pool,
)
from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.transductive import TransductiveAdapter
from fewshot_flair.adapters.validation import check_count, check_number
from fewshot_flair.text.prototypes import TextPrototypes

STEPS, NEAREST, CONFIDENT = 5, 3, 8
FLOOR = 1e-6
"""Smallest variance of a feature, in shares of 1/D."""


@register
class TransCLIP(TransductiveAdapter):
    """Class means, variances and soft labels of unlabelled images, found in turns.

    Without unlabelled images nothing is learnt in turns: the Gaussians lie on the class means with σ = 1/D, and a class
    without shots gets the mean of the others' densities, so that the text decides about it.

    Parameters
    ----------
    lam : float, optional
        λ, how much zero-shot answers count; by default 0.5, and 1 with ``zero_shot``, as in the paper.
    gamma : float
        γ, what all shots together count against all unlabelled images. The paper searches it on validation images;
        5 here, which did best of 0.2, 1 and 5 on halves of the training patients of the demo clinic and dr-clinic.
    rounds : int
        How often means and variances are found anew.
    zero_shot : bool
        Leave the shots out: the paper's variant without labels.
    """

    name = "transclip"
    class_balanced = True
    summary = "Gaussian mixture of unlabelled images, held to zero-shot answers and neighbours"
    paper = "Zanella et al., Boosting Vision-Language Models with Transduction, NeurIPS 2024"

    def __init__(
        self,
        text: TextPrototypes | None = None,
        lam: float | None = None,
        gamma: float = 5.0,
        rounds: int = 10,
        zero_shot: bool = False,
        device: str = "cpu",
    ) -> None:
        super().__init__(text, device)
        self.lam = lam
        self.gamma = gamma
        self.rounds = rounds
        self.zero_shot = zero_shot

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Rounds of assignments, means and variances."""
        lam = (1.0 if self.zero_shot else 0.5) if self.lam is None else self.lam
        check_number(self.name, "lam", lam)
        check_number(self.name, "gamma", self.gamma, above=0)
        check_count(self.name, "rounds", self.rounds, 0)
        batch = self.without_labels(batch)
        xp, text = batch.xp, batch.prototypes
        given = (batch.mass @ batch.unit_x) / batch.safe_counts[:, :, None]
        variance = xp.full_like(given[:, :1, :], 1 / batch.n_features)
        prior = lam * text.scale * text.unit
        if (pool := unit_pool(batch)) is None:
            weights, bias = spread_to_absent(batch, *discriminants(xp, given, variance))
            return AssignmentHead(prior + weights, bias, xp.zeros_like(given[:, 0, :]))
        u, u_weight = pool
        zero_shot = text.scale * (u @ xp.matrix_transpose(text.unit))
        answers = log_softmax(xp, zero_shot)
        means = xp.where(batch.present[:, :, None], given, confident_means(xp, answers, u, u_weight))
        near = Neighbours.within(batch, u, NEAREST)
        shares = u_weight / xp.sum(u_weight, axis=1, keepdims=True)
        z = xp.exp(answers)
        for _ in range(int(self.rounds)):
            weights, bias = discriminants(xp, means, variance)
            fixed = lam * zero_shot + u @ xp.matrix_transpose(weights) + bias[:, None, :]
            for _ in range(STEPS):
                z = xp.exp(log_softmax(xp, fixed + near.sums(z * u_weight[:, :, None])))
            means, variance = self._moments(batch, u, z * shares[:, :, None], means)
        weights, bias = discriminants(xp, means, variance)
        z = z * u_weight[:, :, None]
        return AssignmentHead(
            prior + weights, bias, xp.zeros_like(means[:, 0, :]), None, u * u_weight[:, :, None], z, NEAREST
        )

    def _moments(self, batch: EpisodeBatch, u: Array, share: Array, means: Array) -> tuple[Array, Array]:
        """Means (B, C, D) and common variances (B, 1, D) of assignments that sum to 1 over the pool."""
        xp = batch.xp
        total = xp.where(batch.total > 0, batch.total, xp.ones_like(batch.total))[:, None, None]
        labelled, share = self.gamma * batch.mass / total, xp.matrix_transpose(share)
        size = xp.sum(labelled, axis=2) + xp.sum(share, axis=2)
        held = xp.where(size > 0, size, xp.ones_like(size))[:, :, None]
        found = (labelled @ batch.unit_x + share @ u) / held
        means = xp.where(size[:, :, None] > 0, found, means)
        centre = xp.mean(means, axis=1, keepdims=True)
        moved, squares = means - centre, xp.zeros_like(centre)
        for rows, mass in ((batch.unit_x, labelled), (u, share)):
            rows = rows - centre
            squares = squares + xp.sum(
                mass @ rows**2 - 2 * moved * (mass @ rows) + xp.sum(mass, axis=2, keepdims=True) * moved**2,
                axis=1,
                keepdims=True,
            )
        variance = squares / xp.sum(size, axis=1)[:, None, None]
        return means, xp.clip(variance, FLOOR / batch.n_features, None)


def confident_means(xp: Any, answers: Array, u: Array, u_weight: Array) -> Array:
    """Means of the images whose zero-shot answer (B, M, C) is surest of each class, (B, C, D)."""
    sure = xp.matrix_transpose(answers) + xp.where(u_weight > 0, 0.0, -xp.inf)[:, None, :]
    _, places = largest(xp, sure, min(CONFIDENT, int(u.shape[1])))
    size, n_classes, k = places.shape
    flat = xp.reshape(places, (size, n_classes * k, 1))
    rows = xp.take_along_axis(u, xp.broadcast_to(flat, (size, n_classes * k, u.shape[2])), axis=1)
    real = xp.take_along_axis(u_weight, flat[:, :, 0], axis=1)
    rows = xp.reshape(rows * real[:, :, None], (size, n_classes, k, -1))
    real = xp.reshape(real, (size, n_classes, k, 1))
    return xp.sum(rows, axis=2) / xp.sum(real, axis=2)


def discriminants(xp: Any, means: Array, variance: Array) -> tuple[Array, Array]:
    """Weights (B, C, D) and bias (B, C) of the log densities, but for what all classes have in common."""
    centre = xp.mean(means, axis=1, keepdims=True)
    weights = (means - centre) / variance
    return weights, -0.5 * xp.sum(weights * (means + centre), axis=2)


def spread_to_absent(batch: EpisodeBatch, weights: Array, bias: Array) -> tuple[Array, Array]:
    """Discriminants in which a class without shots has the mean of the others'."""
    xp = batch.xp
    present = xp.astype(batch.present, weights.dtype)[:, :, None]
    n_present = xp.sum(present, axis=1, keepdims=True)
    absent = (1 - present) / xp.where(n_present > 0, n_present, xp.ones_like(n_present))
    bias = bias[:, :, None] * present
    weights = present * weights
    weights = weights + absent * xp.sum(weights, axis=1, keepdims=True)
    return weights, (bias + absent * xp.sum(bias, axis=1, keepdims=True))[:, :, 0]
