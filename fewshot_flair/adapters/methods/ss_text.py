"""Closed-form prototypes: SimpleShot, SS-Text and SS-Text+.

Wang et al., "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning", 2019 (ss);
Silva-Rodríguez et al., "Full Conformal Adaptation of Medical Vision-Language Models", IPMI 2025 (ss-text);
Silva-Rodríguez et al., "Towards a Realistic Few-Shot Adaptation of Medical Vision-Language Models", MICCAI 2025
(ss-text+).

    ss        w_c = mean of the class's shots
    ss-text   w_c = t_c + (s / (λ N)) · Σ_{i∈c} x_i,  λ ≥ 1e-3; by default λ = 1/N
    ss-text+  the same with λ_c = 1/n_c, then repelled from the mean of the others:
              d_c = 2 w_c − mean_c' w_c',  w_c ← w_c − d_c / ‖d_c‖

all with the cosine head s · x̂·ŵ_c.
"""

from __future__ import annotations

import math

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.heads import NEVER, Head, cosine_head
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_number
from fewshot_flair.text.prototypes import TextPrototypes

SMALLEST_LAMBDA = 1e-3


@register
class SimpleShot(Adapter):
    """Nearest class mean by cosine; a class without shots is never predicted. Needs no text.

    Parameters
    ----------
    logit_scale : float, optional
        Logarithm of the factor on cosines; by default that of `text`, else log 100 as CLIP ends up with.
    """

    name = "ss"
    class_balanced = True
    summary = "nearest class mean by cosine, without text"
    paper = "Wang et al., SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning, 2019"
    needs_text = False

    def __init__(
        self, text: TextPrototypes | None = None, logit_scale: float | None = None, device: str = "cpu"
    ) -> None:
        super().__init__(text, device)
        self.logit_scale = logit_scale

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Class means."""
        xp, scale = batch.xp, 100.0
        if self.logit_scale is not None:
            check_number(self.name, "logit_scale", self.logit_scale, below=50)
            scale = math.exp(self.logit_scale)
        elif self.text is not None:
            scale = self.text.scale
        known = xp.zeros_like(batch.counts)
        bias = xp.where(batch.present, known, known + NEVER)
        return cosine_head(xp, batch.class_means, scale, bias)


@register
class SSText(Adapter):
    """Class sums added to the text prototypes, in closed form.

    Parameters
    ----------
    lam : float, optional
        How much text counts against shots, the paper's λ, at least 1e-3; by default 1/N, one over the
        number of shots of the episode.
    """

    name = "ss-text"
    summary = "text prototypes plus scaled class sums, closed form"
    paper = "Silva-Rodríguez et al., Full Conformal Adaptation of Medical Vision-Language Models, IPMI 2025"

    def __init__(
        self, text: TextPrototypes | None = None, lam: float | None = None, device: str = "cpu"
    ) -> None:
        super().__init__(text, device)
        self.lam = lam

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """One weighted sum."""
        if self.lam is not None:
            check_number(self.name, "lam", self.lam, above=0)
        return cosine_head(batch.xp, with_shots(batch, self.lam), batch.prototypes.scale)


def with_shots(batch: EpisodeBatch, lam: float | None = None) -> Array:
    """The prototypes of `SSText`, (B, C, D)."""
    xp, text = batch.xp, batch.prototypes
    if lam is not None:
        factor = text.scale / (max(lam, SMALLEST_LAMBDA) * batch.total)
    else:
        factor = text.scale / (xp.clip(1 / batch.total, SMALLEST_LAMBDA, None) * batch.total)
    return text.prototypes + factor[:, None, None] * batch.class_sums


@register
class SSTextPlus(Adapter):
    """SS-Text with a λ for each class, and prototypes repelled from one another."""

    name = "ss-text+"
    class_balanced = True
    summary = "ss-text with class-wise weights and repelled prototypes, closed form"
    paper = "Silva-Rodríguez et al., Towards a Realistic Few-Shot Adaptation of Medical VLMs, MICCAI 2025"

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Weighted sums, then one repelling step."""
        xp, text = batch.xp, batch.prototypes
        lambdas = xp.clip(1 / batch.safe_counts, SMALLEST_LAMBDA, None)
        factor = text.scale / (lambdas * batch.total[:, None])
        weights = text.prototypes + factor[:, :, None] * batch.class_sums
        away = 2 * weights - xp.mean(weights, axis=1, keepdims=True)
        return cosine_head(xp, weights - unit(xp, away), text.scale)
