"""One pass over photographs: hash, decode and prepare beside the network, keep what is done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from fewshot_flair.bank.bank import FeatureBank
from fewshot_flair.bank.compaction import compact
from fewshot_flair.bank.memo import KeyMemo, memo_file
from fewshot_flair.bank.shards import shard_bytes
from fewshot_flair.bank.verify import check_rows
from fewshot_flair.bank.work import Prepared, broken_key, encode_batch, failure_reason, prepare_keyed
from fewshot_flair.data.tables import SkippedRow

if TYPE_CHECKING:
    from fewshot_flair.encoders.base import Encoder

__all__ = ["Extraction", "Progress", "Run"]

HASH_BLOCK = 1024
COMPACT_EVERY = 64
REFRESH_SECONDS = 1.0
CHECKED_BYTES = 256 * 2**20
"""So many bytes of kept features a call are compared with their checksums: a fraction of a second."""
MOST_PROCESSES = 64
ROUNDS = 3
"""How often photographs are looked at anew that changed under the run's hands."""


@dataclass
class Progress:
    """How far an extraction is, told after every batch.

    Attributes
    ----------
    total, done : int
        Images in all; images dealt with (encoded, found in the bank, or refused).
    encoded : int
        Images that went through the network in this call.
    seconds : float
        Since the first image began to be prepared.
    """

    total: int
    done: int = 0
    encoded: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Images a second through the pipeline."""
        return self.encoded / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time left if every image not yet looked at has to be encoded; None before the first is."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


@dataclass
class Extraction:
    """What `extract` did.

    Attributes
    ----------
    keys : dict of str to str
        Key in the bank by path (as given), for every image that could be read.
    skipped : list of SkippedRow
        Images that could not be read, with reasons (row 0 where paths were given).
    encoded, cached : int
        Images encoded now, and images whose features were there already; a photograph that is there twice
        is encoded once, and its second name is in neither.
    damaged : int
        Of those encoded now, images whose kept features were not as they had been written (see `check_rows`).
    seconds, network_seconds : float
        Wall time, and the part of it spent in the network.
    """

    keys: dict[str, str] = field(default_factory=dict)
    skipped: list[SkippedRow] = field(default_factory=list)
    encoded: int = 0
    cached: int = 0
    damaged: int = 0
    seconds: float = 0.0
    network_seconds: float = 0.0

    @property
    def twins(self) -> list[tuple[str, str]]:
        """Paths whose bytes are those of an earlier path: (earlier, later), in order."""
        first: dict[str, str] = {}
        return [(first[key], path) for path, key in self.keys.items() if first.setdefault(key, path) != path]


class Run:
    """One call of `extract`: its threads, its place, and what it has found."""

    def __init__(
        self,
        encoder: Encoder,
        bank: FeatureBank,
        batch_size: int,
        workers: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.encoder, self.bank, self.batch_size, self.workers = encoder, bank, batch_size, workers
        self.tell = progress or (lambda _: None)
        self.result = Extraction()
        self.refused: dict[str, str] = {}
        self._bad_keys: dict[str, tuple[str, str]] = {}
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
        self._memo = KeyMemo(memo_file(bank.folder))
        self._began = time.perf_counter()
        self._refreshed = time.monotonic()
        self._appended = 0
        self._to_check = CHECKED_BYTES

    def close(self) -> None:
        """Let the threads end, and leave the bank tidy."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._memo.close()
        if self._appended:
            compact(self.bank)

    def fill(self, paths: Sequence[str]) -> None:
        """Go through all paths; from another place, if other processes are going through them from the front."""
        state = Progress(len(set(paths)))
        order = list(dict.fromkeys(paths))
        with _turn(self.bank.folder) as place:
            self.encode_all(_from_place(order, place), state)
            for _ in range(ROUNDS):
                if not (order := self._left(order)):
                    break
                self.encode_all(order, state)
            for path in self._left(order):
                self.refused[path] = "changes while it is read; wait until whatever writes it is done"
        keys = self.result.keys
        for path, key in keys.items():
            if key in self._bad_keys and path not in self.refused:
                first, reason = self._bad_keys[key]
                self.refused[path] = reason.replace(Path(first).name, Path(path).name)
        self.result.keys = {path: keys[path] for path in paths if path in keys and path not in self.refused}
        self.result.seconds = time.perf_counter() - self._began
        state.done = state.total
        self.tell(state)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Apply a function to many things at once, in order."""
        return self._pool.map(function, items)

    def _left(self, paths: Sequence[str]) -> list[str]:
        """Paths whose key has no features yet: files that changed between hashing and decoding."""
        keys = self.result.keys
        found = [path for path in paths if path in keys and path not in self.refused]
        found = [path for path in found if keys[path] not in self._bad_keys]
        lacking = set(self.bank.missing([keys[path] for path in found]))
        return [path for path in found if keys[path] in lacking]

    def encode_all(self, paths: Sequence[str], state: Progress) -> None:
        """Encode those of the paths that the bank lacks, batch by batch."""
        batch: list[Prepared] = []
        for prepared in self._prepared(paths, state):
            batch.append(prepared)
            if len(batch) == self.batch_size:
                self._encode(batch, state)
                batch = []
        if batch:
            self._encode(batch, state)

    def _prepared(self, paths: Sequence[str], state: Progress) -> Iterator[Prepared]:
        """Prepared images in order, a bounded number of them made ahead by the threads."""
        waiting: deque[tuple[str, str, Future[Prepared]]] = deque()
        work = self.missing(paths, state)
        more = True
        while more or waiting:
            while more and len(waiting) < 2 * self.workers + self.batch_size:
                item = next(work, None)
                if item is None:
                    more = False
                    break
                waiting.append((*item, self._pool.submit(prepare_keyed, self.encoder, *item)))
            if not waiting:
                continue
            path, key, future = waiting.popleft()
            # A broken file raises whatever its decoder likes.
            if (error := future.exception()) is not None:
                self.refuse(path, broken_key(path, key), failure_reason(error, path), state)
            else:
                yield future.result()

    def _check(self, keys: Sequence[str]) -> None:
        """Look at the kept features of these keys, while those looked at are few enough to cost no time."""
        self._to_check -= len(keys) * shard_bytes(1, self.bank.feature_dims)
        if self._to_check >= 0:
            self.result.damaged += check_rows(self.bank, keys)

    def missing(self, paths: Sequence[str], state: Progress) -> Iterator[tuple[str, str]]:
        """Paths whose key the bank lacks, each key once, hashed a block at a time."""
        asked: set[str] = set()
        for start in range(0, len(paths), HASH_BLOCK):
            block = paths[start : start + HASH_BLOCK]
            keys: dict[str, str] = {}
            for path, (key, error) in zip(block, self._memo.keys(block, self.map), strict=True):
                if key is None:
                    self.refuse(path, None, failure_reason(error, path), state)
                else:
                    keys[path] = key
            self.result.keys |= keys
            self._check(list(dict.fromkeys(keys.values())))
            lacking = set(self.bank.missing(list(keys.values())))
            self.result.cached += sum(key not in lacking and key not in asked for key in keys.values())
            lacking -= asked
            asked |= lacking
            state.done += len(keys) - len(lacking)
            self.tell(state)
            for path, key in keys.items():
                if key in lacking:
                    lacking.discard(key)
                    yield path, key

    def refuse(self, path: str, key: str | None, reason: str, state: Progress) -> None:
        """Note that an image cannot be read, and so whatever else has its bytes."""
        self.refused[path] = reason
        if key is not None:
            self._bad_keys[key] = path, reason
        state.done += 1

    def _encode(self, batch: list[Prepared], state: Progress) -> None:
        batch = self._not_yet_there(batch, state)
        if not batch:
            return
        began = time.perf_counter()
        columns = encode_batch(self.encoder, [image.pixels for image in batch], self.batch_size)
        seconds = time.perf_counter() - began
        self.store([(image.path, image.key) for image in batch], columns, seconds, state)

    def store(
        self,
        images: Sequence[tuple[str, str]],
        columns: Mapping[str, NDArray[np.float32]],
        seconds: float,
        state: Progress,
    ) -> None:
        """Put encoded images, path and key each, into the bank; `seconds` were spent in the network."""
        finite = np.all([np.isfinite(rows).all(axis=1) for rows in columns.values()], axis=0)
        for i in np.flatnonzero(~finite).tolist():
            self.refuse(*images[i], "gives features that are not finite numbers", state)
        kept = [images[i] for i in np.flatnonzero(finite).tolist()]
        self.result.keys |= kept  # a file that changed since it was hashed has another key now
        self.bank.append([key for _, key in kept], **{name: rows[finite] for name, rows in columns.items()})
        self._appended += 1
        if self._appended % COMPACT_EVERY == 0:
            compact(self.bank, at_least=COMPACT_EVERY)
        self.result.encoded += len(kept)
        self.result.network_seconds += seconds
        state.encoded += len(kept)
        state.done += len(kept)
        state.seconds = time.perf_counter() - self._began
        self.tell(state)

    def _not_yet_there(self, batch: list[Prepared], state: Progress) -> list[Prepared]:
        """Leave out what another process has encoded meanwhile."""
        if time.monotonic() - self._refreshed >= REFRESH_SECONDS:
            self.bank.refresh()
            self._refreshed = time.monotonic()
        lacking = set(self.bank.missing([image.key for image in batch]))
        there = [image for image in batch if image.key not in lacking]
        self.result.keys |= {image.path: image.key for image in there}
        self.result.cached += len(there)
        state.done += len(there)
        return [image for image in batch if image.key in lacking]


@contextmanager
def _turn(folder: Path) -> Iterator[int]:
    """Hold a process's place among those that fill a bank: 0 for the first, 1 for the second, and so on."""
    for place in range(MOST_PROCESSES):
        lock = FileLock(folder / f"filling-{place}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        except OSError:  # a bank that may only be read; if something is missing, adding it will say so
            break
        try:
            yield place
        finally:
            lock.release()
        return
    yield 0


def _from_place(paths: list[str], place: int) -> list[str]:
    """The order in which a process takes the paths, so that several meet as late as may be.

    The first goes from the front, the second from the back, and each further one from a point far from
    those of the others (multiples of the golden section).
    """
    if place == 1:
        return paths[::-1]
    start = int(len(paths) * (place * 0.6180339887 % 1))
    return paths[start:] + paths[:start]
