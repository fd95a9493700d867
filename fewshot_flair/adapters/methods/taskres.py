"""TaskRes: a residual to the text prototypes.

Yu et al., "Task Residual for Tuning Vision-Language Models", CVPR 2023.

    w = t + α r,  r starts at 0;  cosine head, common loop over r
"""

from __future__ import annotations

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.descent import cosine_descent
from fewshot_flair.adapters.heads import Head, cosine_head
from fewshot_flair.adapters.methods.linear_probe import mean_mass
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_number
from fewshot_flair.text.prototypes import TextPrototypes


@register
class TaskRes(Adapter):
    """Learn what to add to the text prototypes.

    Parameters
    ----------
    alpha : float
        1, the default, as the benchmark has it (then the same as lp); 0.5 in the original paper.
    """

    name = "taskres"
    summary = "a learned residual to the text prototypes, 300 steps"
    paper = "Yu et al., Task Residual for Tuning Vision-Language Models, CVPR 2023"
    training_free = False

    def __init__(self, text: TextPrototypes | None = None, alpha: float = 1.0, device: str = "cpu") -> None:
        super().__init__(text, device)
        self.alpha = alpha

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Descend in the residual."""
        check_number(self.name, "alpha", self.alpha)
        text = batch.prototypes
        # A step in r of α ∂L/∂w moves w by α² ∂L/∂w.
        weights = cosine_descent(
            batch, batch.per_episode(text.prototypes), text.scale, mean_mass(batch), rate=self.alpha**2
        )
        return cosine_head(batch.xp, weights, text.scale)
