"""Where each key's row is: a sorted index over the keys of many shards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.shards import Shard

__all__ = ["KeyIndex"]


class KeyIndex:
    """Sorted prefixes of the shards' keys: 16 bytes of memory a row, the keys themselves stay on disk.

    Parameters
    ----------
    shards : sequence of Shard
        Earlier ones win where a key is in several. Rows marked as damaged are left out.

    Attributes
    ----------
    shards : list of Shard
    starts : int64 array of shape (len(shards) + 1,)
        Position of each shard's first row when all are laid end to end.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = list(shards)
        self.starts = np.cumsum([0, *(shard.n for shard in self.shards)])
        prefixes = np.concatenate(
            [np.empty(0, np.uint64), *(_prefixes(s.column("keys")) for s in self.shards)]
        )
        sound = np.ones(len(prefixes), dtype=bool)
        for start, shard in zip(self.starts, self.shards, strict=False):
            sound[start + shard.damaged] = False
        positions = np.flatnonzero(sound)
        # Stable, so that of two rows with one key the first stays in front.
        self._positions = positions[np.argsort(prefixes[positions], kind="stable")]
        self._prefixes = prefixes[self._positions]

    def find(self, keys: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Position of each key (see `starts`), −1 where it is absent. keys: uint8 of shape (n, 32)."""
        found = np.full(len(keys), -1, dtype=np.int64)
        wanted = _prefixes(keys)
        places = np.searchsorted(self._prefixes, wanted)
        open_ = np.arange(len(keys))
        # Keys that share their first eight bytes stand side by side: nearly always one step is enough.
        while len(open_):
            open_ = open_[places[open_] < len(self._prefixes)]
            open_ = open_[self._prefixes[places[open_]] == wanted[open_]]
            if not len(open_):
                break
            candidates = self._positions[places[open_]]
            same = (self._keys_at(candidates) == keys[open_]).all(axis=1)
            found[open_[same]] = candidates[same]
            open_ = open_[~same]
            places[open_] += 1
        return found

    def _keys_at(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.gather(positions, "keys")

    def gather(self, positions: NDArray[np.int64], column: str) -> NDArray:
        """Copy rows of a column, in the order of `positions`; each shard is read from front to back."""
        if not len(positions):
            return np.empty((0, 0), np.float32)
        sample = self.shards[0].read(column, positions[:0])
        out = np.empty((len(positions), sample.shape[1]), sample.dtype)
        order = np.argsort(positions, kind="stable")
        bounds = np.searchsorted(positions[order], self.starts)
        for i, shard in enumerate(self.shards):
            mine = order[bounds[i] : bounds[i + 1]]
            if len(mine):
                out[mine] = shard.read(column, positions[mine] - self.starts[i])
        return out


def _prefixes(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(keys[:, :8]).view(">u8").astype(np.uint64).reshape(-1)
