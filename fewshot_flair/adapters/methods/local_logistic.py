"""Logistic regression on the global feature, and on the mean and the deviation of the cells.

    φ(x) = s · [x̂, m/‖m‖, d/‖m‖], m the mean and d the deviation of the cells, number by number

The deviation tells a photograph with a few striking cells from one that is striking all over. The regression is that
of `logistic`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace

from fewshot_flair.adapters.batch import EpisodeBatch, unit
from fewshot_flair.adapters.heads import Head, LinearHead
from fewshot_flair.adapters.local import parts
from fewshot_flair.adapters.methods.logistic import Logistic
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.registry import register
from fewshot_flair.text.prototypes import TextPrototypes


@dataclass(frozen=True, eq=False)
class MomentsHead(LinearHead):
    """A linear head on `moments`."""

    factor: float = 1.0

    def _logits(self, x: Array) -> Array:
        return super()._logits(moments(array_namespace(x), x, self.weights.shape[2] // 3, self.factor))


def moments(xp: Any, x: Array, width: int, factor: float) -> Array:
    """Rows (…, (1 + P) · D) to features (…, 3 D)."""
    whole, cells = parts(xp, x, width)
    mean, spread = xp.mean(cells, axis=-2), xp.std(cells, axis=-2)
    length = xp.sqrt(xp.sum(mean**2, axis=-1, keepdims=True)) + 1e-12
    return factor * xp.concat([unit(xp, whole), mean / length, spread / length], axis=-1)


@register
class LocalLogistic(Logistic):
    """Logistic regression on the global feature and the first two moments of the cells; C as in `logistic`."""

    name = "local-logistic"
    summary = "logistic regression on the global feature and the moments of the cells"
    needs_text = True
    features = "local"

    def __init__(self, text: TextPrototypes | None = None, C: float = 0.316, device: str = "cpu") -> None:
        super().__init__(text, C, device=device)

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """The regression, on moments in the length of the text's scale; padding stays 0."""
        xp, text = batch.xp, batch.prototypes
        x = moments(xp, batch.x, text.prototypes.shape[1], text.scale)
        head = super().fit_batch(replace(batch, x=x * xp.astype(batch.weight > 0, x.dtype)[..., None]))
        return MomentsHead(**head.arrays(), normalize=False, factor=text.scale)
