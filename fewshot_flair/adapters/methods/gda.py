"""Gaussian discriminant analysis beside the text prototypes.

Wang et al., "A Hard-to-Beat Baseline for Training-Free CLIP-Based Adaptation", ICLR 2024.

    logits = s · x̂·t̂_c + γ (x̂·Σ⁻¹μ_c − ½ μ_cᵀΣ⁻¹μ_c),  Σ⁻¹ = D ((N − 1) S + tr(S) I)⁻¹

S is the covariance (over N − 1) of the class-centred shots, the prior is uniform. The inverse is taken in
the span of the shots: with Z the centred shots and c = tr(S), (ZᵀZ + c I)⁻¹ v = (v − Zᵀ(ZZᵀ + c I)⁻¹ Z v) / c.
"""

from __future__ import annotations

import warnings

from array_api_compat import device as device_of

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.heads import Head, LinearHead
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_number
from fewshot_flair.text.prototypes import TextPrototypes

NO_SPREAD = 1e-6


@register
class GDA(Adapter):
    """One Gaussian a class with a common covariance, added to the zero-shot logits.

    With one shot a class there is no covariance: then the cosines to the class means, times s, are added
    instead, and a RuntimeWarning says so. A class without shots gets the mean of the others' discriminants,
    so that the text decides about it.

    Parameters
    ----------
    gamma : float
        Weight of the discriminants. The paper searches it on validation images; 1 here.
    """

    name = "gda"
    class_balanced = True
    summary = "Gaussian discriminant analysis plus zero-shot logits, closed form"
    paper = "Wang et al., A Hard-to-Beat Baseline for Training-Free CLIP-Based Adaptation, ICLR 2024"

    def __init__(self, text: TextPrototypes | None = None, gamma: float = 1.0, device: str = "cpu") -> None:
        super().__init__(text, device)
        self.gamma = gamma

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """One N × N system an episode."""
        check_number(self.name, "gamma", self.gamma)
        xp, text = batch.xp, batch.prototypes
        means = (batch.mass @ batch.unit_x) / batch.safe_counts[:, :, None]
        directions, spread = self._discriminants(batch, means)
        offsets = -0.5 * xp.sum(directions * means, axis=2)
        if not bool(xp.all(spread)):
            message = "gda: shots do not vary within classes (one shot a class?); nearest class means instead"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
            directions = xp.where(spread[:, None, None], directions, text.scale * unit(xp, means))
            offsets = xp.where(spread[:, None], offsets, xp.zeros_like(offsets))
        present = xp.astype(batch.present, means.dtype)[:, :, None]
        n_present = xp.sum(present, axis=1, keepdims=True)
        absent = (1 - present) / n_present
        directions = present * directions + absent * xp.sum(present * directions, axis=1, keepdims=True)
        offsets = present * offsets[:, :, None]
        offsets = (offsets + absent * xp.sum(offsets, axis=1, keepdims=True))[:, :, 0]
        return LinearHead(text.scale * text.unit + self.gamma * directions, self.gamma * offsets)

    def _discriminants(self, batch: EpisodeBatch, means: Array) -> tuple[Array, Array]:
        """Σ⁻¹μ_c, (B, C, D), and whether shots vary within classes, bool (B,)."""
        xp = batch.xp
        centred = (batch.unit_x - batch.onehot @ means) * xp.sqrt(batch.weight)[:, :, None]
        freedom = xp.where(batch.total > 1, batch.total - 1, xp.ones_like(batch.total))
        trace = xp.sum(centred**2, axis=(1, 2)) / freedom
        spread = trace > NO_SPREAD
        trace = xp.where(spread, trace, xp.ones_like(trace))[:, None, None]
        if batch.n_shots > batch.n_features:
            identity = xp.eye(batch.n_features, dtype=trace.dtype, device=device_of(trace))
            inverted = xp.linalg.solve(
                xp.matrix_transpose(centred) @ centred + trace * identity, xp.matrix_transpose(means)
            )
            return batch.n_features * xp.matrix_transpose(inverted), spread
        gram = centred @ xp.matrix_transpose(centred)
        identity = xp.eye(batch.n_shots, dtype=gram.dtype, device=device_of(gram))
        across = centred @ xp.matrix_transpose(means)
        inside = xp.matrix_transpose(xp.linalg.solve(gram + trace * identity, across)) @ centred
        return batch.n_features * (means - inside) / trace, spread
