"""A residual bottleneck on the image feature, in front of the text prototypes.

Gao et al., "CLIP-Adapter: Better Vision-Language Models with Feature Adapters", IJCV 2024.

    logits = s · f̂·t̂_c,  f = (1 − α) x + α A(x),  A(x) = W₂ relu(W₁ x),  W₁: D/4 × D, W₂: D × D/4

A is trained by the common loop (300 full-batch steps). Two facts make it cheap. The gradient of W₁ is a
combination of the shots, so W₁ x_i is iterated on the N × N Gram matrix. And A(x_i) stays in the span of
shots, prototypes and the starting W₂, so the loop runs in an orthonormal basis of it, N + C + D/4 wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from array_api_compat import device as device_of

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.descent import MOMENTUM, residuals, step_sizes
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.methods.linear_probe import mean_mass
from fewshot_flair.adapters.namespaces import Array, put_beside
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_choice, check_number, check_random_state
from fewshot_flair.errors import InputError
from fewshot_flair.text.prototypes import TextPrototypes

ACTIVATIONS = ("relu", "none")


@dataclass(frozen=True, eq=False)
class BottleneckHead(Head):
    """Cosine head on ``(1 − α) x + α W₂ a(W₁ x)``.

    Attributes
    ----------
    down : (B, H, D)
        W₁.
    up : (B, D, H)
        W₂.
    weights : (B, C, D)
        Normalised prototypes times s.
    """

    down: Array
    up: Array
    weights: Array
    alpha: float
    activation: str

    def _numbers_per_row(self) -> int:
        return int(self.down.shape[0] * (2 * self.down.shape[2] + self.down.shape[1]))

    def _logits(self, x: Array) -> Array:
        xp = array_namespace(x)
        size, hidden_width, width = self.down.shape
        hidden = x @ xp.matrix_transpose(xp.reshape(self.down, (size * hidden_width, width)))
        hidden = xp.permute_dims(xp.reshape(hidden, (x.shape[0], size, hidden_width)), (1, 0, 2))
        if self.activation == "relu":
            hidden = xp.clip(hidden, 0, None)
        mixed = self.alpha * (hidden @ xp.matrix_transpose(self.up)) + (1 - self.alpha) * x
        return unit(xp, mixed) @ xp.matrix_transpose(self.weights)


@register
class CLIPAdapter(Adapter):
    """Train a bottleneck in front of the text prototypes.

    Parameters
    ----------
    alpha : float
        Weight of the bottleneck's output, 0.2.
    activation : "relu" or "none"
        ReLU after the first layer as the paper has it, or the benchmark's linear variant.
    reduction : int
        The bottleneck is D / reduction wide.
    random_state : int
        Seed of the starting weights, the same for all episodes.
    """

    name = "clip-adapter"
    summary = "a small residual network on the image feature, 300 steps"
    paper = "Gao et al., CLIP-Adapter: Better Vision-Language Models with Feature Adapters, IJCV 2024"
    training_free = False

    def __init__(
        self,
        text: TextPrototypes | None = None,
        alpha: float = 0.2,
        activation: str = "relu",
        reduction: int = 4,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(text, device)
        self.alpha = alpha
        self.activation = activation
        self.reduction = reduction
        self.random_state = random_state

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Descend in both layers."""
        check_number(self.name, "alpha", self.alpha)
        if not 0 <= self.alpha <= 1:
            raise InputError(f"{self.name}: alpha is {self.alpha!r}; it is a share, from 0 to 1")
        check_choice(self.name, "activation", self.activation, ACTIVATIONS)
        check_number(self.name, "reduction", self.reduction, above=1e-3)
        check_random_state(self.name, self.random_state)
        xp, text = batch.xp, batch.prototypes
        down, up = starting_weights(batch.n_features, self.reduction, self.random_state, batch.x)
        prototypes = batch.per_episode(text.prototypes)
        basis = orthonormal_rows(xp, xp.concat([batch.x, prototypes, batch.per_episode(up.T)], axis=1))
        weights = unit(xp, prototypes)
        steps = self._descend(batch, down, up, basis, weights @ xp.matrix_transpose(basis), text.scale)
        return BottleneckHead(
            down=down + steps[0],
            up=xp.matrix_transpose(basis) @ steps[1],
            weights=text.scale * weights,
            alpha=float(self.alpha),
            activation=self.activation,
        )

    def _descend(
        self, batch: EpisodeBatch, down: Array, up: Array, basis: Array, weights: Array, scale: float
    ) -> tuple[Array, Array]:
        """What W₁ gains, (B, H, D), and W₂ in the basis, (B, R, H)."""
        xp, alpha = batch.xp, self.alpha
        mass = mean_mass(batch)
        weight = xp.sum(mass, axis=1, keepdims=True)
        spanned = batch.n_shots <= batch.n_features
        carry = batch.x @ xp.matrix_transpose(batch.x) if spanned else batch.x
        kept = (1 - alpha) * (batch.x @ xp.matrix_transpose(basis))
        turned = xp.matrix_transpose(weights)
        start = batch.x @ down.T
        outer = basis @ up
        inner = xp.zeros_like(xp.matrix_transpose(start) @ carry)
        outer_velocity, inner_velocity = xp.zeros_like(outer), xp.zeros_like(inner)
        for step in step_sizes():
            hidden = start + carry @ xp.matrix_transpose(inner)
            if self.activation == "relu":
                hidden = xp.clip(hidden, 0, None)
            mixed = kept + alpha * (hidden @ xp.matrix_transpose(outer))
            norms = xp.sqrt(xp.sum(mixed * mixed, axis=2, keepdims=True))
            norms = xp.where(norms > 0, norms, xp.ones_like(norms))
            mixed /= norms
            cosines = mixed @ turned
            slope = residuals(xp, xp.matrix_transpose(scale * cosines), mass, weight)
            slope = xp.matrix_transpose(slope) * (alpha * scale / norms)
            back = slope @ weights - mixed * xp.sum(slope * cosines, axis=2, keepdims=True)
            through = back @ outer
            if self.activation == "relu":
                through *= xp.astype(hidden > 0, through.dtype)
            outer_velocity = MOMENTUM * outer_velocity + xp.matrix_transpose(back) @ hidden
            through = xp.matrix_transpose(through)
            inner_velocity = MOMENTUM * inner_velocity + (through if spanned else through @ batch.x)
            outer -= step * outer_velocity
            inner -= step * inner_velocity
        return inner @ batch.x if spanned else inner, outer


def starting_weights(width: int, reduction: float, seed: int, like: Array) -> tuple[Array, Array]:
    """W₁ (H, D) and W₂ (D, H), uniform within ±1/√(inputs) as linear layers usually start."""
    rng = np.random.default_rng(seed)
    hidden = max(1, int(width // reduction))
    dtype = np.float64 if "float64" in str(like.dtype) else np.float32
    down = rng.uniform(-1, 1, (hidden, width)) / np.sqrt(width)
    up = rng.uniform(-1, 1, (width, hidden)) / np.sqrt(hidden)
    return put_beside(like, down.astype(dtype)), put_beside(like, up.astype(dtype))


def orthonormal_rows(xp: Any, rows: Array) -> Array:
    """An orthonormal basis, (B, R, D), of a space that holds all rows (B, M, D); R is at most D."""
    if rows.shape[1] >= rows.shape[2]:
        identity = xp.eye(rows.shape[2], dtype=rows.dtype, device=device_of(rows))
        return xp.broadcast_to(identity, (rows.shape[0], *identity.shape))
    return xp.matrix_transpose(xp.linalg.qr(xp.matrix_transpose(rows))[0])
