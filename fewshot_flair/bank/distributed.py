"""Extraction on many machines: Dask hands out shards of work, each of which may be done twice without harm.

Workers hash, prepare and encode photographs and send features back; the process that asked for them alone
writes to the bank. So workers need to read the photographs and the encoder's weights under the same paths,
but not the bank, and one that dies costs its shard's time and nothing else.
"""

from __future__ import annotations

import copy
import pickle
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.pipeline import Progress, Run
from fewshot_flair.bank.work import broken_key, encode_batch, failure_reason, prepare_keyed
from fewshot_flair.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

    from fewshot_flair.encoders.base import Encoder

__all__ = ["DistributedRun", "EncodedShard", "connect", "encode_shard"]

SHARD_IMAGES = 64
HASHED_AT_ONCE = 64
WORKERS_WITHIN = 30.0
GREETED_WITHIN = 10.0
SHARDS_AHEAD = 3
"""Shards handed out for each worker: one at work, the others on their way."""


@dataclass
class EncodedShard:
    """What a worker sends back.

    Attributes
    ----------
    rows : list of int
        Places, in the shard, of the photographs that could be read.
    keys : list of str
        Keys of the bytes that were read, one for each of `rows`.
    columns : dict of float32 arrays [len(rows), width]
    refused : dict of int to (str or None, str)
        Of the others, the key of the bytes that cannot be read (None if the file has changed) and the reason.
    seconds : float
        Spent in the network.
    """

    rows: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    columns: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    refused: dict[int, tuple[str | None, str]] = field(default_factory=dict)
    seconds: float = 0.0


@contextmanager
def connect(scheduler: str) -> Iterator[Client]:
    """Connect to a Dask scheduler (``tcp://HOST:PORT``), or start so many processes here (``2``).

    Raises
    ------
    InputError
        If Dask is not installed, no scheduler answers, it has no workers, or it goes away meanwhile.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(
            "--scheduler needs Dask: pip install 'fewshot-flair[distributed]' (on the workers too)"
        ) from error
    if not re.fullmatch(r"[1-9][0-9]*|\w+://.+", scheduler):
        raise InputError(
            f"--scheduler {scheduler!r}: give tcp://HOST:PORT of a Dask scheduler, or a number of processes to start "
            "here"
        )
    if scheduler.isdigit():
        with (
            LocalCluster(n_workers=int(scheduler), threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        _refuse_others(scheduler)
        client = Client(scheduler, timeout="20s", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler!r} ({error}); "
            "give tcp://HOST:PORT, or a number of processes to start here"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS_WITHIN)
        except TimeoutError as error:
            raise InputError(
                f"the Dask scheduler at {scheduler} has had no worker for {WORKERS_WITHIN:.0f} s; start some: "
                f"dask worker {scheduler}"
            ) from error
        try:
            yield client
        except _lost() as error:
            raise InputError(
                f"the Dask scheduler at {scheduler} went away ({type(error).__name__}); what was encoded is kept, "
                "and the same command goes on from there"
            ) from error


def _refuse_others(scheduler: str) -> None:
    """Raise OSError where something answers that is no Dask scheduler; one greets with a short message's length."""
    place = re.fullmatch(r"tcp://\[?([^\]/]+?)\]?:(\d{1,5})/?", scheduler)
    if place is None:
        return
    try:
        connection = socket.create_connection((place[1], int(place[2])), timeout=GREETED_WITHIN)
    except OSError:
        return  # it may be about to start: the client waits for it
    with connection:
        try:
            greeting = connection.recv(8)
        except OSError:
            greeting = b""
    if len(greeting) < 8 or int.from_bytes(greeting, "little") > 2**20:
        raise OSError("what listens there is something else; is it the dashboard's port?")


def _lost() -> tuple[type[BaseException], ...]:
    """What Dask raises once there is no scheduler any more."""
    from concurrent.futures import CancelledError

    from distributed.client import ClosedClientError
    from distributed.comm.core import CommClosedError

    return CancelledError, ClosedClientError, CommClosedError


class DistributedRun(Run):
    """`Run` with the hashing, preparing and encoding done by the workers of a Dask cluster."""

    def __init__(
        self,
        client: Client,
        encoder: Encoder,
        bank: Any,
        batch_size: int,
        workers: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        super().__init__(encoder, bank, batch_size, workers, progress)
        self._client = client
        self._encoder = pickle.dumps(_unloaded(encoder))

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Apply a function to many things on the workers, in order."""
        blocks = list(_blocks(items, HASHED_AT_ONCE))
        futures = self._client.map(_apply, [function] * len(blocks), blocks, pure=False)
        for future in futures:
            yield from future.result()

    def encode_all(self, paths: Sequence[str], state: Progress) -> None:
        """Hand out shards, a bounded number at a time, and keep each as it comes back."""
        from distributed import as_completed

        shards = _blocks(self.missing(paths, state), SHARD_IMAGES)
        out: dict[Any, list[tuple[str, str]]] = {}
        waiting = as_completed(loop=self._client.loop)
        more = True
        while more or out:
            while more and len(out) < SHARDS_AHEAD * self._n_workers():
                shard = next(shards, None)
                if shard is None:
                    more = False
                    break
                future = self._client.submit(
                    encode_shard,
                    self._encoder,
                    self.encoder.fingerprint_id,
                    self.encoder.device,
                    shard,
                    self.batch_size,
                    pure=False,
                )
                out[future] = shard
                waiting.add(future)
            if out:
                future = next(waiting)
                self._keep(out.pop(future), future.result(), state)

    def _keep(self, shard: list[tuple[str, str]], done: EncodedShard, state: Progress) -> None:
        for i, (key, reason) in done.refused.items():
            self.refuse(shard[i][0], key, reason, state)
        if done.rows:
            read = [(shard[i][0], key) for i, key in zip(done.rows, done.keys, strict=True)]
            self.store(read, done.columns, done.seconds, state)

    def _n_workers(self) -> int:
        return max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))


def encode_shard(
    encoder: bytes, fingerprint_id: str, device: str, images: Sequence[tuple[str, str]], batch_size: int
) -> EncodedShard:
    """Encode a shard's photographs, path and key each, in batches of one shape; what a worker runs."""
    loaded = _loaded(encoder, fingerprint_id, device)
    done = EncodedShard()
    pixels = []
    for i, (path, key) in enumerate(images):
        try:
            prepared = prepare_keyed(loaded, path, key)
        except Exception as error:  # a broken file raises whatever its decoder likes
            done.refused[i] = broken_key(path, key), failure_reason(error, path)
        else:
            done.rows.append(i)
            done.keys.append(prepared.key)
            pixels.append(prepared.pixels)
    began = time.perf_counter()
    parts = [
        encode_batch(loaded, pixels[start : start + batch_size], batch_size)
        for start in range(0, len(pixels), batch_size)
    ]
    done.seconds = time.perf_counter() - began
    done.columns = {name: np.concatenate([part[name] for part in parts]) for name in (parts or [{}])[0]}
    return done


_encoders: dict[tuple[str, str], Encoder] = {}
_opening = threading.Lock()


def _loaded(encoder: bytes, fingerprint_id: str, device: str) -> Encoder:
    """The encoder, opened once a worker process, if this machine's weights are those that were meant."""
    with _opening:
        if (fingerprint_id, device) not in _encoders:
            opened: Encoder = pickle.loads(encoder)  # noqa: S301 - sent by our own client through Dask, which pickles
            if opened.fingerprint_id != fingerprint_id:
                raise InputError(
                    f"the weights or settings of encoder {opened.name!r} on this worker differ from the asking "
                    f"machine's ({opened.fingerprint_id[:12]}, {fingerprint_id[:12]}); give all machines the same"
                )
            _encoders[fingerprint_id, device] = opened
    return _encoders[fingerprint_id, device]


def _unloaded(encoder: Encoder) -> Encoder:
    """A copy without what was computed or loaded, so that it is small and a worker looks for itself."""
    fresh = copy.copy(encoder)
    for kind in type(encoder).__mro__:
        for name, value in vars(kind).items():
            if isinstance(value, cached_property):
                fresh.__dict__.pop(name, None)
    return fresh


def _apply(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    return [function(item) for item in items]


def _blocks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while block := list(islice(iterator, size)):
        yield block
