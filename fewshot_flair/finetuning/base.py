"""What a way of fine-tuning is: which of a tower's numbers are trained, from which head, and how fast."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from torch import nn

from fewshot_flair.errors import InputError
from fewshot_flair.registry import OWN, Registry

__all__ = ["METHODS", "FineTuning", "create_finetuning", "is_norm", "list_finetuning"]

METHODS: Registry[FineTuning] = Registry("fine-tuning method")
"""All methods by name; its `register` adds a class of your own."""
STARTS = ("zero-shot", "probe")
KINDS: tuple[tuple[type, Any, str], ...] = (
    (int, int, "a whole number"),
    (float, int | float, "a number"),
    (str, str, "a word"),
)
"""Of a parameter by the kind of its default: which values it takes, and how that is said."""


@dataclass(frozen=True)
class FineTuning:
    """Base of all methods: a frozen dataclass whose fields are its parameters.

    A subclass writes `choose`, and `finish` where it has changed the tower's modules. The head is always trained.

    Parameters
    ----------
    rate : float
        Largest step size of AdamW for the tower's numbers.
    start : {"zero-shot", "probe"}
        The head that training starts from: the text prototypes, or a linear probe of the frozen features. Encoders
        without a text tower start from the probe always.
    """

    rate: float = 1e-4
    start: str = "zero-shot"

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    above_zero: ClassVar[tuple[str, ...]] = ()
    """Parameters that are no numbers to train with at 0 or below."""

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check_kind(field.name, getattr(self, field.name), field.default)
        if not 0 < self.rate < 1:
            raise InputError(f"{self.name}: rate is {self.rate}; give a step size between 0 and 1, as 1e-4")
        for name in self.above_zero:
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{self.name}: {name} is {getattr(self, name)}; give a number above 0")
        if self.start not in STARTS:
            raise InputError(f"{self.name}: start {self.start!r} is not one of {', '.join(STARTS)}")

    @abstractmethod
    def choose(self, tower: nn.Module) -> None:
        """Switch gradients on for what is trained; they are off for all of it when this is called."""

    def finish(self, tower: nn.Module) -> None:
        """Give the tower its plain modules again, with what was learnt in their weights."""

    def _check_kind(self, name: str, value: Any, default: Any) -> None:
        """Raise where a value is of another kind than the parameter's default."""
        for kind, taken, said in KINDS:
            if type(default) is kind and (isinstance(value, bool) or not isinstance(value, taken)):
                raise InputError(f"{self.name}: {name} is {value!r}; give {said}, as {default}")

    @property
    def label(self) -> str:
        """What tables call it: the name, and the parameters that are not its defaults."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in given.items())})" if given else self.name


def list_finetuning() -> list[type[FineTuning]]:
    """The methods that `create_finetuning` knows, built-in ones first; their fields are their parameters."""
    return list(_known().known.values())


def create_finetuning(name: str, **parameters: Any) -> FineTuning:
    """A method by its name and parameters.

    Raises
    ------
    InputError
        If the name or a parameter is unknown (the message says which exist), or a value is of another kind than the
        default or out of range.

    Examples
    --------
    >>> create_finetuning("lora", rank=8).label
    'lora(rank=8)'
    """
    cls = _known().get(name, OWN)
    METHODS.check_parameters(name, parameters, [field.name for field in fields(cls)])
    return cls(**parameters)


def _known() -> Registry[FineTuning]:
    importlib.import_module("fewshot_flair.finetuning.methods")
    return METHODS


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation (of batches, layers, groups, or a library's own of such a name)."""
    return "norm" in type(module).__name__.lower() and any(True for _ in module.parameters(recurse=False))


def switch_on(parameters: Iterator[nn.Parameter]) -> None:
    """Switch gradients on."""
    for parameter in parameters:
        parameter.requires_grad_(True)
