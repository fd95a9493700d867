"""Remembering which file had which bytes, so that a million photographs are not hashed at every start."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fewshot_flair.bank.keys import image_key
from fewshot_flair.cache import cache_folder

__all__ = ["KeyMemo", "keys_of_files", "memo_file"]

_SETTLED_SECONDS = 2.0
_ASKED_AT_ONCE = 500


def memo_file(bank: Path) -> Path:
    """Where the keys of files are remembered: once for all banks of a cache folder, else beside the bank."""
    return (bank.parent.parent if bank.parent.name == "banks" else bank) / "paths.sqlite"


def keys_of_files(paths: Sequence[str], cache: Path | None = None) -> dict[str, str]:
    """Digest of every file that can be read, remembered in a cache folder (`cache_folder` by default)."""
    file = memo_file((cache or cache_folder()) / "banks" / "any")  # the memo of all its banks
    file.parent.mkdir(parents=True, exist_ok=True)
    memo = KeyMemo(file)
    with ThreadPoolExecutor(2) as threads:
        found = memo.keys(paths, threads.map)
    memo.close()
    return {path: key for path, (key, _) in zip(paths, found, strict=True) if key is not None}


class KeyMemo:
    """Keys of files by path, trusted while size, times and inode stay as they were.

    A shortcut only: where it cannot be read or written, files are hashed. A file changed less than two
    seconds before it was hashed is not remembered, as another change could leave its time the same.

    Parameters
    ----------
    path : Path
        The SQLite file to keep it in.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None
        try:
            self._database = sqlite3.connect(path, timeout=10)
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS seen (path BLOB PRIMARY KEY, stamp TEXT, key BLOB, digest BLOB) "
                "WITHOUT ROWID"
            )
        except sqlite3.Error as error:
            self._give_up(error)

    def keys(
        self, paths: Sequence[str], run: Callable[[Callable, Iterable], Iterator] = map
    ) -> list[tuple[str | None, Exception | None]]:
        """Key of each file, or None and the reason why it cannot be read.

        Parameters
        ----------
        paths : sequence of str
        run : callable
            What applies a function to many things in order: ``map``, or that of a pool.
        """
        absolute = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - a million Path objects are slow
        known = self._look_up(absolute)
        results, learned = [], []
        for path, (key, stamp, error) in zip(
            absolute, run(_key, [(path, known.get(path)) for path in absolute]), strict=True
        ):
            results.append((key, error))
            if key is not None and stamp:
                # file names need not be text: on Linux they are bytes
                name, raw = os.fsencode(path), bytes.fromhex(key)
                learned.append((name, stamp, raw, _digest(name, stamp, raw)))
        self._learn(learned)
        return results

    def paths(self, keys: Iterable[str]) -> dict[str, str]:
        """A path of each key, where one is remembered."""
        found = {}
        wanted = [bytes.fromhex(key) for key in keys]
        for part, marks in _parts(wanted):
            for path, key in self._query(f"SELECT path, key FROM seen WHERE key IN ({marks})", part):  # noqa: S608
                found[key.hex()] = os.fsdecode(path)
        return found

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _look_up(self, paths: Sequence[str]) -> dict[str, tuple[str, bytes]]:
        known = {}
        for part, marks in _parts([os.fsencode(path) for path in paths]):
            rows = self._query(
                f"SELECT path, stamp, key, digest FROM seen WHERE path IN ({marks})",  # noqa: S608
                part,
            )
            for path, stamp, key, digest in rows:
                if _digest(path, stamp, key) == digest:
                    known[os.fsdecode(path)] = (stamp, key)
        return known

    def _query(self, statement: str, values: Sequence[object]) -> list[tuple]:
        if self._database is None:
            return []
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _learn(self, rows: Sequence[tuple[bytes, str, bytes, bytes]]) -> None:
        if self._database is None or not rows:
            return
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        self.close()
        # Locked, or a folder that may only be read, passes; a damaged file never would.
        if not isinstance(error, sqlite3.OperationalError):
            self.path.unlink(missing_ok=True)


def _parts(values: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], str]]:
    """Values a few hundred at a time, with as many question marks."""
    for start in range(0, len(values), _ASKED_AT_ONCE):
        part = values[start : start + _ASKED_AT_ONCE]
        yield part, ",".join("?" * len(part))


def _key(asked: tuple[str, tuple[str, bytes] | None]) -> tuple[str | None, str, Exception | None]:
    """Key of a file, the stamp to remember it by (empty if it is known or may yet change), and the error."""
    path, known = asked
    try:
        status = os.stat(path)  # noqa: PTH116 - see above
        stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        if known is not None and known[0] == stamp:
            return known[1].hex(), "", None
        key = image_key(path)
        settled = time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_SECONDS
        return key, stamp if settled else "", None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return None, "", error


def _digest(path: bytes, stamp: str, key: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join([path, stamp.encode(), key]), digest_size=8).digest()
