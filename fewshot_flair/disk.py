"""Files that cannot be read to their end, and disks that are full: errors that name the path."""

from __future__ import annotations

import errno
import shutil
import stat
from io import FileIO
from pathlib import Path

__all__ = ["is_full", "open_file", "told_of_full_disk"]


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
