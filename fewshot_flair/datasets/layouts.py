"""From a data set's folder in its published layout to rows: photograph, label, side, patient."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_flair.datasets.register import KnownSet, Part
from fewshot_flair.errors import InputError
from fewshot_flair.images.formats import IMAGE_SUFFIXES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Laid", "patient_of", "read_layout"]

DEEP = 4
"""So many folders below the one that was named the layout is looked for."""


@dataclass
class Laid:
    """Rows that a layout gives.

    Attributes
    ----------
    rows : list of (Path, str, str, str)
        Photograph, label, side, patient.
    missing : list of str
        Photographs that a table of labels names and that are not there.
    unlabelled : int
        Photographs in the folders that no table names.
    other : dict
        How many rows are left out, by the reason.
    """

    rows: list[tuple[Path, str, str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unlabelled: int = 0
    other: dict[str, int] = field(default_factory=dict)

    def leave_out(self, why: str) -> None:
        """Count a row that is left out."""
        self.other[why] = self.other.get(why, 0) + 1


def read_layout(known: KnownSet, folder: Path) -> Laid:
    """Read the rows of a data set from a folder in the published layout.

    Parameters
    ----------
    folder : Path
        The data set's folder, or one above it (at most DEEP levels).

    Raises
    ------
    InputError
        If the layout is not there, or a table of labels lacks a column.
    """
    root = _root(known, folder)
    laid = Laid()
    for part in known.parts:
        photographs = _photographs(root, part)
        if part.table is None:
            _by_path(part, root, photographs, laid)
        else:
            for table in _matching(root, part.table):
                _by_table(part, table, photographs, laid)
    return laid


def _root(known: KnownSet, folder: Path) -> Path:
    """The folder, at it or below it, that has all parts; where none has, the one that has most."""
    wanted = [part.table or part.images for part in known.parts]
    best: tuple[int, Path] = (0, folder)
    for candidate in _folders(folder):
        n = sum(1 for pattern in wanted if next(_matching(candidate, pattern), None) is not None)
        if n == len(wanted):
            return candidate
        best = max(best, (n, candidate), key=lambda found: found[0])
    if best[0]:
        return best[1]
    needs = ", ".join(dict.fromkeys(f"{pattern}" for pattern in wanted))
    raise InputError(
        f"{folder}: not the published layout of {known.title}, which has {needs} below it; give the data set's own "
        "folder, or a table of its photographs (--split TABLE)"
    )


def _folders(folder: Path) -> Iterator[Path]:
    level = [folder]
    for _ in range(DEEP + 1):
        yield from level
        level = [
            each
            for above in level
            for each in sorted(above.iterdir())
            if each.is_dir() and not each.name.startswith(".")
        ]


def _matching(root: Path, pattern: str) -> Iterator[Path]:
    """Files below `root` that a pattern names, without regard to case."""
    yield from _walk(root, tuple(part.casefold() for part in pattern.split("/")))


def _walk(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    first, *rest = parts
    if first == "**":
        yield from _walk(folder, tuple(rest))
        for below in _entries(folder):
            if below.is_dir():
                yield from _walk(below, parts)
        return
    for entry in _entries(folder):
        if fnmatch(entry.name.casefold(), first):
            if rest and entry.is_dir():
                yield from _walk(entry, tuple(rest))
            elif not rest and entry.is_file():
                yield entry


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return []


def _photographs(root: Path, part: Part) -> list[Path]:
    return [path for path in _matching(root, part.images) if path.suffix.lower() in IMAGE_SUFFIXES]


def _by_path(part: Part, root: Path, photographs: list[Path], laid: Laid) -> None:
    for path in photographs:
        label = str(part.label)
        if part.label_pattern:
            found = re.search(part.label_pattern, path.relative_to(root).as_posix())
            entry = found.group(1) if found else ""
            if entry not in part.values:
                laid.leave_out(f"{entry!r} is no class")
                continue
            label = part.values[entry]
        laid.rows.append((path, label, part.split, ""))


def _by_table(part: Part, file: Path, photographs: list[Path], laid: Laid) -> None:
    table = _read(file, part)
    columns = [part.label] if isinstance(part.label, str) else part.label
    there = {str(name).strip().casefold(): name for name in table.columns}
    needed = {
        name.casefold(): name for name in (part.image, *part.where, *([part.patient] if part.patient else []))
    }
    labels = [there[name.casefold()] for name in columns if name.casefold() in there]
    if missing := [name for key, name in needed.items() if key not in there] or (
        [] if labels else columns[:1]
    ):
        raise InputError(
            f"{file} has no column {missing[0]!r}; its columns are {', '.join(map(repr, there.values()))}"
        )
    by_stem: dict[str, list[Path]] = {}
    for path in photographs:
        by_stem.setdefault(path.stem.casefold(), []).append(path)
    named = set()
    for row in table.to_dict("records"):
        written = str(row[there[part.image.casefold()]]).strip()
        name = written.replace("\\", "/").rpartition("/")[2]
        stem = _stem(name).casefold()
        named.add(stem)
        entry = next((_entry(row[column]) for column in labels if _entry(row[column])), "")
        unfit = [f"{c} is not {v}" for c, v in part.where.items() if _entry(row[there[c.casefold()]]) != v]
        if unfit or entry not in part.values:
            laid.leave_out(unfit[0] if unfit else f"{entry!r} is no class")
        elif len(found := by_stem.get(stem, [])) == 1:
            patient = _entry(row[there[part.patient.casefold()]]) if part.patient else ""
            laid.rows.append((found[0], part.values[entry], part.split, patient))
        else:
            laid.missing.append(written)
    laid.unlabelled += sum(len(paths) for stem, paths in by_stem.items() if stem not in named)


def _read(file: Path, part: Part) -> pd.DataFrame:
    import pandas as pd

    try:
        if file.suffix.lower() in (".xlsx", ".xls", ".ods"):
            return pd.read_excel(file, dtype=str, keep_default_na=False, engine="calamine")
        table = pd.read_csv(
            file,
            dtype=str,
            keep_default_na=False,
            sep=None,
            engine="python",
            header=0 if part.header else None,
            encoding_errors="replace",
        )
    except (ValueError, OSError) as error:
        raise InputError(f"{file} cannot be read as a table ({str(error)[:200]})") from error
    return table.rename(columns=str)


def _entry(cell: object) -> str:
    """A cell as text, a whole number without ``.0``."""
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(cell).strip())


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    return stem if suffix.lower() in IMAGE_SUFFIXES else name


def patient_of(path: str, known: KnownSet) -> str:
    """The patient that a photograph's path names; empty where it names none."""
    found = re.search(known.patient_pattern, path) if known.patient_pattern else None
    return found.group(1) if found else ""
