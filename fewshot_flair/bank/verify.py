"""Looking at every byte of a bank."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.bank import FeatureBank, text_is_sound
from fewshot_flair.bank.compaction import bank_lock
from fewshot_flair.bank.keys import hex_keys
from fewshot_flair.bank.shards import Shard, row_checks

__all__ = ["Damage", "check_rows", "sound_blocks", "verify"]

_BLOCK = 1024


@dataclass(frozen=True)
class Damage:
    """Something in a bank that isn't as it was written.

    Attributes
    ----------
    file : str
        Path within the bank.
    row : int or None
        Row of the shard; None where it is the file as a whole.
    key : str
        The row's key, as stored (which may be what is damaged).
    what : str
    """

    file: str
    row: int | None
    key: str
    what: str


def verify(bank: FeatureBank, progress: Callable[[int, int], None] | None = None) -> list[Damage]:
    """Check every byte of a bank, and mark what is damaged so that it counts as absent.

    The next extraction (`fewshot-flair cache`) then encodes the images of those rows again, and no others.
    Marked rows and files are not reported a second time. bank.json is checked whenever a bank is opened.

    Parameters
    ----------
    progress : callable, optional
        Told the rows done and the rows in all.

    Returns
    -------
    list of Damage
        Empty if all is sound.
    """
    tell = progress or (lambda done, total: None)
    with bank_lock(bank):
        bank.reopen()
        found = [
            Damage(f"shards/{path.name}", None, "", "is not as long as it was; its rows count as absent")
            for path in bank.unreadable
        ]
        for path in bank.unreadable:
            path.rename(path.with_suffix(".unreadable"))
        total, done = sum(shard.n for shard in bank.shards), 0
        for shard in bank.shards:
            found += _verify_shard(shard)
            done += shard.n
            tell(done, total)
        for path in sorted((bank.folder / "text").glob("*.safetensors")):
            if not text_is_sound(path):
                found.append(
                    Damage(f"text/{path.name}", None, "", "is damaged; the text tower makes it again")
                )
                path.unlink()
        bank.reopen()
    return found


def check_rows(bank: FeatureBank, keys: Sequence[str]) -> int:
    """Check the rows that answer for keys; mark those that are not as they were written, and say how many.

    Where the bank may only be read they are marked for this process alone.
    """
    if not any(len(damaged) for _, damaged in _damaged_of(bank, keys)):
        return 0
    try:
        with bank_lock(bank):
            bank.reopen()  # another process may have joined shards since
            found = _damaged_of(bank, keys)
            for shard, rows in found:
                shard.mark_damaged(np.union1d(rows, shard.damaged))
            bank.reopen()
    except OSError:
        found = _damaged_of(bank, keys)
        for shard, rows in found:
            shard.damaged = np.union1d(rows, shard.damaged)
        bank.forget_indexes()
    return sum(len(rows) for _, rows in found)


def _damaged_of(bank: FeatureBank, keys: Sequence[str]) -> list[tuple[Shard, NDArray[np.int64]]]:
    found = []
    for shard, rows in bank.rows_of(keys):
        damaged = [part[~_fit(shard, part)] for part in np.split(rows, range(_BLOCK, len(rows), _BLOCK))]
        found.append((shard, np.concatenate(damaged)))
    return [(shard, rows) for shard, rows in found if len(rows)]


def _fit(shard: Shard, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    features = {name: shard.read(name, rows) for name in shard.dims}
    return (row_checks(shard.read("keys", rows), features) == shard.read("checks", rows)).all(axis=1)


def _verify_shard(shard: Shard) -> Iterator[Damage]:
    file = f"shards/{shard.path.name}"
    if not shard.header_is_sound():
        yield Damage(file, None, "", "had a damaged header; it was written anew")
        shard.write_header()
    marked = shard.damaged
    damaged = [rows for rows in (part[~sound] for part, sound in _checked(shard)) if len(rows)]
    rows = np.setdiff1d(np.concatenate(damaged), marked) if damaged else np.empty(0, np.int64)
    if len(rows):
        shard.mark_damaged(np.union1d(rows, marked))
        for row, key in zip(rows.tolist(), hex_keys(shard.column("keys")[rows]), strict=True):
            yield Damage(file, row, key, "does not fit its checksum")


def _checked(shard: Shard) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Blocks of rows, and which of them fit their checksums."""
    for start in range(0, shard.n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, shard.n))
        part = slice(start, start + _BLOCK)
        features = {name: shard.column(name)[part] for name in shard.dims}
        checks = row_checks(shard.column("keys")[part], features)
        yield rows, (checks == shard.column("checks")[part]).all(axis=1)


def sound_blocks(bank: FeatureBank) -> Iterator[dict[str, NDArray]]:
    """Every key's row once, in blocks of columns by name, those left out that do not fit their checksums."""
    for shard in bank.shards:
        winning = bank.winning_rows(shard)
        for rows, sound in _checked(shard):
            kept = np.intersect1d(rows[sound], winning, assume_unique=True)
            if len(kept):
                yield {name: shard.column(name)[kept] for name in ("keys", "checks", *shard.dims)}
