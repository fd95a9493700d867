"""Classes by their names: what is built in, and what a user's file adds."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from fewshot_flair.errors import InputError

__all__ = ["Registry"]

T = TypeVar("T")


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
            near = get_close_matches(str(name), self.known, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(f"no {self.what} {name!r}: {hint}there are {', '.join(self.known)}{more}")
        return self.known[name]
