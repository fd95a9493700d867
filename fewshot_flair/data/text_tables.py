"""Delimited text: CSV and TSV as spreadsheets and programs write them."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import PurePath

from fewshot_flair.data.tables import Places, SkippedRow, Table, TableFormat, fill, find_columns, header_of
from fewshot_flair.errors import InputError
from fewshot_flair.images.formats import IMAGE_SUFFIXES

__all__ = ["read_text"]

_SEPARATORS = (",", ";", "\t", "|")
_NO_TABLES = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"}
"""Encodings that Python knows and no table is in."""


def read_text(source: str, raw: bytes, form: TableFormat) -> Table:
    """Read delimited text: comma, semicolon, tab or bar, whichever gives the columns asked for.

    Parameters
    ----------
    source : str
        What messages call the table.
    raw : bytes
        UTF-8 with or without byte order mark, UTF-16 with one, or in `form.encoding`.

    Raises
    ------
    InputError
        If it cannot be decoded or parsed, a quote is never closed, or a required column is missing.
    """
    text = _decode(source, raw, form.encoding)
    first, hint = 1, re.match(r"sep=(.)\r?\n", text)
    if hint:
        # Excel's own hint line: it is a row of the file, and it settles the separator.
        text, first = text[hint.end() :], 2
    separator = hint[1] if hint else _separator(text, form)
    records = _records(source, text, separator, first)
    number, header = next(
        ((number, names) for number, record in records if (names := header_of(record))), (0, None)
    )
    if header is None:
        raise InputError(f"{source} is empty; its first row must name the columns")
    if swallowed := next((name for name in header if _holds_rows(name, len(header), 0, separator)), None):
        raise InputError(_open_quote(source, number, swallowed))
    places = find_columns(source, header, form)
    table = Table([], {role: [] for role in form.names}, guessed=places.guessed)
    fill(table, _whole(source, table, records, header, places, separator), places)
    return table


def _decode(source: str, raw: bytes, encoding: str | None) -> str:
    if encoding is None:
        encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        if codecs.lookup(encoding).name.replace("-", "_") in _NO_TABLES:
            raise LookupError(encoding)
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        name = encoding.removesuffix("-sig").upper()
        raise InputError(
            f"{source}, line {line}: byte 0x{raw[error.start : error.start + 1].hex()} is not {name}; "
            "save the file as 'CSV UTF-8', or say what it is (--encoding cp1252 for Excel in Western Europe)"
        ) from error
    except (LookupError, ValueError, TypeError) as error:
        raise InputError(f"{encoding!r} is no text encoding of tables; try cp1252 or gb18030") from error


def _separator(text: str, form: TableFormat) -> str:
    line = next((line for line in io.StringIO(text, newline="") if header_of([line])), "")
    wanted = {name.casefold() for name in form.names.values()}

    def score(separator: str) -> tuple[int, int]:
        names = [name.strip(' "\r\n').casefold() for name in line.split(separator)]
        return len(wanted.intersection(names)), len(names)

    return max(_SEPARATORS, key=score)


def _records(source: str, text: str, separator: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Each record with its row number; InputError where a quote swallows what follows it."""
    lines: list[str] = []

    def keep() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            lines.append(line)
            yield line

    reader = csv.reader(keep(), delimiter=separator)
    number = first
    while True:
        lines.clear()
        try:
            record = next(reader, None)
        except csv.Error as error:
            if len(lines) > 1:
                raise InputError(_open_quote(source, number, _quoted(lines[0]))) from error
            raise InputError(
                f"{source}, row {number} cannot be read ({error}); save the table as CSV UTF-8"
            ) from error
        if record is None:
            return
        if (len(lines) > 1 or lines[0].count('"') % 2) and not _closes(lines, separator):
            raise InputError(_open_quote(source, number, _quoted(lines[0])))
        yield number, record
        number += 1


def _closes(lines: list[str], separator: str) -> bool:
    """Whether a record's quotes end before a separator or the record's end.

    Text behind a closing quote passes within one line, as in ``"mild" (early)``.
    """
    try:
        if len(lines) > 1:
            list(csv.reader(lines, delimiter=separator, strict=True))
        return len(list(csv.reader([*lines, "\n", "end"], delimiter=separator))) > 1
    except csv.Error:
        return False


def _quoted(line: str) -> str:
    """What the last quote of a line begins."""
    return line.rpartition('"')[2]


def _open_quote(source: str, row: int, begun: str) -> str:
    start = begun.strip().splitlines()[0][:40] if begun.strip() else ""
    return (
        f'{source}, row {row}: the quoted cell that begins "{start} is not closed and would swallow the rows below; '
        "close the quote, or remove it"
    )


def _whole(
    source: str,
    table: Table,
    records: Iterator[tuple[int, list[str]]],
    header: list[str],
    places: Places,
    separator: str,
) -> Iterator[tuple[int, list[str]]]:
    """The records that have as many fields as the header; the others join the table's bad rows."""
    image = places.of.get("image", 0)
    for number, record in records:
        if not any(cell.strip() for cell in record):
            continue
        if swallowed := next(
            (cell for cell in record if _holds_rows(cell, len(header), image, separator)), None
        ):
            raise InputError(_open_quote(source, number, swallowed))
        if len(record) < len(header) or any(cell.strip() for cell in record[len(header) :]):
            written = record[image] if "image" in places.of and image < len(record) else ""
            reason = (
                f"has {len(record)} fields where the header has {len(header)}; "
                f"put fields that hold a {separator!r} in quotes"
            )
            table.bad.append(SkippedRow(number, written, reason))
            continue
        yield number, record


def _holds_rows(cell: str, width: int, image: int, separator: str) -> bool:
    """Whether a cell of several lines holds rows of the table, as one between two stray quotes does."""
    if "\n" not in cell and "\r" not in cell:
        return False
    later = [line.split(separator) for line in cell.splitlines()[1:]]
    names = [fields[image].strip(' "') for fields in later if len(fields) > max(1, image)]
    if any(PurePath(name).suffix.lower() in IMAGE_SUFFIXES for name in names):
        return True
    return len(later) > 1 and width > 1 and all(len(fields) == width for fields in later[:-1])
