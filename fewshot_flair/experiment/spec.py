"""An adapter, or a method of fine-tuning, and its settings, as a command or a study's file names them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from fewshot_flair.errors import InputError

if TYPE_CHECKING:
    from fewshot_flair.finetuning.base import FineTuning

__all__ = ["DEFAULT_ADAPTERS", "AdapterSpec", "MethodSpec", "frozen_adapters", "usable_adapters"]


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

    what: ClassVar[str] = "adapter"
    """What it is, for messages."""

    def __post_init__(self) -> None:
        for given in ("text", "tower"):
            if given in self.params:
                raise InputError(
                    f"{self.what} {self.name!r}: {given} comes from the encoder; leave {given}= out"
                )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``name`` or ``name:parameter=value,parameter=value``."""
        name, _, rest = text.strip().partition(":")
        params: dict[str, Any] = {}
        for part in filter(None, rest.split(",")):
            key, equals, value = part.partition("=")
            if not equals:
                raise InputError(
                    f"{cls.what} {text!r}: {part!r} is not parameter=value; write {name}:parameter=value"
                )
            try:
                params[key.strip()] = ast.literal_eval(value.strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                params[key.strip()] = value.strip()
        return cls.of(name.strip(), params)

    @classmethod
    def of(cls, name: str, params: dict[str, Any]) -> Self:
        """A name and whatever was set."""
        return cls(name, params)

    @classmethod
    def from_entry(cls, item: Any) -> Any:
        """A string or a table of a study's file; whatever is neither comes back as it is."""
        if isinstance(item, str):
            return cls.parse(item)
        if isinstance(item, dict) and set(item) == {each.name for each in fields(cls)}:
            return cls(**item)
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            # TOML has no null
            given = {key: None if value == "None" else value for key, value in item.items() if key != "name"}
            return cls.of(item["name"], given)
        return item

    @property
    def label(self) -> str:
        """What tables call it: the name, and the parameters that were set."""
        return _labelled(self.name, self.params)

    def check(self) -> None:
        """Raise where the name or a parameter is unknown."""
        from fewshot_flair.adapters import create_adapter, get_adapter_class

        if not get_adapter_class(self.name).needs_tower:
            create_adapter(self.name, **self.params)


@dataclass(frozen=True)
class MethodSpec(AdapterSpec):
    """A method of fine-tuning by name, and which of its networks answers.

    Attributes
    ----------
    wise : float, optional
        The place on WiSE-FT's path from the start (0) to the fine-tuned network (1); in a study's entry None stands
        for each of its `Study.alphas`.
    soup : bool
        Whether the mean of the networks of all seeds answers.

    Examples
    --------
    >>> MethodSpec.parse("lora:rank=8,wise=0.5")
    MethodSpec(name='lora', params={'rank': 8}, without_text=False, wise=0.5, soup=False)
    """

    wise: float | None = None
    soup: bool = False

    what: ClassVar[str] = "method"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.wise is not None and not (isinstance(self.wise, int | float) and 0 <= self.wise <= 1):
            raise InputError(
                f"method {self.name!r}: wise is {self.wise!r}; give a place between 0, the start, and 1, the "
                "fine-tuned network"
            )
        if self.soup and self.wise not in (None, 1):
            raise InputError(
                f"method {self.name!r}: a soup is of fine-tuned networks; leave wise or soup out"
            )

    @classmethod
    def of(cls, name: str, params: dict[str, Any]) -> Self:
        """A name and whatever was set: parameters of the method, ``wise`` and ``soup``."""
        own = {key: params[key] for key in ("wise", "soup") if key in params}
        return cls(name, {key: value for key, value in params.items() if key not in own}, **own)

    @property
    def label(self) -> str:
        """What tables call it: the name, the parameters that were set, and the place on the path or the soup."""
        place = {} if self.wise in (None, 1) else {"wise": f"{self.wise:g}"}
        return _labelled(self.name, self.params | place | ({"soup": True} if self.soup else {}))

    @property
    def whole(self) -> MethodSpec:
        """The method, whatever the place on its path."""
        return replace(self, wise=None, soup=False)

    def create(self) -> FineTuning:
        """The method; InputError where the name or a parameter is unknown."""
        from fewshot_flair.finetuning.base import create_finetuning

        return create_finetuning(self.name, **self.params)

    def check(self) -> None:
        """Raise where the name or a parameter is unknown."""
        self.create()


def _labelled(name: str, params: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value}' for key, value in params.items())})" if params else name


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
    """Those that an encoder can serve, and those it cannot because it has no text tower; methods need none."""
    from fewshot_flair.adapters import get_adapter_class

    asked = [spec for spec in specs if not (has_text and spec.without_text)]
    usable = [
        spec
        for spec in asked
        if has_text or isinstance(spec, MethodSpec) or not get_adapter_class(spec.name).needs_text
    ]
    return usable, [spec for spec in asked if spec not in usable]
