"""EM-Dirichlet: a Dirichlet law a class on the zero-shot probabilities of images, found with the pool's soft labels.

Martin, Huang, Shakeri, Pesquet & Ben Ayed, "Transductive Zero-Shot and Few-Shot CLIP", CVPR 2024, arXiv 2405.18437.

    z_n = softmax_k(T x̂_n·t̂_k) on the simplex;  p(z | α) = Γ(Σ_k α_k) / Π_k Γ(α_k) · Π_k z_k^(α_k − 1)
    u starts at z, α_c at ones, and in each of 20 rounds

      α_c ← argmax_α Σ_{n∈S} y_nc log p(z_n | α) + Σ_{n∈Q} u_nc log p(z_n | α), by majorisation and minimisation:
            with m_k the weighted mean of log z_nk and φ(t) = log Γ(t + 1), 100 times, for all k at once,
              h_k = 2 (φ(0) − φ(α_k) + φ'(α_k) α_k) / α_k²
              b_k = φ'(α_k) − ψ(Σ_j α_j) − m_k − h_k α_k
              α_k ← (−b_k + √(b_k² + 4 h_k)) / (2 h_k)
      π_c ← mean over Q of u_nc
      u_n ← softmax_c(log p(z_n | α_c) + λ/|Q| · log π_c), the penalty of complex partitions

S are the shots, Q the unlabelled images. φ is convex and its second derivative falls, so that the parabola of curvature
h lies above it, and log Γ(t) = φ(t) − log t leaves a quadratic equation. Written from the paper's formulas alone (its
code has no licence).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, is_torch_namespace

from fewshot_flair.adapters.assignments import log_softmax, unit_pool
from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.transductive import TransductiveAdapter
from fewshot_flair.adapters.validation import check_count, check_number
from fewshot_flair.text.prototypes import TextPrototypes

STEPS = 100
NEAR_ZERO = 1e-5
"""Below it h is its limit φ''(0) = π²/6, as differences of rounded numbers say nothing there."""
SMALLEST_SHARE = 1e-12
"""Of a class that no image of the pool belongs to any more."""


@register
class EMDirichlet(TransductiveAdapter):
    """Dirichlet laws of zero-shot probabilities, and soft labels of unlabelled images, found in turns.

    Without unlabelled images, which the paper does not have, each class's law is that of its shots, or without any that
    of all shots weighted by its zero-shot probability; one image of even probabilities counts in each, as a single
    shot's law would have no end; and there is no penalty. Without shots too, its answers are the zero-shot ones at T.

    Parameters
    ----------
    temperature : float
        T, the factor on cosines; 30 in the paper.
    lam : float
        λ/|Q|, how much small classes are penalised; at 1 the π are the weights of a mixture, as in expectation
        maximisation.
    rounds : int
        How often laws are found anew.
    zero_shot : bool
        Leave the shots out: the paper's variant without labels.
    """

    name = "em-dirichlet"
    summary = "Dirichlet law a class on zero-shot probabilities, with soft labels of unlabelled images"
    paper = "Martin et al., Transductive Zero-Shot and Few-Shot CLIP, CVPR 2024"

    def __init__(
        self,
        text: TextPrototypes | None = None,
        temperature: float = 30.0,
        lam: float = 1.0,
        rounds: int = 20,
        zero_shot: bool = False,
        device: str = "cpu",
    ) -> None:
        super().__init__(text, device)
        self.temperature = temperature
        self.lam = lam
        self.rounds = rounds
        self.zero_shot = zero_shot

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Rounds of laws and assignments, in float64 as gamma functions of large numbers are subtracted."""
        check_number(self.name, "temperature", self.temperature, above=0)
        check_number(self.name, "lam", self.lam, above=-1e-300)
        check_count(self.name, "rounds", self.rounds)
        batch = self.without_labels(batch)
        xp, dtype = batch.xp, batch.x.dtype
        prototypes = batch.per_episode(self.temperature * batch.prototypes.unit)
        shots, mass = self._on_simplex(batch, batch.unit_x), xp.astype(batch.mass, xp.float64)
        alpha = xp.ones((batch.size, batch.n_classes, batch.n_classes), dtype=xp.float64, device=mass.device)
        log_shares = alpha[:, :, 0] * 0
        if (pool := unit_pool(batch)) is None:
            guessed = xp.matrix_transpose(xp.exp(shots)) * xp.astype(batch.weight, xp.float64)[:, None, :]
            mass = xp.where(batch.present[:, :, None], mass, guessed)
            even, n = -math.log(batch.n_classes), xp.sum(mass, axis=2, keepdims=True)
            alpha = xp.where(n > 0, alpha, 1 + xp.eye(batch.n_classes, dtype=xp.float64, device=mass.device))
            for _ in range(int(self.rounds)):
                alpha = self._law(alpha, mass @ shots + even, xp.where(n > 0, n + 1, n))
        else:
            queries, weight = self._on_simplex(batch, pool[0]), xp.astype(pool[1], xp.float64)[:, :, None]
            u = xp.exp(queries) * weight
            of_shots, n_shots = mass @ shots, xp.sum(mass, axis=2, keepdims=True)
            for _ in range(int(self.rounds)):
                assigned = xp.matrix_transpose(u)
                n = xp.sum(assigned, axis=2, keepdims=True)
                alpha = self._law(alpha, of_shots + assigned @ queries, n_shots + n)
                shares = n[:, :, 0] / xp.sum(weight, axis=1)
                log_shares = self.lam * xp.log(xp.clip(shares, SMALLEST_SHARE, None))
                density = (
                    queries @ xp.matrix_transpose(alpha - 1) + (constant(alpha) + log_shares)[:, None, :]
                )
                u = xp.exp(log_softmax(xp, density)) * weight
        bias = constant(alpha) + log_shares
        return SimplexHead(prototypes, xp.astype(alpha - 1, dtype), xp.astype(bias, dtype))

    def _on_simplex(self, batch: EpisodeBatch, rows: Array) -> Array:
        """Log z of unit rows (B, n, D): float64 (B, n, C)."""
        xp = batch.xp
        cosines = rows @ xp.matrix_transpose(batch.prototypes.unit)
        return log_softmax(xp, xp.astype(self.temperature * cosines, xp.float64))

    def _law(self, alpha: Array, sums: Array, size: Array) -> Array:
        """α (B, C, C) after more steps towards the likeliest, of sums of log z under a mass; a class of none stays."""
        xp = array_namespace(alpha)
        log_gamma, digamma = gamma_functions(xp)
        there = size > SMALLEST_SHARE
        means = sums / xp.where(there, size, xp.ones_like(size))
        for _ in range(STEPS):
            slope = digamma(alpha + 1)
            curvature = 2 * (slope * alpha - log_gamma(alpha + 1)) / alpha**2
            curvature = xp.where(alpha > NEAR_ZERO, curvature, xp.full_like(alpha, math.pi**2 / 6))
            linear = slope - digamma(xp.sum(alpha, axis=2, keepdims=True)) - means - curvature * alpha
            found = (xp.sqrt(linear**2 + 4 * curvature) - linear) / (2 * curvature)
            alpha = xp.where(there, found, alpha)
        return alpha


def gamma_functions(xp: Any) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Log Γ and its derivative ψ."""
    if is_torch_namespace(xp):
        import torch

        return torch.lgamma, torch.digamma
    from scipy.special import gammaln, psi

    return gammaln, psi


def constant(alpha: Array) -> Array:
    """Log Γ(Σ_k α_k) − Σ_k log Γ(α_k), (B, C)."""
    xp = array_namespace(alpha)
    log_gamma, _ = gamma_functions(xp)
    return log_gamma(xp.sum(alpha, axis=2)) - xp.sum(log_gamma(alpha), axis=2)


@dataclass(frozen=True, eq=False)
class SimplexHead(Head):
    """``Σ_k a_ck log z_k + b_c`` with z = softmax(x̂·v_k).

    Attributes
    ----------
    prototypes : (B, C, D)
        v, temperature included.
    weights : (B, C, C)
    bias : (B, C)
    """

    prototypes: Array
    weights: Array
    bias: Array

    def _logits(self, x: Array) -> Array:
        xp = array_namespace(x)
        logs = log_softmax(xp, unit(xp, x)[None, ...] @ xp.matrix_transpose(self.prototypes))
        return logs @ xp.matrix_transpose(self.weights) + self.bias[:, None, :]
