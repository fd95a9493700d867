"""Logistic regression on the global feature, and on the mean and the deviation of the cells.

    φ(x) = s · [x̂, mean_p c_p, deviation_p c_p], the cells' parts in the length of their mean

Statistics of the cells as in Lin et al., "Bilinear CNN Models for Fine-grained Visual Recognition" and after, here the
first two moments of each number alone; the regression is that of `logistic`.
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
    """A linear head on the moments of the cells, beside the global feature."""

    factor: float = 1.0

    def _logits(self, x: Array) -> Array:
        xp = array_namespace(x)
        return super()._logits(moments(xp, x, self.weights.shape[2] // 3, self.factor))


def moments(xp: Any, x: Array, width: int, factor: float) -> Array:
    """Rows (…, (1 + P) · D) to features (…, 3 D)."""
    whole, cells = parts(xp, x, width)
    mean = xp.mean(cells, axis=-2)
    length = xp.sqrt(xp.sum(mean**2, axis=-1, keepdims=True)) + 1e-12
    spread = xp.std(cells, axis=-2)
    return factor * xp.concat([unit(xp, whole), mean / length, spread / length], axis=-1)


@register
class LocalLogistic(Logistic):
    """`logistic` on the global feature and the first two moments of the cells.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty.
    """

    name = "local-logistic"
    summary = "logistic regression on the global feature and the moments of the cells"
    paper = ""
    needs_text = True
    features = "local"

    def __init__(self, text: TextPrototypes | None = None, C: float = 0.316, device: str = "cpu") -> None:
        super().__init__(text, C, device=device)

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """The regression, on moments in the length of the text's scale."""
        text = batch.prototypes
        x = moments(batch.xp, batch.x, text.prototypes.shape[1], text.scale)
        head = super().fit_batch(replace(batch, x=x * batch.xp.astype(batch.weight > 0, x.dtype)[..., None]))
        assert isinstance(head, LinearHead)
        return MomentsHead(head.weights, head.bias, normalize=False, factor=text.scale)
