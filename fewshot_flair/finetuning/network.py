"""A vision tower with a linear head, to be trained; and what its numbers are by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fewshot_flair.adapters.heads import Head, LinearHead
from fewshot_flair.adapters.namespaces import to_numpy
from fewshot_flair.encoders.base import Encoder
from fewshot_flair.encoders.tower import TowerEncoder
from fewshot_flair.errors import InputError
from fewshot_flair.finetuning.base import FineTuning

__all__ = ["State", "TunedNetwork", "check_trainable"]

State = dict[str, Tensor]


def check_trainable(encoder: Encoder) -> TowerEncoder:
    """The same encoder; InputError where it has no torch tower."""
    if not isinstance(encoder, TowerEncoder):
        raise InputError(
            f"encoder {encoder.name!r} has no tower that could be trained; give one with weights"
        )
    return encoder


class TunedNetwork(nn.Module):
    """Photographs to logits: ``x̂·w_c + b_c`` of the tower's feature x, or of x itself where the head takes it so.

    It is in evaluation mode always: running means and variances stay, as batches of a few photographs would spoil
    them, and nothing is dropped at random.

    Parameters
    ----------
    encoder : Encoder
        Left as it is; the tower is read anew.
    kind : {"embedding", "backbone"}
        The feature that the head takes.
    head : LinearHead
        Of one episode; where training starts.

    Raises
    ------
    InputError
        If the encoder has no torch tower, or the head is not linear.
    """

    def __init__(self, encoder: Encoder, kind: str, head: Head) -> None:
        super().__init__()
        encoder = check_trainable(encoder)
        if not isinstance(head, LinearHead):
            raise InputError(f"fine-tuning starts from a linear head, and not from a {type(head).__name__}")
        self.encoder = encoder.trainable()
        self.place = list(self.encoder.feature_dims).index(kind)
        self.tower = self.encoder._vision
        weights, bias = (to_numpy(array)[0].astype(np.float32) for array in (head.weights, head.bias))
        self.head = nn.Linear(weights.shape[1], weights.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weights))
            self.head.bias.copy_(torch.from_numpy(bias))
        self.head.to(self.encoder.device)
        self.normalize = head.normalize
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Prepared pixels float32 [B, 3, S, S] to logits [B, C]."""
        x = self.encoder.forward(pixels)[self.place].float()
        return self.head(functional.normalize(x, dim=-1) if self.normalize else x)

    def choose(self, method: FineTuning) -> dict[str, nn.Parameter]:
        """Make the method's parameters trainable, and the head; give those that the logits depend on, by name.

        Raises
        ------
        InputError
            If it leaves nothing of the tower to train.
        """
        self.requires_grad_(False)
        method.choose(self.tower)
        self.head.requires_grad_(True)
        side = self.encoder.preparation.image_size
        with torch.enable_grad():
            self(torch.zeros(1, 3, side, side, device=self.encoder.device)).sum().backward()
        chosen = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and parameter.grad is None:  # a pooler or projection that is not used
                parameter.requires_grad_(False)
            elif parameter.requires_grad:
                chosen[name] = parameter
            parameter.grad = None
        if all(name.startswith("head.") for name in chosen):
            raise InputError(f"{method.name}: nothing of this tower is trained by it; take full or lora")
        return chosen

    def state(self) -> State:
        """A copy of every parameter and buffer on the processor, by name."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.state_dict().items()}

    def put(self, state: Mapping[str, Tensor]) -> None:
        """Take over the tensors of a state, or some of them."""
        unknown = set(state) - set(own := self.state_dict())
        if unknown:
            raise InputError(f"the network has no {', '.join(sorted(unknown)[:3])}")
        with torch.no_grad():
            for name, tensor in state.items():
                own[name].copy_(tensor)
