"""Prompt learning: the words before the class name, learned through the frozen text tower.

Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022 (coop);
Yao et al., "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization", CVPR 2023 (kgcoop).

    logits = s · x̂·ŵ_c,  w_c = text tower([v_1 … v_M] class name),  v starts as the words of a template
    kgcoop adds λ (1 − mean_c ŵ_c·t̂_c), which holds prompts to the given prototypes t

v is trained in the spirit of the common loop: 300 full-batch steps of SGD, momentum 0.9, a cosine from the papers'
step size 0.002 to 0, no validation set. Gradients go through the tower, so this costs a thousand times what
a linear head does; what is kept is a cosine head, which needs no tower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.descent import MOMENTUM, step_sizes
from fewshot_flair.adapters.heads import Head, cosine_head
from fewshot_flair.adapters.namespaces import put_beside, to_numpy
from fewshot_flair.adapters.registry import register
from fewshot_flair.adapters.validation import check_count, check_number
from fewshot_flair.errors import InputError
from fewshot_flair.text.prototypes import TextPrototypes

if TYPE_CHECKING:
    from torch import Tensor

PROMPTS_AT_ONCE = 256
"""Prompts that go through the tower together; bounds memory."""

TEMPLATE = "A fundus photograph of"


class TextTower(Protocol):
    """What prompt learning asks of an encoder: `FLAIRModel` has it."""

    def soft_prompts(self, context: str, names: list[str]) -> Any:
        """Prompts of the names, differentiable in their context's word vectors."""
        ...


@register
class CoOp(Adapter):
    """Context optimisation, one context for all classes.

    Parameters
    ----------
    tower : encoder
        One with a text tower, such as ``load_encoder("mini")``: the one that made `text` and the features.
        Needed for fitting only.
    context : str
        What the context starts as; it has as many vectors as these words have tokens.
    step_size : float
        Largest step, 0.002 in both papers.
    steps : int
        Number of steps.
    """

    name = "coop"
    summary = "learned prompt words through the frozen text tower"
    paper = "Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022"
    training_free = False
    needs_tower: ClassVar[bool] = True

    def __init__(
        self,
        text: TextPrototypes | None = None,
        tower: TextTower | None = None,
        context: str = TEMPLATE,
        step_size: float = 0.002,
        steps: int = 300,
        device: str = "cpu",
    ) -> None:
        super().__init__(text, device)
        self.tower = tower
        self.context = context
        self.step_size = step_size
        self.steps = steps

    def __sklearn_clone__(self) -> CoOp:
        """A copy that shares the frozen tower."""
        return type(self)(**self.get_params(deep=False))

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Descend in the context vectors, as many episodes at once as memory allows."""
        import torch

        check_number(self.name, "step_size", self.step_size, above=0)
        check_count(self.name, "steps", self.steps)
        if self.tower is None or not hasattr(self.tower, "soft_prompts"):
            raise InputError(
                f"{self.name} needs the text tower that made the prototypes: create_adapter({self.name!r}, "
                "text=…, tower=encoder) with an encoder that has one to learn prompts for (mini, flair)"
            )
        assert self.text is not None
        prompts = self.tower.soft_prompts(self.context, list(self.text.classes))
        x, mass, t = (
            put_beside(prompts.start, np.asarray(to_numpy(array), dtype=np.float32))
            for array in (batch.unit_x, batch.mass, batch.prototypes.unit)
        )
        mass = mass / mass.sum(dim=(1, 2), keepdim=True)
        at_once = max(1, PROMPTS_AT_ONCE // batch.n_classes)
        parts = [
            self._descend(prompts, part, own, t)
            for part, own in zip(torch.split(x, at_once), torch.split(mass, at_once), strict=True)
        ]
        learned = torch.cat(parts).cpu().numpy()
        weights = put_beside(batch.x, learned.astype(to_numpy(batch.x).dtype))
        return cosine_head(batch.xp, weights, batch.prototypes.scale)

    def _descend(self, prompts: Any, x: Tensor, mass: Tensor, t: Tensor) -> Tensor:
        """Learned prompts' embeddings (B, C, D) of shots (B, N, D)."""
        import torch

        assert self.text is not None
        contexts = prompts.start.expand(len(x), *prompts.start.shape).clone()
        velocity = torch.zeros_like(contexts)
        for step in step_sizes(int(self.steps)):
            contexts.requires_grad_()
            embedded = prompts(contexts)
            fitted = torch.log_softmax(self.text.scale * embedded @ x.mT, dim=1)
            loss = -(mass * fitted).sum() + self._held(embedded, t)
            (slope,) = torch.autograd.grad(loss, contexts)
            velocity = MOMENTUM * velocity + slope
            contexts = contexts.detach() - (step / 0.1 * self.step_size) * velocity
        with torch.no_grad():
            return prompts(contexts)

    def _held(self, embedded: Tensor, t: Tensor) -> Tensor | float:
        """What is added to the loss, summed over episodes."""
        return 0.0


@register
class KgCoOp(CoOp):
    """Context optimisation held to the given prototypes, which carry the knowledge.

    Parameters
    ----------
    tower, context, step_size, steps
        As in coop.
    lam : float
        λ, how firmly prompts are held; 8 in the paper.
    """

    name = "kgcoop"
    summary = "coop held to the text prototypes"
    paper = "Yao et al., Visual-Language Prompt Tuning with Knowledge-guided Context Optimization, CVPR 2023"

    def __init__(
        self,
        text: TextPrototypes | None = None,
        tower: TextTower | None = None,
        context: str = TEMPLATE,
        step_size: float = 0.002,
        steps: int = 300,
        lam: float = 8.0,
        device: str = "cpu",
    ) -> None:
        super().__init__(text, tower, context, step_size, steps, device)
        self.lam = lam

    def _held(self, embedded: Tensor, t: Tensor) -> Tensor | float:
        return self.lam * (1 - (embedded * t).sum(dim=2).mean(dim=1)).sum()
