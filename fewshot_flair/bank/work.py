"""What is done to one photograph and to one batch, by a thread here or by a worker elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.keys import image_key
from fewshot_flair.errors import InputError

if TYPE_CHECKING:
    from fewshot_flair.encoders.base import Encoder

__all__ = ["Prepared", "broken_key", "encode_batch", "failure_reason", "prepare_keyed"]

LOOKS = 3
"""How often a photograph that changes while it is read is read again."""


@dataclass(frozen=True)
class Prepared:
    """A photograph as the network takes it, float32 [3, S, S], and the key of the bytes that it was made of."""

    path: str
    key: str
    pixels: NDArray[np.float32]


def prepare_keyed(encoder: Encoder, path: str, key: str) -> Prepared:
    """Decode and prepare a photograph; what is stored under a key must have been made of just those bytes.

    A file may be replaced between being hashed and being decoded, so it is hashed again afterwards.
    """
    for _ in range(LOOKS):
        pixels = encoder.prepare(path)
        now = image_key(path)
        if now == key:
            if not np.ptp(pixels.reshape(3, -1), axis=1).any():
                raise InputError(f"{path} is of one colour all over; it shows nothing")
            return Prepared(path, key, pixels)
        key = now
    raise InputError(f"{path} changes while it is read; wait until whatever writes it is done")


def broken_key(path: str, key: str) -> str | None:
    """The key, if the file still has those bytes and so they are what cannot be read; else None."""
    try:
        return key if image_key(path) == key else None
    except OSError:
        return None


def encode_batch(
    encoder: Encoder, images: Sequence[NDArray[np.float32]], batch_size: int
) -> dict[str, NDArray[np.float32]]:
    """Features by kind of at most `batch_size` prepared images, in a batch filled up to that shape."""
    batch = np.stack([*images, *[images[-1]] * (batch_size - len(images))])
    features = encoder.encode_prepared(batch)
    columns = {"backbone": features.backbone, "embedding": features.embedding, "local": features.local}
    n = len(images)
    return {name: rows[:n].reshape(n, -1) for name, rows in columns.items() if rows is not None}


def failure_reason(error: BaseException | None, path: str) -> str:
    """Say why an image cannot be read, from what its decoder raised."""
    if isinstance(error, FileNotFoundError) and error.errno is not None:
        return "is not there"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(said.split()) or type(error).__name__
    return f"cannot be read: {text.replace(path, Path(path).name)}"
