"""Reading what users wrote and writing what they will open: errors name the file, and nothing half-written stays."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import socket
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fewshot_flair.disk import writing_to
from fewshot_flair.errors import InputError, MissingFileError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    *("digest_of", "inert", "is_being_written", "new_file", "read_json", "read_signed", "read_toml"),
    *("replace_file", "sha256", "sync_folder", "write_signed", "write_table"),
]

MOST_BYTES = 64 * 2**20
"""A file that people write by hand is smaller; a larger one is not read."""
WIDEST, WIDTH_ROWS = 60, 1000
"""Characters of a workbook's widest column, and the rows that its width is made for."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a cell begins with that spreadsheet programs run as a formula."""


def sha256(content: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_of(content: Any) -> str:
    """Hex digest of what JSON holds, whatever the order of its keys and its spaces."""
    return sha256(json.dumps(content, sort_keys=True).encode())


def replace_file(path: Path, parts: Iterable[bytes], *, sync: bool = True) -> Path:
    """Put a file of these parts in its place in one step, as `new_file` does."""
    with new_file(path, sync=sync) as file:
        for part in parts:
            file.write(part)
    return path


@contextmanager
def new_file(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Open a file that takes its place when it is whole: whoever looks sees all of the old one or of the new.

    Parameters
    ----------
    sync : bool
        Whether it must outlast a power failure (it outlasts the process's death in any case).

    Raises
    ------
    OSError
        With the path in it, also where the disk is full; nothing is left behind.
    """
    temporary = path.with_name(f".tmp-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with writing_to(path), temporary.open("wb") as file:
            _try_lock(file)
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
            temporary.replace(path)  # before the lock goes with the file's closing
    finally:
        temporary.unlink(missing_ok=True)
    if sync:
        sync_folder(path.parent)


def is_being_written(path: Path) -> bool:
    """Whether a process, of this or another container, is writing a temporary file of `replace_file`."""
    try:
        with path.open("rb") as file:
            return not _try_lock(file)
    except FileNotFoundError:
        return True  # it is in its place by now


def _try_lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed; False where somebody else holds it. Without locks, nobody does."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power failure."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file and what it says; InputError where it is not TOML."""
    try:
        text = _read(path).decode("utf-8-sig")  # some editors put a mark first
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}; save it as UTF-8") from error
    except ValueError as error:  # also of numbers with thousands of digits
        raise InputError(f"{path}: not TOML: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: brackets are nested too deep; no such file needs that") from error


def read_json(path: Path) -> Any:
    """What a JSON file says; InputError where it is not JSON."""
    return _loads(_read(path), path)


def write_signed(path: Path, content: Any, *, sync: bool = True) -> None:
    """Write JSON with a digest of it in the first line, which `read_signed` compares; `sync` as in `new_file`."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
    replace_file(path, [sha256(body).encode(), b"\n", body, b"\n"], sync=sync)


def read_signed(path: Path) -> Any:
    """What `write_signed` wrote; InputError where one bit of it is another."""
    head, _, rest = path.read_bytes().partition(b"\n")
    body = rest.removesuffix(b"\n")
    if head != sha256(body).encode() or rest == body:
        raise InputError(f"{path} is damaged: its content is not what its digest says")
    return _loads(body, path)


def json_bytes(content: Any) -> bytes:
    """Indented JSON, a line at the end; what is no text in UTF-8 becomes escapes."""
    return json.dumps(content, indent=2, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def read_known(path: Path, digest: str) -> bytes:
    """A file that a run wrote; MissingFileError or InputError where it is gone, or its hex sha256 is another."""
    if not path.is_file():
        raise MissingFileError(f"{path} is not there; run adapt again")
    content = path.read_bytes()
    if sha256(content) != digest:
        raise InputError(f"{path} is damaged or of another run; run adapt again")
    return content


def write_table(table: pd.DataFrame, path: Path, digits: str = "%.6g", *, sheet: str = "table") -> None:
    """Write a table by its suffix (.csv, .tsv, .parquet, .xlsx); text that a spreadsheet would run gets a quote.

    Parameters
    ----------
    digits : str
        How numbers are written as text.
    sheet : str
        What a workbook's sheet is called. Its first row stays in view and filters the others, and columns are as wide
        as what they hold.
    """
    with new_file(path) as file:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(file, index=False)
            return
        safe = table.rename(columns=inert)
        for name, kind in safe.dtypes.items():
            if str(kind) == "object" or str(kind).startswith("str"):
                safe[name] = [inert(cell) for cell in safe[name]]
        if path.suffix.lower() == ".xlsx":
            # Control characters, which file names may have, cannot stand in a workbook.
            file.write(_workbook(safe.map(_printable), sheet))
            return
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        file.write(safe.to_csv(index=False, sep=separator, float_format=digits).encode())


def _workbook(table: pd.DataFrame, sheet: str) -> bytes:
    import pandas as pd
    from openpyxl.utils import get_column_letter

    content = io.BytesIO()
    with pd.ExcelWriter(content, engine="openpyxl") as writer:
        table.to_excel(writer, index=False, sheet_name=sheet)
        made = writer.sheets[sheet]
        made.freeze_panes = "B2"
        made.auto_filter.ref = made.dimensions
        for place, name in enumerate(table.columns, 1):
            shown = [
                f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in table[name][:WIDTH_ROWS]
            ]
            widest = max(map(len, shown), default=0)
            # the filter's button takes the room of some letters
            made.column_dimensions[get_column_letter(place)].width = min(
                max(len(str(name)) + 4, widest + 2), WIDEST
            )
    return content.getvalue()


def inert(cell: Any) -> Any:
    """A cell as a spreadsheet shows it, never as a formula: the text with an apostrophe before it.

    Bytes of a file's name that are no text become escapes.

    Examples
    --------
    >>> inert("=1+1.jpg"), inert("1.jpg"), inert(-2.0)
    ("'=1+1.jpg", '1.jpg', -2.0)
    """
    if not isinstance(cell, str):
        return cell
    text = os.fsencode(cell).decode("utf-8", errors="backslashreplace") if not cell.isascii() else cell
    return f"'{text}" if text.startswith(FORMULA) else text


def as_given(cell: str) -> str:
    """The text that `inert` made a cell of.

    Examples
    --------
    >>> as_given("'=1+1.jpg"), as_given("1.jpg")
    ('=1+1.jpg', '1.jpg')
    """
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def _printable(cell: Any) -> Any:
    if not isinstance(cell, str) or cell.isprintable():
        return cell
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cell)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise MissingFileError(f"no file {path}")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are read")
    return path.read_bytes()


def _loads(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged or not JSON ({str(error)[:200]})") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The entries of an object; of a key that is there twice nobody can tell which is meant."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return entries
