"""Prepared photographs, kept as far as memory allows, and the augmented batches of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_flair.encoders.augmented import augment_pixels
from fewshot_flair.encoders.base import Encoder

__all__ = ["KEPT_BYTES", "Photographs"]

KEPT_BYTES = 4 * 2**30
"""Prepared photographs up to this size stay in memory; the others are read and prepared each time."""
_THREADS = 2


class Photographs:
    """Photographs of one side as an encoder wants them.

    Parameters
    ----------
    encoder : Encoder
        Whose `prepare` makes a photograph float32 [3, S, S]; a `CorruptedEncoder` spoils it first.
    paths : sequence of str
    kept_bytes : int
        Room for prepared photographs.
    """

    def __init__(self, encoder: Encoder, paths: Sequence[str], kept_bytes: int = KEPT_BYTES) -> None:
        self.encoder, self.paths = encoder, list(paths)
        self._kept: dict[int, NDArray[np.float32]] = {}
        self._room = kept_bytes // (12 * encoder.preparation.image_size**2)
        mean, std = encoder.preparation.mean, encoder.preparation.std
        self._mean, self._std = (np.array(v, np.float32)[:, None, None] for v in (mean, std))

    def __len__(self) -> int:
        return len(self.paths)

    def plain(self, row: int) -> NDArray[np.float32]:
        """One photograph, prepared: float32 [3, S, S]."""
        found = self._kept.get(row)
        if found is None:
            found = self.encoder.prepare(self.paths[row])
            if len(self._kept) < self._room:
                self._kept[row] = found
        return found

    def augmented(self, row: int, seeds: Sequence[int]) -> NDArray[np.float32]:
        """One photograph changed as FLAIR's pre-training changes it, the same for the same seeds and row."""
        pixels = self.plain(row) * self._std + self._mean
        moved = augment_pixels(pixels, np.random.default_rng([*seeds, row]))
        return ((moved - self._mean) / self._std).astype(np.float32)

    def batches(
        self, rows: NDArray[np.int64], size: int, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Rows and their pixels [b, 3, S, S], `size` at a time; shuffled and augmented where seeds are given.

        Seeds are those of the training and the number of the epoch; they decide every draw.
        """
        order = rows if seeds is None else np.random.default_rng(list(seeds)).permutation(rows)
        parts = [order[i : i + size] for i in range(0, len(order), size)]

        def make(part: NDArray[np.int64]) -> Tensor:
            pick = self.plain if seeds is None else lambda row: self.augmented(row, seeds)
            return torch.from_numpy(np.stack([pick(int(row)) for row in part]))

        with ThreadPoolExecutor(_THREADS) as pool:
            waiting = [pool.submit(make, part) for part in parts[:_THREADS]]
            for number, part in enumerate(parts):
                pixels = waiting.pop(0).result()
                if number + _THREADS < len(parts):
                    waiting.append(pool.submit(make, parts[number + _THREADS]))
                yield part, pixels
