"""Names of the files of maps: by the photograph's stem, and never one for two photographs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["map_names", "slug"]


def slug(text: str) -> str:
    """A text as part of a file's name.

    Examples
    --------
    >>> slug("Small red dots!")
    'small-red-dots'
    """
    return re.sub(r"[^\w]+", "-", text.casefold()).strip("-") or "text"


def map_names(paths: Sequence[Path], endings: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """A base name for each photograph: its stem, with its folder before it or a number after where that is taken.

    Parameters
    ----------
    paths : sequence of n Path
    endings : sequence of str
        What comes after the base in the names of a photograph's maps; ``""`` for its class.
    taken : iterable of str
        Names, with their endings, that are other photographs'.

    Returns
    -------
    list of n str
    """
    used = {name.casefold() for name in taken}
    names = []
    for path in paths:
        stem, folder = path.stem, path.resolve().parent.name
        base, number = stem, 1
        while any(f"{base}{ending}".casefold() in used for ending in endings):
            base = f"{folder}_{stem}" if number == 1 and folder else f"{folder}_{stem}_{number}"
            number += 1
        used |= {f"{base}{ending}".casefold() for ending in endings}
        names.append(base)
    return names
