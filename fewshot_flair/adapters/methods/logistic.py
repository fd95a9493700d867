"""Multinomial logistic regression on backbone features: FLAIR's published linear probe.

Silva-Rodríguez et al., "A Foundation Language-Image Model of the Retina (FLAIR)", Medical Image Analysis
2025: scikit-learn's LogisticRegression with C = 0.316, lbfgs, max_iter 1000 and class_weight "balanced",
on unprojected, unnormalised features.

    minimise  ½ Σ_c ‖w_c‖² + C Σ_i v_i · cross-entropy(W x_i + b, y_i),  v_i = N / (classes · n_c)

The objective is strictly convex in W, so its optimum does not depend on the solver. Here it is solved for all
episodes at once: in the span of the shots, by Nesterov's accelerated gradient steps in coordinates
where Böhning's bound on the Hessian (½ Σ v_i x_i x_iᵀ, "Multinomial logistic regression algorithm", 1992) and
the penalty together are the identity, so that a step of 1 always descends and none is searched for.
"""

from __future__ import annotations

import warnings
from typing import Any

from array_api_compat import device as device_of

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.descent import residuals
from fewshot_flair.adapters.heads import NEVER, Head, LinearHead
from fewshot_flair.adapters.methods.linear_probe import balanced_mass
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_choice, check_count, check_number
from fewshot_flair.text.prototypes import TextPrototypes

FAR = 0.01
"""Gradient, as a share of the penalty's, above which an optimum is far."""


@register
class Logistic(Adapter):
    """L2-penalised logistic regression; a class without shots is never predicted. Needs no text.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty.
    class_weight : "balanced" or None
        Whether classes weigh alike, whatever their shots.
    tol : float
        Largest gradient, relative to that at zero, at which the optimum counts as reached.
    max_steps : int
        Steps after which a ConvergenceWarning is given.

    Notes
    -----
    With two classes among the shots this is scikit-learn's binomial model, of one weight vector. The
    arithmetic is float64.
    """

    name = "logistic"
    summary = "logistic regression on backbone features (FLAIR's linear probe)"
    paper = "Silva-Rodríguez et al., A Foundation Language-Image Model of the Retina (FLAIR), MedIA 2025"
    needs_text = False
    features = "backbone"
    training_free = False

    def __init__(
        self,
        text: TextPrototypes | None = None,
        C: float = 0.316,
        class_weight: str | None = "balanced",
        tol: float = 1e-6,
        max_steps: int = 5000,
        device: str = "cpu",
    ) -> None:
        super().__init__(text, device)
        self.C = C
        self.class_weight = class_weight
        self.tol = tol
        self.max_steps = max_steps

    @property
    def class_balanced(self) -> bool:  # type: ignore[override]
        """Whether its probabilities presume classes of equal prevalence: where classes weigh alike."""
        return self.class_weight == "balanced"

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Solve the convex problems together."""
        check_number(self.name, "C", self.C, above=0)
        check_count(self.name, "max_steps", self.max_steps)
        check_number(self.name, "tol", self.tol, above=0)
        check_choice(self.name, "class_weight", self.class_weight, ("balanced", None))
        xp, single = batch.xp, batch.x.dtype
        mass = batch.mass if self.class_weight is None else balanced_mass(batch) * batch.total[:, None, None]
        mass = self.C * xp.astype(mass, xp.float64)
        x = xp.astype(batch.x, xp.float64)
        rows, back = span(xp, x)
        n_present = xp.sum(xp.astype(batch.present, xp.float64), axis=1)
        # w₁ = −w₂ = w/2 turns ½‖w‖² into ‖w₁‖² + ‖w₂‖²: twice the multinomial penalty.
        penalty = xp.where(n_present == 2, 2 * xp.ones_like(n_present), xp.ones_like(n_present))
        absent = NEVER * xp.astype(~batch.present, xp.float64)
        weights, bias = self._solve(xp, rows, mass, penalty, absent)
        if back is not None:
            weights = (weights @ back) @ x
        return LinearHead(xp.astype(weights, single), xp.astype(bias + absent, single), normalize=False)

    def _solve(self, xp: Any, rows: Array, mass: Array, penalty: Array, absent: Array) -> tuple[Array, Array]:
        """Weights (B, C, R) and biases (B, C) of features (B, N, R); `absent` is added to the logits."""
        weight = xp.sum(mass, axis=1, keepdims=True)
        whiten, ridge = _coordinates(xp, rows, weight[:, 0, :], penalty)
        ones = xp.ones_like(rows[:, :, :1])
        features = xp.concat([rows, ones], axis=2) @ whiten
        transposed = xp.matrix_transpose(features)
        known = xp.astype(absent == 0, xp.float64)[:, :, None]
        point = xp.zeros_like(mass @ features)
        ahead, momentum = point, xp.ones_like(penalty)
        first = None
        # ½ Σ v φφᵀ ≤ 1 bounds gradients by √(2 Σ v); far below that a gradient is rounding alone.
        rounding = 1e-6 * xp.sqrt(2 * xp.sum(weight, axis=(1, 2)))
        for step in range(self.max_steps):
            slope = residuals(xp, ahead @ transposed + absent[:, :, None], mass, weight)
            gradient = (slope @ features + ahead @ ridge) * known
            largest = xp.max(xp.abs(gradient), axis=(1, 2))
            first = largest + rounding if first is None else first
            if step % 10 == 9 and bool(xp.all(largest <= self.tol * first)):
                # At the optimum the penalty's gradient and the data's cancel. With features of large norm
                # both are far below the first gradient, so that a small one alone says little.
                pull = xp.max(xp.abs(ahead @ ridge), axis=(1, 2))
                far = bool(xp.any(largest > FAR * pull + 1e-9 * rounding))
                break
            following = ahead - gradient
            moved = following - point
            # O'Donoghue & Candès 2015: forget the momentum where it points uphill.
            uphill = xp.sum(gradient * moved, axis=(1, 2)) > 0
            momentum = xp.where(uphill, xp.ones_like(momentum), momentum)
            grown = (1 + xp.sqrt(1 + 4 * momentum**2)) / 2
            ahead = following + ((momentum - 1) / grown)[:, None, None] * moved
            point, momentum = following, grown
        else:
            far = True
        if far:
            from sklearn.exceptions import ConvergenceWarning

            message = (
                f"logistic: not converged in {step + 1} steps; scale the features (their norms are large where "
                "they are not normalised), or raise max_steps or lower tol"
            )
            warnings.warn(message, ConvergenceWarning, stacklevel=4)
        solved = ahead @ xp.matrix_transpose(whiten)
        return solved[:, :, :-1], solved[:, :, -1]


def span(xp: Any, x: Array) -> tuple[Array, Array | None]:
    """Rows (B, N, D) in an orthonormal basis of their span, (B, N, N), and the way back to the rows.

    A weight w in the basis is ``(w @ back) @ x`` in the D columns. Where there are at least as many rows as
    columns, rows stay as they are and there is nothing to take back.
    """
    if x.shape[1] >= x.shape[2]:
        return x, None
    values, vectors = xp.linalg.eigh(x @ xp.matrix_transpose(x))
    kept = values > 1e-13 * x.shape[1] * xp.max(values, axis=1, keepdims=True)
    roots = xp.sqrt(xp.where(kept, values, xp.ones_like(values)))
    keep = xp.astype(kept, x.dtype)
    back = xp.matrix_transpose(vectors) * (keep / roots)[:, :, None]
    return vectors * (roots * keep)[:, None, :], back


def _coordinates(xp: Any, rows: Array, weight: Array, penalty: Array) -> tuple[Array, Array]:
    """Coordinates in which the bound on the Hessian is the identity, and the penalty's matrix in them."""
    width = rows.shape[2]
    columns = xp.concat([rows, xp.ones_like(rows[:, :, :1])], axis=2)
    identity = xp.eye(width + 1, dtype=rows.dtype, device=device_of(rows))
    free = xp.astype(xp.arange(width + 1, device=device_of(rows)) < width, rows.dtype)
    ridge = penalty[:, None, None] * (identity * free)
    bound = ridge + 0.5 * xp.matrix_transpose(columns * weight[:, :, None]) @ columns
    lower = xp.linalg.cholesky(bound)
    whiten = xp.matrix_transpose(xp.linalg.inv(lower))
    return whiten, xp.matrix_transpose(whiten) @ ridge @ whiten
