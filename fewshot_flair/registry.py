"""Classes by their names: what is built in, and what a user's file adds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from fewshot_flair.errors import InputError
from fewshot_flair.words import nearest

__all__ = ["OWN", "Registry"]

T = TypeVar("T")
OWN = "; one of your own is made known by --adapters-from FILE.py"
"""What is said after a name that is not known, where a command takes such a file."""


class Registry(Generic[T]):
    """Classes with a ``name`` and a ``summary``.

    Parameters
    ----------
    what : str
        What they are, for messages: ``"conformal score"``.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.known: dict[str, type[T]] = {}

    def register(self, cls: Any) -> Any:
        """Class decorator; InputError where name or summary is missing, or the name is another class's."""
        if not getattr(cls, "name", "") or not getattr(cls, "summary", ""):
            raise InputError(f"{self.what} class {cls.__name__} needs the class attributes name and summary")
        other = self.known.get(cls.name)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InputError(
                f"{self.what} name {cls.name!r} is taken by {other.__module__}.{other.__qualname__}; choose another"
            )
        self.known[cls.name] = cls
        return cls

    def get(self, name: str, more: str = "") -> type[T]:
        """The class of a name; InputError says which exist and which is nearest, and `more`."""
        if name not in self.known:
            parts = [part.strip() for part in name.split(",")]
            if len(parts) > 1 and all(part in self.known for part in parts):
                raise InputError(
                    f"{name!r} is not one {self.what} but {len(parts)}; give each by itself, as {parts[0]!r} and then "
                    f"{parts[1]!r}, and the option before each"
                )
            hint = nearest(name, self.known)
            raise InputError(
                f"no {self.what} {name!r}: {hint}{' ' * bool(hint)}there are {', '.join(self.known)}{more}"
            )
        return self.known[name]

    def check_parameters(self, name: str, given: Iterable[str], known: Iterable[str]) -> None:
        """Raise where a class of that name is given a parameter that it does not have."""
        for parameter in given:
            if parameter not in known:
                hint = nearest(parameter, known)
                raise InputError(
                    f"{self.what} {name!r} has no parameter {parameter!r} (it has: {', '.join(known) or 'none'})"
                    f"{'; ' * bool(hint)}{hint}"
                )
