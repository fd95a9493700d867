"""Reading what clinics send: a CSV, TSV or Parquet table, or a folder with one sub-folder a class."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.images.formats import IMAGE_SUFFIXES

__all__ = ["IMAGE_SUFFIXES", "SPLITS", "SkippedRow", "Table", "images_below", "read_folder", "read_table"]

SPLITS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "val": "val", "valid": "val", "validation": "val",
}  # fmt: skip
"""How the sides of a split may be written (any case), and what they are called here."""

_SEPARATORS = (",", ";", "\t", "|")
_NAMED = re.compile(r'[^\s",;|]')
"""Found in a line that names columns, and in no blank one, which may hold separators and empty quotes."""


@dataclass(frozen=True)
class SkippedRow:
    """A row that cannot be used: its number (the header is row 1; 0 in a folder), image and reason."""

    row: int
    image: str
    reason: str


@dataclass
class Table:
    """Columns of strings by role, one entry a row; `rows` holds the row numbers in the file."""

    rows: list[int]
    columns: dict[str, list[str]]
    bad: list[SkippedRow]


def read_table(
    path: Path, columns: Mapping[str, str], required: Sequence[str], encoding: str | None
) -> Table:
    """Read the named columns of a CSV, TSV or Parquet file as stripped strings.

    Parameters
    ----------
    path : Path
        The file; ``.parquet`` and ``.pq`` are Parquet, everything else is delimited text (comma,
        semicolon, tab or bar, whichever gives the columns asked for; UTF-8 with or without byte order
        mark, UTF-16 with one).
    columns : mapping of role to column name
        The columns to read; matched exactly, else ignoring case.
    required : sequence of roles
        Roles whose column must be there; the others read as empty strings where it is not.
    encoding : str or None
        The text encoding, where it is none of those above.

    Raises
    ------
    MissingFileError
        If there is no such file.
    InputError
        If it cannot be decoded or parsed, or a required column is missing or there twice.
    """
    if not path.is_file():
        raise MissingFileError(
            f"{path}: there is no such file or folder; give a manifest (CSV, TSV, Parquet)"
        )
    if path.suffix.lower() == ".npz":
        raise InputError(
            f"{path} holds features, not a table of photographs; `fewshot-flair adapt --data` takes it as both "
            "training and (--test-on) test rows, and `fewshot-flair bank import` keeps it in a bank"
        )
    if path.suffix.lower() in {".parquet", ".pq"}:
        return _read_parquet(path, columns, required)
    return _read_text(path, columns, required, encoding)


def _read_text(
    path: Path, columns: Mapping[str, str], required: Sequence[str], encoding: str | None
) -> Table:
    text = _decode(path, encoding)
    first, hint = 1, re.match(r"sep=(.)\r?\n", text)
    if hint:
        # Excel's own hint line: it is a row of the file, and it settles the separator.
        text, first = text[hint.end() :], 2
    separator = hint[1] if hint else _separator(text, [columns[role] for role in required])
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise InputError(f"{path.name} cannot be read as a table ({error}); save it as CSV UTF-8") from error
    blank = next((i for i, record in enumerate(records) if any(map(_NAMED.search, record))), None)
    if blank is None:
        raise InputError(f"{path.name} is empty; its first row must name the columns")
    header = [name.strip() for name in records[blank]]
    while header and not header[-1]:
        header.pop()
    places = _places(path, header, columns, required)
    table = Table([], {role: [] for role in columns}, [])
    for number, record in enumerate(records[blank + 1 :], start=first + blank + 1):
        if not any(cell.strip() for cell in record):
            continue
        if len(record) < len(header) or any(cell.strip() for cell in record[len(header) :]):
            image = record[places["image"]] if "image" in places and places["image"] < len(record) else ""
            reason = (
                f"has {len(record)} fields where the header has {len(header)}; "
                f"put fields that hold a {separator!r} in quotes"
            )
            table.bad.append(SkippedRow(number, image, reason))
            continue
        table.rows.append(number)
        for role, cells in table.columns.items():
            # Labels, sides and patients come again and again: one string each saves half the memory.
            cells.append(sys.intern(record[places[role]].strip()) if role in places else "")
    return table


def _decode(path: Path, encoding: str | None) -> str:
    raw = path.read_bytes()
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(
            f"{path.name} is a workbook, as Excel or LibreOffice keep it; save it as 'CSV UTF-8'"
        )
    if encoding is None:
        encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except LookupError as error:
        raise InputError(
            f"{encoding!r} is not a text encoding Python knows; try cp1252 or gb18030"
        ) from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        name = encoding.removesuffix("-sig").upper()
        raise InputError(
            f"{path.name}, line {line}: byte 0x{raw[error.start]:02x} is not {name}; "
            "save the file as 'CSV UTF-8', or say what it is (--encoding cp1252 for Excel in Western Europe)"
        ) from error


def _separator(text: str, wanted: Sequence[str]) -> str:
    line = next((line for line in text.splitlines() if _NAMED.search(line)), "")

    def score(separator: str) -> tuple[int, int]:
        header = {name.strip().casefold() for name in next(csv.reader([line], delimiter=separator), [])}
        return sum(name.casefold() in header for name in wanted), len(header)

    return max(_SEPARATORS, key=score)


def _places(
    path: Path, header: list[str], columns: Mapping[str, str], required: Sequence[str]
) -> dict[str, int]:
    places = {}
    for role, name in columns.items():
        matches = [i for i, column in enumerate(header) if column == name]
        matches = matches or [i for i, column in enumerate(header) if column.casefold() == name.casefold()]
        if len(matches) > 1:
            raise InputError(f"{path.name} has {len(matches)} columns named {name!r}; keep one")
        if matches:
            places[role] = matches[0]
        elif role in required:
            option = {"order": "order_column="}.get(role, f"--{role.replace('_id', '')}-column")
            have = ", ".join(map(repr, header))
            raise InputError(f"{path.name} has no column {name!r}; its columns are {have} (use {option})")
    return places


def _read_parquet(path: Path, columns: Mapping[str, str], required: Sequence[str]) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        places = _places(path, names, columns, required)
        stored = pq.read_table(path, columns=sorted({names[i] for i in places.values()}))
    except pa.ArrowException as error:
        raise InputError(f"{path.name} cannot be read as Parquet ({error})") from error
    table = Table(list(range(2, stored.num_rows + 2)), {}, [])
    for role in columns:
        values = stored.column(names[places[role]]).to_pylist() if role in places else [""] * stored.num_rows
        table.columns[role] = [_cell(value) for value in values]
    return table


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def read_folder(folder: Path, labels_required: bool = True) -> Table:
    """Read a folder with one sub-folder a class, or train/ and test/ folders that hold such sub-folders.

    Where labels are not required, a folder that holds images itself will do.

    Files are taken in the order of their names, at any depth below the class; hidden files and those
    without an image's suffix (IMAGE_SUFFIXES) are left out. Row numbers are 0: a folder has none.
    """
    tops = _folders(folder)
    sides = {top.name: SPLITS.get(top.name.casefold()) for top in tops}
    if tops and all(sides.values()):
        parts = [(kind, sides[top.name] or "") for top in tops for kind in _folders(top)]
    else:
        parts = [(top, "") for top in tops]
    table = Table([], {"image": [], "label": [], "split": []}, [])
    inside = {image for kind, _ in parts for image in images_below(kind)}
    for image in images_below(folder):
        if image in inside:
            continue
        written = image.relative_to(folder).as_posix()
        if labels_required:
            table.bad.append(SkippedRow(0, written, "lies in no sub-folder that would be its class"))
            continue
        table.rows.append(0)
        for role, cell in (("image", written), ("label", ""), ("split", "")):
            table.columns[role].append(cell)
    for kind, side in parts:
        for image in images_below(kind):
            table.rows.append(0)
            table.columns["image"].append(image.relative_to(folder).as_posix())
            table.columns["label"].append(kind.name)
            table.columns["split"].append(side)
    if not table.rows:
        raise InputError(
            f"{folder} holds no images in sub-folders; give a manifest file, "
            "or a folder with one sub-folder a class"
        )
    return table


def _folders(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))


def images_below(folder: Path) -> Iterator[Path]:
    """Images at any depth below a folder, by their suffixes and in the order of their names; nothing hidden."""
    for item in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in item.relative_to(folder).parts)
        if item.suffix.lower() in IMAGE_SUFFIXES and not hidden and item.is_file():
            yield item
