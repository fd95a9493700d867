"""Parquet tables, also those that hold the photographs themselves, as Hugging Face writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.cache import cache_folder
from fewshot_flair.data.tables import Places, Table, TableFormat, fill, find_columns
from fewshot_flair.errors import InputError
from fewshot_flair.files import replace_file
from fewshot_flair.images.formats import FORMATS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_parquet"]

MOST_ROWS = 10_000_000
MOST_CHARACTERS = 10_000
"""A cell of a table is shorter."""


def read_parquet(path: Path, form: TableFormat) -> Table:
    """Read a Parquet table.

    Where the image column holds images (bytes, or Hugging Face's ``{bytes, path}``), each is written once to
    a file below `cache_folder`, named by its digest, and `Table.files` says where.

    Raises
    ------
    InputError
        If it is damaged, too large, or a column that is needed is missing or holds neither text nor numbers.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as stored:
            return _read(path.name, stored, form)
    except InputError:
        raise
    # Damage shows as errors of Arrow, of Python's codecs, of dates and of time zones.
    except Exception as error:
        raise InputError(f"{path.name} cannot be read as Parquet ({str(error)[:200]})") from error


def _read(source: str, stored: Any, form: TableFormat) -> Table:
    schema = stored.schema_arrow
    if stored.metadata.num_rows > MOST_ROWS:
        raise InputError(f"{source} has {stored.metadata.num_rows:,} rows; at most {MOST_ROWS:,} are read")
    places = find_columns(source, schema.names, form)
    held = _holds_images(schema.field(places.of["image"]).type) if "image" in places.of else False
    for role, place in places.of.items():
        if not (held and role == "image"):
            _check_type(source, schema.field(place))
    table = Table([], {role: [] for role in form.names}, guessed=places.guessed)
    table.files = [] if held else None
    columns = {role: schema.names[place] for role, place in places.of.items()}
    marks = [name for name, place in places.marks.items() if _may_mark(schema.field(place).type)]
    n = len(columns)
    order = Places(
        {role: i for i, role in enumerate(columns)},
        places.guessed,
        {name: n + i for i, name in enumerate(marks)},
        places.no_label,
    )
    columns |= {f"mark {name}": name for name in marks}
    fill(table, _records(source, stored, columns, table.files), order)
    return table


def _holds_images(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return "bytes" in {kind.field(i).name for i in range(kind.num_fields)}
    return types.is_binary(kind) or types.is_large_binary(kind)


def _may_mark(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)


def _check_type(source: str, column: pa.Field) -> None:
    import pyarrow.types as types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        raise InputError(
            f"{source}: column {column.name!r} holds {str(kind)[:80]}; it must hold one text or number a row"
        )


def _records(
    source: str, stored: Any, columns: dict[str, str], files: list[Path] | None
) -> Iterator[tuple[int, list[str]]]:
    number = 2
    # Few rows at once: a small file can hold long texts, or large images, many times over.
    for batch in stored.iter_batches(
        batch_size=16 if files is not None else 4096, columns=list(columns.values())
    ):
        cells = {}
        for role, name in columns.items():
            values = batch.column(batch.schema.get_field_index(name)).to_pylist()
            if role == "image" and files is not None:
                kept = [_keep(source, number + i, value) for i, value in enumerate(values)]
                files += [path for _, path in kept]
                cells[role] = [written for written, _ in kept]
            else:
                cells[role] = [_cell(source, name, value) for value in values]
        for record in zip(*cells.values(), strict=True):
            yield number, list(record)
            number += 1


def _cell(source: str, column: str, value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"{source}: column {column!r} holds a cell of {len(text):,} characters; is it a label?"
        )
    return text


def _keep(source: str, row: int, value: Any) -> tuple[str, Path]:
    """Write an image that a cell holds to the cache; what the table calls it, and where it is."""
    held, name = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if held is None:
        return str(name or ""), Path(name) if name else Path()
    digest = hashlib.sha256(held).hexdigest()
    suffix = next((kind.suffixes[0] for kind in FORMATS if kind.mark.match(held)), "")
    path = cache_folder() / "images" / digest[:2] / f"{digest}{suffix}"
    try:
        if not path.is_file() or path.stat().st_size != len(held):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, [held], sync=False)
    except OSError as error:
        raise InputError(
            f"{source}, row {row}: its image cannot be kept in {path.parent} ({error.strerror or error}); "
            "FEWSHOT_FLAIR_CACHE names another folder"
        ) from error
    return str(name or f"{digest[:16]}{suffix}"), path
