"""Disks that are full: what is said of them names the path and the file system."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

__all__ = ["is_full", "told_of_full_disk"]


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
