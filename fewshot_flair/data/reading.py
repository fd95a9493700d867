"""From a file or folder to a table, by what it is and not by what it is called."""

from __future__ import annotations

import os
from pathlib import Path

from fewshot_flair.data.folders import read_folder
from fewshot_flair.data.parquet import read_parquet
from fewshot_flair.data.tables import Table, TableFormat
from fewshot_flair.data.text_tables import read_text
from fewshot_flair.data.workbooks import archive_kind, read_workbook
from fewshot_flair.errors import InputError, MissingFileError

__all__ = ["manifest_path", "read_table"]

MOST_BYTES = 4 * 2**30
"""A table of text is smaller; ten million rows take about a quarter of this."""
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def manifest_path(path: Path) -> Path:
    """The file or folder to read: ``manifest.csv`` where a folder holds one.

    Raises
    ------
    MissingFileError
        If there is nothing of that name.
    """
    try:
        found = path / "manifest.csv" if path.is_dir() and (path / "manifest.csv").is_file() else path
        if found.is_dir() or found.is_file():
            return found
    except OSError as error:
        raise InputError(f"{str(path)[:200]} cannot be read ({error.strerror or error})") from error
    raise MissingFileError(
        f"{path}: there is no such file or folder; give a manifest (CSV, TSV, Excel, Parquet)"
    )


def read_table(path: Path, form: TableFormat, labels_required: bool) -> Table:
    """Read a folder, or a CSV, TSV, Excel, OpenDocument or Parquet file, whatever its suffix.

    Raises
    ------
    InputError
        If it cannot be read as what it is; see `read_text`, `read_workbook`, `read_parquet`, `read_folder`.
    """
    if path.is_dir():
        return read_folder(path, labels_required)
    if path.suffix.lower() == ".npz":
        raise InputError(
            f"{path} holds features, not a table of photographs; `fewshot-flair adapt --data` takes it as both "
            "training and (--test-on) test rows, and `fewshot-flair bank import` keeps it in a bank"
        )
    try:
        with path.open("rb") as file:
            head, size = file.read(8), os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise InputError(f"{path.name} has {size:,} bytes; tables of at most {MOST_BYTES:,} are read")
        kind = _kind(path, head)
        if kind == "parquet":
            return read_parquet(path, form)
        if kind == "workbook":
            return read_workbook(path, form)
        return read_text(path.name, path.read_bytes(), form)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error


def _kind(path: Path, head: bytes) -> str:
    if head.startswith(b"PAR1") or path.suffix.lower() in {".parquet", ".pq"}:
        return "parquet"
    if head == _OLE:
        return "workbook"
    if not head.startswith(_ZIP):
        return "text"
    kind = archive_kind(path)
    if kind == "workbook":
        return kind
    what = "a ZIP archive; unpack it and give the table or folder in it"
    if kind == "document":
        what = "a document of an office program and no workbook; give a table (CSV, TSV, Excel, Parquet)"
    raise InputError(f"{path.name} is {what}")
