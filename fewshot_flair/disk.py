"""Files that cannot be read to their end, and disks that are full: errors that name the path."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

__all__ = ["is_full", "open_file", "told_of_full_disk", "writing_to"]

_NO_ROOM = re.compile(r"No space left|os error (28|122)\b|failed writing file|file write failed")
"""How libraries that are not Python's say that a file found no room."""


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Name the file, or its folder, in an error of a write that does not say where; OSError then."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except Exception as error:
        if not _NO_ROOM.search(str(error)):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def open_file(path: Path) -> FileIO:
    """Open a file for reading, without a buffer.

    Raises
    ------
    OSError
        Also where it is a pipe, a device or a socket, which may give no end, or nothing for ever.
    """
    if not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a pipe, a device or a socket and no file", str(path))
    return path.open("rb", buffering=0)


def is_full(error: OSError) -> bool:
    """Whether an error says that a file found no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def told_of_full_disk(path: Path, error: OSError) -> str:
    """Which file found no room, on which file system, how much is left there, and what to do."""
    folder = path.resolve().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    mount = next(place for place in (folder, *folder.parents) if place.is_mount())
    return (
        f"{path} cannot be written: {error.strerror or error}; the file system at {mount} has {free / 1e6:,.0f} MB "
        "left. Make room, or choose a folder elsewhere; what was finished before is kept"
    )
