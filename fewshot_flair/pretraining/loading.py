"""What each step of a training sees: photographs, augmented, and texts, drawn anew each epoch; decoded ahead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from fewshot_flair.bank.extraction import processors
from fewshot_flair.errors import InputError
from fewshot_flair.pretraining.augmentation import augment
from fewshot_flair.pretraining.image_sets import ImageSet, Sample
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.pretraining.captions import Captions
    from fewshot_flair.pretraining.parallel import Ranks

__all__ = ["Draw", "Order", "cores_a_process", "load_ahead"]

Shown = tuple[int, int, int]
"""Epoch, photograph, and which of its showings in that epoch."""
_ORDER, _PIXELS, _TEXT = range(3)
"""Streams of random numbers."""


@dataclass(frozen=True)
class Draw:
    """One step: B showings, the category drawn for each, its text, and relation [B, B] of photographs and texts."""

    shown: list[Shown]
    texts: list[str]
    relation: NDArray[np.bool_]


class Order:
    """The order of a whole training, the same for the same seed: any step can be had without those before.

    Parameters
    ----------
    sets : int array [n]
        Set of each photograph.
    weights : sequence of float
        How often an epoch shows each photograph of a set.
    relation : bool array [n, K]
        Categories of each photograph.
    captions : Captions
        Their texts.
    batch_size, seed : int

    Attributes
    ----------
    steps : int
        Of an epoch; photographs that do not fill a last batch are left for another epoch.

    Raises
    ------
    InputError
        If an epoch shows fewer photographs than a batch has.
    """

    def __init__(
        self,
        sets: NDArray[np.int64],
        weights: Sequence[float],
        relation: NDArray[np.bool_],
        captions: Captions,
        batch_size: int,
        seed: int,
    ) -> None:
        self._places = [np.flatnonzero(sets == place) for place in range(len(weights))]
        self._showings = [round(weight * len(own)) for weight, own in zip(weights, self._places, strict=True)]
        self._relation, self._captions, self._size, self._seed = relation, captions, batch_size, seed
        if (total := sum(self._showings)) < batch_size:
            raise InputError(
                f"an epoch shows {counted(total, 'photograph')}, fewer than a batch of {batch_size}; give a smaller "
                "batch_size under [recipe]"
            )
        self.steps = total // batch_size
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def draw(self, step: int) -> Draw:
        """What step `step`, from 0 over the whole training, sees."""
        shown = self.shown(step)
        drawn, texts = [], []
        for each in shown:
            rng = np.random.default_rng([self._seed, *each, _TEXT])
            category = int(rng.choice(np.flatnonzero(self._relation[each[1]])))
            drawn.append(category)
            texts.append(self._captions.draw(rng, category))
        return Draw(shown, texts, self._relation[[index for _, index, _ in shown]][:, drawn])

    def shown(self, step: int) -> list[Shown]:
        """The photographs of a step."""
        epoch, place = divmod(step, self.steps)
        rows = self._epoch(epoch)[place * self._size : (place + 1) * self._size]
        return [(epoch, int(index), int(copy)) for index, copy in rows]

    def _make_epoch(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self._seed, epoch, _ORDER])
        parts = []
        for own, n in zip(self._places, self._showings, strict=True):
            whole, rest = divmod(n, len(own)) if len(own) else (0, 0)
            parts += [np.stack([own, np.full(len(own), copy)], axis=1) for copy in range(whole)]
            some = rng.permutation(own)[:rest]
            parts.append(np.stack([some, np.full(rest, whole)], axis=1))
        return rng.permutation(np.concatenate(parts))


class _Augmented(Dataset):
    """Showings to pixels uint8 [S, S, 3]."""

    def __init__(self, images: ImageSet, seed: int, *, camera: bool) -> None:
        self._images, self._seed, self._camera = images, seed, camera

    def __getitem__(self, shown: Shown) -> torch.Tensor:
        rng = np.random.default_rng([self._seed, *shown, _PIXELS])
        sample: Sample = augment(rng, self._images.sample(shown[1]), camera=self._camera)
        return torch.from_numpy(np.ascontiguousarray(sample.image))


class _Steps:
    """Showings of each step that are of this process's part."""

    def __init__(self, order: Order, ranks: Ranks, steps: range) -> None:
        self._order, self._ranks, self._steps = order, ranks, steps

    def __iter__(self) -> Iterator[list[Shown]]:
        return (self._ranks.part(self._order.shown(step)) for step in self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def load_ahead(
    images: ImageSet, order: Order, ranks: Ranks, steps: range, *, seed: int, camera: bool, workers: int
) -> Iterator[torch.Tensor]:
    """Decode and augment while the network computes.

    Parameters
    ----------
    steps : range
        Those to load; a training that goes on begins in the middle.
    workers : int
        Processes that decode; 0 decodes between steps.

    Yields
    ------
    Tensor of shape [B / world, 3, S, S], uint8
        This process's part of each step.
    """
    loader = DataLoader(
        _Augmented(images, seed, camera=camera),
        batch_sampler=_Steps(order, ranks, steps),
        num_workers=workers,
        collate_fn=torch.stack,
        worker_init_fn=_one_thread,
        pin_memory=ranks.device.startswith("cuda"),
    )
    for pixels in loader:
        yield pixels.permute(0, 3, 1, 2)


def cores_a_process() -> int:
    """Cores of this machine for each process that trains on it, 1 at least."""
    return max(1, processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _one_thread(_: Any) -> None:
    import cv2

    cv2.setNumThreads(0)
