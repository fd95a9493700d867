"""Joining small shards into large ones, so that a bank of a million rows is a few dozen files."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from numpy.typing import NDArray

from fewshot_flair.bank.bank import RECENT_ROWS, FeatureBank
from fewshot_flair.bank.shards import Shard, write_shard
from fewshot_flair.files import is_being_written

__all__ = ["SHARD_ROWS", "bank_lock", "compact"]

SHARD_ROWS = 65_536
"""Rows of a full-grown shard, which is never written again (0.67 GB at 2048 + 512 numbers a row)."""
MANY_SHARDS = 400
"""Each open shard holds a file handle, of which a process usually has 1,024."""
_BLOCK = 1024
_BLOCK_NUMBERS = 2**24
_ABANDONED_SECONDS = 24 * 3600


def bank_lock(bank: FeatureBank, timeout: float = -1) -> FileLock:
    """Give the lock that whoever removes or marks a bank's shards must hold."""
    return FileLock(bank.folder / "bank.lock", timeout=timeout)


def compact(bank: FeatureBank, *, at_least: int = 2) -> None:
    """Join the young shards (below RECENT_ROWS) if there are `at_least` so many, and the half-grown ones.

    A row is copied a few times in all, however large the bank grows. Rows marked as damaged and second rows
    of a key are left behind. The new shard is in place before the old ones go, so that a process killed
    here leaves nothing worse than duplicates; readers keep what they have open. Where another process holds
    the lock (it compacts or verifies), this returns at once, unless so many shards are open already that
    the process would soon run out of file handles: then it waits.
    """
    try:
        with bank_lock(bank, timeout=-1 if len(bank.shards) > MANY_SHARDS else 0):
            for folder in (bank.folder, bank.folder / "shards", bank.folder / "text"):
                _sweep(folder)
            bank.refresh()
            young = [shard for shard in bank.shards if shard.n < RECENT_ROWS]
            if len(young) >= at_least:
                _join(bank, young)
            grown = [shard for shard in bank.shards if RECENT_ROWS <= shard.n < SHARD_ROWS]
            if sum(shard.n for shard in grown) >= SHARD_ROWS:
                _join(bank, grown)
    except Timeout:
        return


def _join(bank: FeatureBank, shards: list[Shard]) -> None:
    shards = sorted(shards, key=lambda shard: shard.path.name)
    rows = [(shard, bank.winning_rows(shard)) for shard in shards]
    total = sum(len(mine) for _, mine in rows)

    def blocks(column: str) -> Iterator[NDArray]:
        for shard, mine in rows:
            block = max(1, min(_BLOCK, _BLOCK_NUMBERS // shard.column(column).shape[1]))
            for start in range(0, len(mine), block):
                yield shard.column(column)[mine[start : start + block]]

    if total:
        write_shard(bank.folder / "shards", total, bank.feature_dims, blocks)
    for shard in shards:
        shard.path.unlink()
        shard.mark.unlink(missing_ok=True)
    bank.refresh()


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind unfinished."""
    for path in folder.glob(".tmp-*"):
        try:
            host, pid = path.name.removeprefix(".tmp-").rsplit("-", 2)[:2]
            age = time.time() - path.stat().st_mtime
            dead = host == socket.gethostname() and not _alive(int(pid))
            # a process that seems dead may live in another container: then it holds its file's lock
            if (dead or age > _ABANDONED_SECONDS) and not is_being_written(path):
                path.unlink()
        except (OSError, ValueError):  # gone, not ours to look at, or not one of ours
            continue


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
