"""Settings that users write in TOML: unknown entries are errors, and every wrong one is named at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.files import read_toml
from fewshot_flair.words import nearest

__all__ = ["Strict", "check_names_differ"]


def check_names_differ(names: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError for a name that is twice in one of the lists; by what they name."""
    for what, found in names.items():
        twice = [name for name in found if found.count(name) > 1]
        if twice:
            raise ValueError(f"{what}: {twice[0]!r} is there twice; names must differ")


class Strict(BaseModel):
    """A table of settings without entries of its own making."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def _read(cls, path: Path, missing: str) -> Self:
        """Read a TOML file into a table that has `folder` and `text`, where it lies and what it says."""
        if not path.is_file():
            raise MissingFileError(missing)
        text, entries = read_toml(path)
        return cls.from_dict(entries | {"folder": path.resolve().parent, "text": text}, str(path))

    @classmethod
    def from_dict(cls, entries: dict[str, Any], where: str = "", *, options: bool = False) -> Self:
        """Check entries as a TOML file would hold them; InputError names every one that is wrong.

        With `options` they were made of a command's, and are named so.
        """
        where = where or cls.__name__.casefold()
        try:
            return cls(**entries)
        except ValidationError as error:
            lines = [
                _place(found["loc"], options, cls.__name__.casefold())
                + (
                    _unknown(cls, found["loc"]) if found["type"] == "extra_forbidden" else found["msg"]
                ).removeprefix("Value error, ")
                for found in error.errors(include_url=False, include_input=False)
            ]
            shown = [*lines[:20], *([f"and {len(lines) - 20} more"] if len(lines) > 20 else [])]
            raise InputError(f"{where}: " + "; ".join(shown)) from error
        except TypeError as error:  # a key that no keyword can be
            raise InputError(f"{where}: {error}") from error


def _unknown(table: type[BaseModel], loc: Sequence[int | str]) -> str:
    """That a table has no such entry, and the nearest one that it has."""
    for part in loc[:-1]:
        field = table.model_fields.get(str(part))
        inside = [field.annotation, *get_args(field.annotation)] if field else []
        table = next(
            (each for each in inside if isinstance(each, type) and issubclass(each, BaseModel)), table
        )
    hint = nearest(str(loc[-1]), list(table.model_fields))
    return "there is no such entry" + f"; {hint}" * bool(hint)


OPTIONS = {
    "adapters": "adapter",
    "scenarios": "scenario",
    "methods": "method",
    "encoders": "encoder",
    "manifest": "data",
    "tests": "test-on",
    "tuning": "",
}
"""Options whose entries have another name; the settings of one that is empty name themselves."""


def _place(loc: Sequence[int | str], options: bool, whole: str) -> str:
    """Where in a file an entry is, or the option that it was made of, and a colon."""
    words = [part for part in loc if isinstance(part, str) and part != "name"]
    if not options:
        return f"{'.'.join(map(str, loc)) or whole}: "
    option = OPTIONS.get(words[-1], words[-1]) if words else ""
    return f"--{option.replace('_', '-')}: " if option else ""
