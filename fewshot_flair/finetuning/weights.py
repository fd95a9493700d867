"""Between and among networks of one start: WiSE-FT's path and model soups."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fewshot_flair.errors import InputError
from fewshot_flair.finetuning.network import State

__all__ = ["changed", "interpolate", "soup"]


def changed(start: State, end: State) -> State:
    """The tensors of `end` that differ from `start`'s in any bit."""
    return {name: tensor for name, tensor in end.items() if not torch.equal(tensor, start[name])}


def interpolate(start: State, end: State, alpha: float) -> State:
    """WiSE-FT: ``(1 − alpha) · start + alpha · end`` of each tensor of `end`; at 0 and 1 the ends, bit for bit.

    Parameters
    ----------
    start : dict of str to tensor
        Has at least the names of `end`.
    end : dict of str to tensor
    alpha : float
        Between 0 and 1.

    Raises
    ------
    InputError
        If alpha lies outside.

    References
    ----------
    Wortsman et al., Robust Fine-Tuning of Zero-Shot Models, CVPR 2022.
    """
    if not 0 <= alpha <= 1:
        raise InputError(
            f"alpha is {alpha}; WiSE-FT's path lies between 0, the start, and 1, the fine-tuned end"
        )
    if alpha in (0, 1):
        return {name: (tensor if alpha else start[name]).clone() for name, tensor in end.items()}
    return {
        name: (1 - alpha) * start[name] + alpha * tensor if tensor.is_floating_point() else tensor.clone()
        for name, tensor in end.items()
    }


def soup(states: Sequence[State]) -> State:
    """A uniform model soup: the mean of each tensor over networks of one architecture and one start.

    Raises
    ------
    InputError
        If there is none, or names differ.

    References
    ----------
    Wortsman et al., Model Soups: Averaging Weights of Multiple Fine-Tuned Models, ICML 2022.
    """
    if not states or any(set(state) != set(states[0]) for state in states):
        raise InputError("a soup needs one network or more, all with the same tensors")
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }
