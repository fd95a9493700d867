"""Workbooks of Excel and LibreOffice (.xlsx, .xls, .ods), read by a process of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from fewshot_flair.data.tables import Table, TableFormat, fill, find_columns, header_of
from fewshot_flair.errors import InputError

__all__ = ["archive_kind", "read_workbook"]

MOST_MEMORY = 4 * 2**30
_READER = Path(__file__).with_name("workbook_process.py")


def archive_kind(path: Path) -> str:
    """What a file is that begins as a ZIP archive: ``workbook``, ``document`` (of an office program) or ``archive``."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "mimetype" in names:
                with archive.open("mimetype") as file:
                    kind = file.read(100)
                return (
                    "workbook"
                    if kind.startswith(b"application/vnd.oasis.opendocument.spreadsheet")
                    else "document"
                )
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path.name} is a damaged ZIP archive or workbook ({error}); save it again"
        ) from error
    if "[Content_Types].xml" not in names:
        return "archive"
    return "workbook" if "xl/workbook.xml" in names else "document"


def read_workbook(path: Path, form: TableFormat) -> Table:
    """Read one sheet of a workbook; `form.sheet` names it, else it is the only one with the columns asked for.

    The library that reads workbooks ends the whole process where one asks for too much memory; so a process
    of its own runs it, with a bound.

    Raises
    ------
    InputError
        If it is damaged or locked, there is no such sheet, or none or several sheets have the columns.
    """
    sheets = _sheets(path)
    if form.sheet is not None:
        if form.sheet not in sheets:
            raise InputError(
                f"{path.name} has no sheet {form.sheet!r}; its sheets are {_names(sheets)} (--sheet)"
            )
        return _table(f"{path.name}, sheet {form.sheet!r}", sheets[form.sheet], form)
    found, refused = {}, []
    for name, records in sheets.items():
        try:
            found[name] = _table(path.name, records, form)
        except InputError as error:
            refused.append(error)
    if len(found) == 1:
        return next(iter(found.values()))
    if len(sheets) == 1:
        raise refused[0]
    what = "several sheets with" if found else "no sheet with"
    columns = " and ".join(repr(form.names[role]) for role in form.names if role in form.required)
    raise InputError(
        f"{path.name} has {what} the columns {columns}: {_names(found or sheets)}; say which (--sheet)"
    )


def _names(sheets: dict[str, Table] | dict[str, list[tuple[int, list[str]]]]) -> str:
    return ", ".join(repr(name[:80]) for name in list(sheets)[:20])


def _sheets(path: Path) -> dict[str, list[tuple[int, list[str]]]]:
    """Rows of each sheet, as (row number, cells), without empty ones."""
    library = importlib.util.find_spec("python_calamine")
    where = str(Path(str(library.origin)).parents[1]) if library else ""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-S", str(_READER), where, str(MOST_MEMORY), str(path.resolve())],
        capture_output=True,
        check=False,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = "it is damaged, or asks for too much memory"
    if isinstance(answer, str):
        raise InputError(
            f"{path.name} cannot be read as a workbook ({answer[:200]}); save it again, or as CSV UTF-8"
        )
    return {name: [(number, cells) for number, cells in rows] for name, rows in answer.items()}


def _table(source: str, records: list[tuple[int, list[str]]], form: TableFormat) -> Table:
    left = iter(records)
    header = next((names for _, cells in left if (names := header_of(cells))), None)
    if header is None:
        raise InputError(f"{source} is empty; its first row must name the columns")
    places = find_columns(source, header, form)
    table = Table([], {role: [] for role in form.names}, guessed=places.guessed)
    fill(table, _as_wide(left, len(header)), places)
    return table


def _as_wide(records: Iterator[tuple[int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for number, cells in records:
        if any(cells[:width]):
            yield number, cells + [""] * (width - len(cells))
