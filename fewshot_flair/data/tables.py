"""A table as it was read: columns of strings by role, and which column has which role."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fewshot_flair.errors import InputError

__all__ = ["SPLITS", "Places", "SkippedRow", "Table", "TableFormat", "fill", "find_columns", "header_of"]

SPLITS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "val": "val", "valid": "val", "validation": "val",
    "pool": "pool",
}  # fmt: skip
"""How the sides of a split may be written (any case), and what they are called here."""

ALSO_CALLED = {
    "image": "image_path image_name image_file image_id filename file_name file file_path path img id_code",
    "label": "labels class class_name diagnosis grade level target category categories dr_grade",
    "patient_id": "patient patient_no patient_number subject subject_id",
    "eye": "laterality",
}
"""What columns are often called: looked for where nobody named the column and the usual name is not there."""

_NAMED = re.compile(r'[^\s",;|]')
"""Found in a cell that names a column, and in no blank line, which may hold separators and empty quotes."""
_NO_NAME = re.compile(r"|Unnamed: \d+|index")
"""What pandas calls a column that has no name."""
_MARKS = {"0", "1", "0.0", "1.0", "False", "True", ""}
SHOWN = 20


@dataclass(frozen=True)
class SkippedRow:
    """A row that cannot be used: its number (the header is row 1; 0 in a folder), image and reason."""

    row: int
    image: str
    reason: str


@dataclass(frozen=True)
class TableFormat:
    """What is asked of a table: the column of each role, the roles that must be there, encoding and sheet."""

    names: Mapping[str, str]
    required: frozenset[str]
    encoding: str | None = None
    sheet: str | None = None


@dataclass
class Table:
    """Columns of stripped strings by role, one entry a row.

    Attributes
    ----------
    rows : list of int
        Row numbers in the file.
    bad : list of SkippedRow
        Rows that could not be parsed.
    guessed : dict
        By role, the column that was taken though it has another name.
    files : list of Path, optional
        Where each row's image lies, where the table held the images themselves.
    passed_over : dict
        Of a folder: how many files were left out, by kind.
    marks : dict
        Where no column has the label: the columns that hold nothing but 0, 1 and empty cells (see `data.marked`).
    no_label : str
        What to tell the user where these do not say the label either.
    """

    rows: list[int]
    columns: dict[str, list[str]]
    bad: list[SkippedRow] = field(default_factory=list)
    guessed: dict[str, str] = field(default_factory=dict)
    files: list[Path] | None = None
    passed_over: dict[str, int] = field(default_factory=dict)
    marks: dict[str, list[str]] = field(default_factory=dict)
    no_label: str = ""


@dataclass(frozen=True)
class Places:
    """Where each role's column stands, and which of them were guessed (role to name).

    Attributes
    ----------
    marks : dict
        Where no column has the label: the columns of other names, which may be one a class.
    no_label : str
        What to tell the user where they are not.
    """

    of: dict[str, int]
    guessed: dict[str, str]
    marks: dict[str, int] = field(default_factory=dict)
    no_label: str = ""


def _plain(name: str) -> str:
    """A column's name without case, spaces and signs: ``Patient ID`` is ``patientid``."""
    return re.sub(r"[\W_]+", "", name.casefold())


def find_columns(source: str, header: list[str], form: TableFormat) -> Places:
    """Find the column of each role: by its exact name, else ignoring case, spaces and signs.

    A role whose column nobody named (it has its usual name) is also found under another usual name
    (ALSO_CALLED), if exactly one column has such a name.

    Raises
    ------
    InputError
        If required columns are missing (all are named), or a column is there twice.
    """
    plain = [_plain(name) for name in header]
    places, guessed, missing = {}, {}, {}
    for role, name in form.names.items():
        found = [i for i, column in enumerate(header) if column == name]
        found = found or [i for i, column in enumerate(plain) if column == _plain(name) != ""]
        if len(found) > 1:
            raise InputError(f"{source} has {len(found)} columns named {name!r}; keep one")
        if not found and name == role:
            others = {_plain(other) for other in ALSO_CALLED.get(role, "").split()}
            found = [i for i, column in enumerate(plain) if column in others]
        if len(found) == 1:
            places[role] = found[0]
            if header[found[0]].casefold() != name.casefold():
                guessed[role] = header[found[0]]
        elif role in form.required:
            missing[role] = [header[i] for i in found]
    marks = {}
    if form.names.get("label") == "label" and missing.get("label") == []:
        taken = {*places.values()}
        marks = {name: i for i, name in enumerate(header) if i not in taken and not _NO_NAME.fullmatch(name)}
    if missing and not (set(missing) == {"label"} and len(marks) > 1):
        raise InputError(_missing(source, header, form, missing))
    no_label = _missing(source, header, form, missing) if missing else ""
    return Places(places, guessed, marks if no_label else {}, no_label)


def _missing(source: str, header: list[str], form: TableFormat, missing: Mapping[str, list[str]]) -> str:
    names = " and ".join(repr(form.names[role]) for role in missing)
    options = ", ".join(
        {"order": "order_column="}.get(role, f"--{role.replace('_id', '')}-column") for role in missing
    )
    have = ", ".join(repr(name[:80]) for name in header[:SHOWN])
    more = f" and {len(header) - SHOWN} more" if len(header) > SHOWN else ""
    which = "".join(
        f"; {' or '.join(map(repr, found))} may be the {role.removesuffix('_id')}: say which"
        for role, found in missing.items()
        if found
    )
    column = "column" if len(missing) == 1 else "columns"
    return f"{source} has no {column} {names}; its columns are {have}{more}{which} (use {options})"


def header_of(record: list[str]) -> list[str] | None:
    """The names of the columns in a record, without empty ones at the end; None where it names none."""
    if not any(map(_NAMED.search, record)):
        return None
    names = [name.strip() for name in record]
    while not names[-1]:
        names.pop()
    return names


def fill(table: Table, records: Iterable[tuple[int, list[str]]], places: Places) -> None:
    """Put records, as wide as the header, with their row numbers into a table."""
    table.no_label = places.no_label
    table.marks = {name: [] for name in places.marks}
    cells = [(column, places.of.get(role)) for role, column in table.columns.items()]
    for number, record in records:
        table.rows.append(number)
        for column, place in cells:
            # Labels, sides and patients come again and again: one string each saves half the memory.
            column.append("" if place is None else sys.intern(record[place].strip()))
        for name in [*table.marks]:
            cell = sys.intern(record[places.marks[name]].strip())
            if cell in _MARKS:
                table.marks[name].append(cell)
            else:
                del table.marks[name]
