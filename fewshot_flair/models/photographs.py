"""What a user gives to have answered: files, folders, or a table that says whose photographs they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fewshot_flair.data import Manifest, SkippedRow
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.words import counted

__all__ = ["Photographs", "find_photographs", "passed_over_rows"]

TABLES = {".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods", ".parquet", ".pq"}


@dataclass(frozen=True)
class Photographs:
    """Photographs to look at.

    Attributes
    ----------
    images, paths : lists of n
        What each is called in tables, and its file.
    patients : list of n str
        Empty where nobody said whose photograph it is.
    skipped : list of SkippedRow
        Rows of tables that name no readable photograph.
    passed_over : mapping of str to int
        How many files of each other kind the folders hold.
    """

    images: list[str]
    paths: list[Path]
    patients: list[str]
    skipped: list[SkippedRow] = field(default_factory=list)
    passed_over: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def found(cls, given: Sequence[Path], listing: Mapping[str, Any] = MappingProxyType({})) -> Photographs:
        """Files as they are, folders as the images below them in order of name, tables row by row; each file once.

        A path that is not there stays in the list, as one that cannot be read. A table needs the column
        ``image``; ``patient_id`` is used where it is there.

        Parameters
        ----------
        listing : mapping
            How tables are read where the defaults of `Manifest.read` do not do: ``images``, ``image_column`` ….

        Raises
        ------
        MissingFileError
            If none of `given` is there.
        InputError
            If no image is among them, or a table cannot be read.
        """
        tables = [path for path in given if path.suffix.lower() in TABLES and path.is_file()]
        others = [path for path in given if path not in tables]
        paths, passed_over = find_photographs(others) if others else ([], {})
        rows = {path: (str(path), "") for path in paths}
        skipped: list[SkippedRow] = []
        for table in tables:
            listed = Manifest.read(table, labels_required=False, skip_bad=True, check_images=False, **listing)
            skipped += listed.skipped
            columns = (listed.frame[name] for name in ("path", "image", "patient_id"))
            rows |= {Path(path): (image, patient) for path, image, patient in zip(*columns, strict=True)}
        if not rows:
            raise InputError(f"photographs: no image in {', '.join(map(str, given))}")
        images, patients = (list(column) for column in zip(*rows.values(), strict=True))
        return cls(images, list(rows), patients, skipped, passed_over)


def passed_over_rows(kinds: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """How a table names each kind of file that was passed over, and what it says of it."""
    images = [f"*{kind}" for kind in kinds]
    return images, [f"passed over, {counted(n, 'file')}: no image by the name" for n in kinds.values()]


def find_photographs(given: Sequence[Path]) -> tuple[list[Path], dict[str, int]]:
    """Files as they are, folders as the images below them in order of name, each once; and what else is there.

    A path that is not there stays in the list, as one that cannot be read. Hidden files are left out.

    Returns
    -------
    list of Path
    dict of str to int
        Files in the folders that are taken for no image, by suffix.

    Raises
    ------
    MissingFileError
        If none of `given` is there.
    InputError
        If no image is among them.
    """
    from fewshot_flair.data.folders import look_through

    if not any(path.exists() for path in given):
        raise MissingFileError(f"photographs: no file or folder {', '.join(str(path) for path in given)}")
    found: list[Path] = []
    others: Counter[str] = Counter()
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        images, rest = look_through(path)
        found += images
        others.update({kind: len(files) for kind, files in rest.items()})
    if not found:
        raise InputError(f"photographs: no image in {', '.join(str(path) for path in given)}")
    return list(dict.fromkeys(found)), dict(others)
