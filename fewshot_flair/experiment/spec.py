"""An adapter and its settings, as a command or a study's file names them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from fewshot_flair.errors import InputError

__all__ = ["DEFAULT_ADAPTERS", "AdapterSpec", "frozen_adapters", "usable_adapters"]


@dataclass(frozen=True)
class AdapterSpec:
    """An adapter by name, with the parameters that differ from its defaults.

    Examples
    --------
    >>> AdapterSpec.parse("tip-adapter:alpha=1.0,beta=5.5")
    AdapterSpec(name='tip-adapter', params={'alpha': 1.0, 'beta': 5.5})
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    without_text: bool = False
    """Whether it joins only where an encoder has no text tower."""

    def __post_init__(self) -> None:
        for given in ("text", "tower"):
            if given in self.params:
                raise InputError(f"adapter {self.name!r}: {given} comes from the encoder; leave {given}= out")

    @classmethod
    def parse(cls, text: str, what: str = "adapter") -> AdapterSpec:
        """Read ``name`` or ``name:parameter=value,parameter=value``; `what` it is, for messages."""
        name, _, rest = text.strip().partition(":")
        params: dict[str, Any] = {}
        for part in filter(None, rest.split(",")):
            key, equals, value = part.partition("=")
            if not equals:
                raise InputError(
                    f"{what} {text!r}: {part!r} is not parameter=value; write {name}:parameter=value"
                )
            try:
                params[key.strip()] = ast.literal_eval(value.strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                params[key.strip()] = value.strip()
        return cls(name.strip(), params)

    @classmethod
    def from_entry(cls, item: Any) -> Any:
        """A string or a table of a study's file; whatever is neither comes back as it is."""
        if isinstance(item, str):
            return cls.parse(item)
        if isinstance(item, dict) and set(item) == {"name", "params", "without_text"}:
            return cls(**item)
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            # TOML has no null
            given = {key: None if value == "None" else value for key, value in item.items() if key != "name"}
            return cls(item["name"], given)
        return item

    @property
    def label(self) -> str:
        """What tables call it: the name, and the parameters that were set."""
        if not self.params:
            return self.name
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in self.params.items())})"

    def check(self) -> None:
        """Raise where the name or a parameter is unknown."""
        from fewshot_flair.adapters import create_adapter, get_adapter_class

        if not get_adapter_class(self.name).needs_tower:
            create_adapter(self.name, **self.params)


DEFAULT_ADAPTERS = [
    *map(AdapterSpec, ("zero-shot", "lp", "logistic", "clip-adapter", "ss-text", "ss-text+")),
    AdapterSpec("ss", without_text=True),
]


def frozen_adapters(named: list[str] | None) -> list[AdapterSpec]:
    """The named adapters; the default ones where none is named; for ``["all"]`` all that learn from labels alone."""
    if not named:
        return DEFAULT_ADAPTERS
    if named != ["all"]:
        return [AdapterSpec.parse(text) for text in named]
    from fewshot_flair.adapters import list_adapters

    return [
        AdapterSpec(a.name)
        for a in list_adapters()
        if not (a.uses_unlabeled or a.needs_tower or a.features == "local")
    ]


def usable_adapters(
    specs: list[AdapterSpec], *, has_text: bool
) -> tuple[list[AdapterSpec], list[AdapterSpec]]:
    """Those that an encoder can serve, and those it cannot because it has no text tower."""
    from fewshot_flair.adapters import get_adapter_class

    asked = [spec for spec in specs if not (has_text and spec.without_text)]
    usable = [spec for spec in asked if has_text or not get_adapter_class(spec.name).needs_text]
    return usable, [spec for spec in asked if spec not in usable]
