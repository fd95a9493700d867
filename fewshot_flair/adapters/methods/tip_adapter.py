"""Tip-Adapter: a cache of the shots beside the text prototypes, as it is or learned.

Zhang et al., "Tip-Adapter: Training-Free Adaption of CLIP for Few-Shot Classification", ECCV 2022.

    logits = q · x̂·t̂_c + α Σ_i exp(−β (1 − x̂·k_i)) v_ic,  keys k_i = x̂_i, values v_i the label of shot i

The benchmark of SS-Text leaves the text logits unscaled (q = 1) with α = β = 1 and learns the values by the
common loop; the paper has q = 100, α = 1, β = 5.5 and learns the keys: AdamW, step size 1e-3 with a
cosine to 0, ε 1e-4, 20 epochs. A few-shot support set is one batch, so an epoch is a step.
"""

from __future__ import annotations

import math

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.descent import MOMENTUM, residuals, step_sizes
from fewshot_flair.adapters.heads import Head, KernelHead
from fewshot_flair.adapters.methods.linear_probe import mean_mass
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_choice, check_number
from fewshot_flair.text.prototypes import TextPrototypes

PAPER = "Zhang et al., Tip-Adapter: Training-Free Adaption of CLIP for Few-Shot Classification, ECCV 2022"


@register
class TipAdapter(Adapter):
    """The cache as it is.

    Parameters
    ----------
    alpha, beta : float
        Weight of the cache, and how fast it fades with distance: 1 and 1 in the benchmark, 1 and 5.5 in
        the paper.
    text_scale : float
        Factor on the text's cosines: 1 in the benchmark, 100 in the paper.
    """

    name = "tip-adapter"
    summary = "a cache of the shots beside the text prototypes"
    paper = PAPER

    def __init__(
        self,
        text: TextPrototypes | None = None,
        alpha: float = 1.0,
        beta: float = 1.0,
        text_scale: float = 1.0,
        device: str = "cpu",
    ) -> None:
        super().__init__(text, device)
        self.alpha = alpha
        self.beta = beta
        self.text_scale = text_scale

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Store shots and labels."""
        self._check()
        return self._head(batch, batch.unit_x, batch.mass, batch.rows)

    def _check(self) -> None:
        for parameter in ("alpha", "beta", "text_scale"):
            check_number(self.name, parameter, getattr(self, parameter))

    def _head(self, batch: EpisodeBatch, keys: Array, values: Array, rows: Array | None) -> KernelHead:
        weights = batch.per_episode(self.text_scale * batch.prototypes.unit)
        values = self.alpha * batch.xp.matrix_transpose(values)
        return KernelHead(weights=weights, keys=keys, values=values, beta=float(self.beta), rows=rows)


@register
class TipAdapterF(TipAdapter):
    """The cache learned from its shots.

    Parameters
    ----------
    alpha, beta, text_scale : float
        As in tip-adapter.
    train : "values" or "keys"
        The values by the common loop, as in the benchmark, or the keys by AdamW, as in the paper.
    """

    name = "tip-adapter-f"
    summary = "tip-adapter with learned values (or keys)"
    training_free = False

    def __init__(
        self,
        text: TextPrototypes | None = None,
        alpha: float = 1.0,
        beta: float = 1.0,
        text_scale: float = 1.0,
        train: str = "values",
        device: str = "cpu",
    ) -> None:
        super().__init__(text, alpha, beta, text_scale, device)
        self.train = train

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Descend in the values or in the keys."""
        self._check()
        check_choice(self.name, "train", self.train, ("values", "keys"))
        if self.train == "keys":
            return self._head(batch, self._keys(batch), batch.mass, None)
        return self._head(batch, batch.unit_x, self._values(batch), batch.rows)

    def _values(self, batch: EpisodeBatch) -> Array:
        """Learned values times the rows' weights, (B, C, N).

        The gradient in the values is the residuals times the kernel matrix F, so values are iterated as
        combinations of F's rows, and the logits of the shots need F D F alone (D: the rows' weights).
        """
        xp, x = batch.xp, batch.unit_x
        shot = xp.astype(batch.weight > 0, x.dtype)
        kernel = xp.exp(self.beta * (x @ xp.matrix_transpose(x) - 1)) * shot[:, None, :] * shot[:, :, None]
        labels = xp.astype(batch.mass > 0, x.dtype)
        mass = mean_mass(batch)
        weight = xp.sum(mass, axis=1, keepdims=True)
        base = xp.matrix_transpose(self.text_scale * (x @ batch.prototypes.unit.T))
        base = base + self.alpha * (batch.mass @ kernel)
        square = self.alpha**2 * ((kernel * batch.weight[:, None, :]) @ kernel)
        moved, velocity = xp.zeros_like(mass), xp.zeros_like(mass)
        for step in step_sizes():
            velocity = MOMENTUM * velocity + residuals(xp, base + moved @ square, mass, weight)
            moved -= step * velocity
        return (labels + self.alpha * (moved @ kernel)) * batch.weight[:, None, :]

    def _keys(self, batch: EpisodeBatch, steps: int = 20) -> Array:
        """Learned keys, (B, N, D)."""
        xp, x = batch.xp, batch.unit_x
        base = xp.matrix_transpose(self.text_scale * (x @ batch.prototypes.unit.T))
        mass = mean_mass(batch)
        weight = xp.sum(mass, axis=1, keepdims=True)
        labels = xp.astype(batch.mass > 0, x.dtype)
        keys = xp.asarray(x, copy=True)
        first, second = xp.zeros_like(keys), xp.zeros_like(keys)
        for t in range(steps):
            rate = 0.0005 * (1 + math.cos(math.pi * t / steps))
            near = xp.exp(self.beta * (keys @ xp.matrix_transpose(x) - 1))
            slope = residuals(xp, base + self.alpha * (batch.mass @ near), mass, weight)
            pull = self.alpha * self.beta * (xp.matrix_transpose(labels) @ slope) * near
            gradient = pull @ x
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            scaled = xp.sqrt(second / (1 - 0.999 ** (t + 1))) + 1e-4
            # AdamW's decay is its usual 0.01, apart from the gradient.
            keys = keys * (1 - 0.01 * rate) - rate / (1 - 0.9 ** (t + 1)) * first / scaled
        return keys
