"""A shard: rows of a feature bank in one immutable safetensors file, column after column.

The name says how many rows there are and the bank says how wide its columns are, so that the header is
known without reading it: `verify` compares it byte for byte, and every other safetensors reader can use it.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import secrets
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.keys import KEY_BYTES
from fewshot_flair.files import replace_file, sync_folder

__all__ = [
    *("CHECK_BYTES", "Shard", "header", "row_checks", "shard_bytes", "write_shard"),
]

CHECK_BYTES = 8
_ALIGN = 64
_DTYPES: dict[str, type] = {"U8": np.uint8, "F16": np.float16, "F32": np.float32}
_NAME = re.compile(r"[0-9a-f]+-[0-9a-f]{8}-[0-9]+\.safetensors")


def header(n: int, dims: Mapping[str, int]) -> bytes:
    """Give the first bytes of a shard of n rows, up to its first column."""
    entries: dict[str, object] = {"__metadata__": {"format": "fewshot-flair shard 1"}}
    start = 0
    for name, width, size, dtype in _columns(dims):
        end = start + n * width * size
        entries[name] = {"dtype": dtype, "shape": [n, width], "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _ALIGN)
    return len(text).to_bytes(8, "little") + text


def _columns(dims: Mapping[str, int]) -> list[tuple[str, int, int, str]]:
    features = [(name, dims[name], *((2, "F16") if name == "local" else (4, "F32"))) for name in sorted(dims)]
    return [("keys", KEY_BYTES, 1, "U8"), ("checks", CHECK_BYTES, 1, "U8"), *features]


def shard_bytes(n: int, dims: Mapping[str, int]) -> int:
    """Size of the file of a shard of n rows."""
    return len(header(n, dims)) + n * sum(width * size for _, width, size, _ in _columns(dims))


def row_checks(keys: NDArray[np.uint8], features: Mapping[str, NDArray]) -> NDArray[np.uint8]:
    """Checksum of each row over its key and features (columns by name): blake2b, uint8 of shape (n, 8)."""
    columns = [np.ascontiguousarray(features[name]) for name in sorted(features)]
    checks = bytearray()
    for i, key in enumerate(np.ascontiguousarray(keys)):
        digest = hashlib.blake2b(key, digest_size=CHECK_BYTES)
        for column in columns:
            digest.update(column[i])
        checks += digest.digest()
    return np.frombuffer(bytes(checks), np.uint8).reshape(-1, CHECK_BYTES)


class Shard:
    """An open shard; it stays good if the file is removed.

    Whole columns are views of the mapped file. A few rows are read with a call each instead: the kernel
    maps far more than is touched, and a process that drew some episodes would seem to hold gigabytes.

    Parameters
    ----------
    path : Path
    dims : mapping of str to int
        Widths of the bank's features.

    Attributes
    ----------
    damaged : int64 array
        Rows that `verify` found damaged, as of the last `look_at_mark`; they count as absent, all of them
        where the note of them is itself damaged.

    Raises
    ------
    FileNotFoundError
        If the file is gone (its rows were moved to a larger shard).
    ValueError
        If the file is not as long as its name says.
    """

    def __init__(self, path: Path, dims: Mapping[str, int]) -> None:
        self.path, self.dims = path, dims
        self.damaged: NDArray[np.int64] = np.empty(0, np.int64)
        self._noted: tuple[int, int] | None = None
        # The note before the file: a file that is still there afterwards was not marked and then joined away
        # by another process in between.
        self.look_at_mark()
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        size = os.fstat(self._file).st_size
        if size != shard_bytes(self.n, dims):
            raise ValueError(f"{path.name} has {size} bytes, not {shard_bytes(self.n, dims)}")

    @cached_property
    def n(self) -> int:
        """Number of rows."""
        return int(self.path.stem.rsplit("-", 1)[1])

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a file's name is that of a shard; other files in a bank are not looked at."""
        return _NAME.fullmatch(path.name) is not None

    @cached_property
    def _map(self) -> mmap.mmap:
        return mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)

    @cached_property
    def _offsets(self) -> dict[str, tuple[int, int, int, str]]:
        offsets = {}
        start = len(header(self.n, self.dims))
        for name, width, size, dtype in _columns(self.dims):
            offsets[name] = (start, width, size, dtype)
            start += self.n * width * size
        return offsets

    def column(self, name: str) -> NDArray:
        """View of a whole column: float32 (n, width), float16 for local ones, uint8 for keys (n, 32), checks (n, 8)."""
        start, width, _, dtype = self._offsets[name]
        kind = _DTYPES[dtype]
        return np.frombuffer(self._map, kind, self.n * width, start).reshape(self.n, width)

    def read(self, name: str, rows: NDArray[np.int64]) -> NDArray:
        """Copy some rows of a column, in ascending order (a row may come twice)."""
        start, width, size, dtype = self._offsets[name]
        out: NDArray = np.empty((len(rows), width), _DTYPES[dtype])
        if not len(rows):
            return out
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for first, last in zip([0, *breaks.tolist()], [*breaks.tolist(), len(rows)], strict=True):
            target = out[first:last].reshape(-1).view(np.uint8).data
            place = start + int(rows[first]) * width * size
            while len(target):
                done = os.preadv(self._file, [target], place)
                if not done:
                    raise OSError(f"{self.path} became shorter while it was read")
                target, place = target[done:], place + done
        return out

    def header_is_sound(self) -> bool:
        """Whether the header's bytes are what they must be."""
        expected = header(self.n, self.dims)
        return self._map[: len(expected)] == expected

    def write_header(self) -> None:
        """Put the header back as it must be; the rows stay as they are."""
        with self.path.open("r+b") as file:
            file.write(header(self.n, self.dims))

    @property
    def mark(self) -> Path:
        """File in which `verify` notes damaged rows."""
        return self.path.with_suffix(".damaged")

    def look_at_mark(self) -> bool:
        """Read the note of damaged rows if it is not the one read before; says whether it was another."""
        try:
            status = self.mark.stat()
            noted, raw = (status.st_mtime_ns, status.st_ino), self.mark.read_bytes()
        except FileNotFoundError:
            noted, raw = None, b""
        if noted == self._noted:
            return False
        self._noted, self.damaged = noted, np.empty(0, np.int64)
        if noted is not None:
            rows, digest = raw[:-CHECK_BYTES], raw[-CHECK_BYTES:]
            sound = hashlib.blake2b(rows, digest_size=CHECK_BYTES).digest() == digest
            self.damaged = np.frombuffer(rows, np.int64) if sound else np.arange(self.n)
        return True

    def mark_damaged(self, rows: NDArray[np.int64]) -> None:
        """Note that these rows are damaged, in place of what was noted before."""
        raw = np.asarray(rows, np.int64).tobytes()
        digest = hashlib.blake2b(raw, digest_size=CHECK_BYTES).digest()
        replace_file(self.mark, [raw, digest])
        self.look_at_mark()


def write_shard(
    folder: Path,
    n: int,
    dims: Mapping[str, int],
    blocks: Callable[[str], Iterable[NDArray]],
    *,
    sync: bool = True,
) -> Path:
    """Write a shard of n rows under a new name, whole or not at all.

    Parameters
    ----------
    blocks : callable
        Gives the blocks of rows of the column it is asked for (keys, checks, or a feature), in order.
    sync : bool
        Whether the rows must outlast a power failure (they outlast the process's death in any case).
    """
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
    name = f"{time.time_ns():016x}-{secrets.token_hex(4)}-{n}.safetensors"

    def parts() -> Iterator[bytes]:
        yield header(n, dims)
        for column, *_ in _columns(dims):
            for block in blocks(column):
                yield np.ascontiguousarray(block).tobytes()

    return replace_file(folder / name, parts(), sync=sync)
