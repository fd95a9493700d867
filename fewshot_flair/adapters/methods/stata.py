"""StatA: a Gaussian a class, anchored at what the text says of it, so that a rare or absent class does not drift.

Zanella, Fuchs, De Vleeschouwer & Ben Ayed, "Realistic Test-Time Adaptation of Vision-Language Models", CVPR 2025,
arXiv 2501.03729.

    ŷ, w as in TransCLIP;  p_ic = N(û_i; μ_c, diag σ_c);  the anchor of class c is N(t̂_c, diag σ'_c) with
    σ'_c = Σ_i ŷ_ic (û_i − t̂_c)² / Σ_i ŷ_ic;  z starts at ŷ, and in each of 10 rounds

      β_c = n_c / (n_c + α),  n_c = Σ_{i∈S} y_ic + Σ_{i∈Q} z_ic
      μ_c ← β_c v_c + (1 − β_c) t̂_c,  v_c the mean of class c under y and z
      σ_c ← β_c Σ_i z_ic (û_i − μ_c)² / n_c + (1 − β_c) (σ'_c + (t̂_c − μ_c)²)
      z_i ← softmax_c(log ŷ_ic + log p_ic + Σ_j w_ij z_jc), 5 times

which are the minima of −Σ z log p − Σ w z z + Σ KL(z ‖ ŷ) + α Σ_c KL(N(t̂_c, σ'_c) ‖ N(μ_c, σ_c)) one block at a time.
The paper has no labels; that shots S count in n, μ and σ beside the unlabelled images Q is our addition, and
``zero_shot=True`` leaves it out. Written from the objective alone (the paper's code is under the AGPL).
"""

from __future__ import annotations

from fewshot_flair.adapters.assignments import (
    AssignmentHead,
    Neighbours,
    log_softmax,
    unit_pool,
)
from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.methods.transclip import FLOOR, NEAREST, STEPS
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.transductive import TransductiveAdapter
from fewshot_flair.adapters.validation import check_count, check_number
from fewshot_flair.text.prototypes import TextPrototypes


@register
class StatA(TransductiveAdapter):
    """Class means and variances between the text's and those of soft labels.

    Without unlabelled images it is the anchored Gaussians of the shots, whose anchors' variances are then found on the
    shots themselves.

    Parameters
    ----------
    alpha : float
        α, how many images the anchor of a class counts as; 1 in the paper.
    rounds : int
        How often means and variances are found anew.
    zero_shot : bool
        Leave the shots out, as in the paper.
    """

    name = "stata"
    class_balanced = True
    summary = "Gaussian mixture of unlabelled images, each class anchored at its text"
    paper = "Zanella et al., Realistic Test-Time Adaptation of Vision-Language Models, CVPR 2025"

    def __init__(
        self,
        text: TextPrototypes | None = None,
        alpha: float = 1.0,
        rounds: int = 10,
        zero_shot: bool = False,
        device: str = "cpu",
    ) -> None:
        super().__init__(text, device)
        self.alpha = alpha
        self.rounds = rounds
        self.zero_shot = zero_shot

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Rounds of means, variances and assignments."""
        check_number(self.name, "alpha", self.alpha, above=0)
        check_count(self.name, "rounds", self.rounds)
        batch = self.without_labels(batch)
        xp, text = batch.xp, batch.prototypes
        pool = unit_pool(batch)
        u, u_weight = (batch.unit_x, batch.weight) if pool is None else pool
        zero_shot = text.scale * (u @ xp.matrix_transpose(text.unit))
        answers = xp.exp(log_softmax(xp, zero_shot)) * u_weight[:, :, None]
        prior = batch.per_episode(text.scale * text.unit)
        anchor = self._anchor(batch, u, xp.matrix_transpose(answers))
        if pool is None:
            means, variances = self._moments(batch, [(batch.unit_x, batch.mass)], anchor)
            return AssignmentHead(*gaussians(batch, prior, means, variances))
        near, z = Neighbours.within(batch, u, NEAREST), answers
        head = None
        for _ in range(int(self.rounds)):
            labelled, assigned = (batch.unit_x, batch.mass), (u, xp.matrix_transpose(z))
            means, variances = self._moments(batch, [labelled, assigned], anchor)
            weights, bias, centre, squares = gaussians(batch, prior, means, variances)
            y = u - centre[:, None, :]
            fixed = y @ xp.matrix_transpose(weights) + y**2 @ xp.matrix_transpose(squares) + bias[:, None, :]
            for _ in range(STEPS):
                z = xp.exp(log_softmax(xp, fixed + near.sums(z))) * u_weight[:, :, None]
            head = AssignmentHead(weights, bias, centre, squares, u * u_weight[:, :, None], z, NEAREST)
        assert head is not None
        return head

    def _anchor(self, batch: EpisodeBatch, rows: Array, mass: Array) -> Array:
        """σ', the variances of rows (B, M, D) around the prototypes under mass (B, C, M): (B, C, D)."""
        xp, anchors = batch.xp, batch.prototypes.unit
        size = xp.sum(mass, axis=2, keepdims=True)
        held = xp.where(size > 0, size, xp.ones_like(size))
        found = (mass @ rows**2 - 2 * anchors * (mass @ rows)) / held + anchors**2
        found = xp.where(size > 0, found, xp.full_like(found, 1 / batch.n_features))
        return xp.clip(found, FLOOR / batch.n_features, None)

    def _moments(
        self, batch: EpisodeBatch, parts: list[tuple[Array, Array]], anchor: Array
    ) -> tuple[Array, Array]:
        """Means and variances (B, C, D) of rows under their masses, between which and the anchor α decides."""
        xp, text = batch.xp, batch.prototypes.unit
        size, sums = self.alpha, self.alpha * batch.per_episode(text)
        for rows, mass in parts:
            size = size + xp.sum(mass, axis=2, keepdims=True)
            sums = sums + mass @ rows
        means = sums / size
        centre = xp.mean(means, axis=1, keepdims=True)
        moved = means - centre
        squares = self.alpha * (anchor + (text - means) ** 2)
        for rows, mass in parts:
            rows = rows - centre
            squares = squares + (
                mass @ rows**2 - 2 * moved * (mass @ rows) + xp.sum(mass, axis=2, keepdims=True) * moved**2
            )
        return means, xp.clip(squares / size, FLOOR / batch.n_features, None)


def gaussians(batch: EpisodeBatch, prior: Array, means: Array, variances: Array) -> tuple[Array, ...]:
    """Weights, bias, centre and squares of an `AssignmentHead`: log densities plus the prior's logits."""
    xp = batch.xp
    centre = xp.mean(means, axis=1, keepdims=True)
    moved = means - centre
    weights = moved / variances
    bias = -0.5 * xp.sum(weights * moved + xp.log(variances), axis=2) + xp.sum(prior * centre, axis=2)
    return weights + prior, bias, centre[:, 0, :], -0.5 / variances
