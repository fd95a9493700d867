"""The photographs that an encoder of our own making was trained on: digests of their bytes, beside its weights."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from fewshot_flair.errors import InputError
from fewshot_flair.files import write_table

__all__ = ["SEEN", "read_seen", "weights_folder", "write_seen"]

SEEN = "trained-on.csv"
"""Columns ``key``, as the bank has it, and ``set``."""


def weights_folder(asked: str) -> Path | None:
    """The folder of the weights that `load_encoder` takes by a path; None of those of the hub or the catalogue."""
    from fewshot_flair.encoders.catalogue import MINI

    place = MINI if asked == "mini" else Path(asked.partition(":")[2] or asked)
    if not place.exists():
        return None
    return place if place.is_dir() else place.parent


def write_seen(folder: Path, sets: Mapping[str, str]) -> None:
    """Write the keys of photographs, each with the name of the set that it is of."""
    import pandas as pd

    write_table(pd.DataFrame({"key": list(sets), "set": list(sets.values())}), folder / SEEN)


def read_seen(folder: Path) -> dict[str, str]:
    """The keys of the photographs that an encoder was trained on, with their sets; empty where nothing is known.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = folder / SEEN
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as lines:
        head, *rows = [*csv.reader(lines)] or [[]]
    if head != ["key", "set"] or any(len(row) != 2 or len(row[0]) != 64 for row in rows):
        raise InputError(
            f"{path} is damaged: it should name photographs by digests; train again, or remove it"
        )
    return dict(rows)
