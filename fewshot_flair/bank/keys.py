"""What an image is: the sha256 of its file's bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.disk import open_file
from fewshot_flair.errors import InputError

__all__ = ["KEY_BYTES", "Keys", "as_keys", "hex_keys", "image_key"]

KEY_BYTES = 32
Keys = Sequence[str] | NDArray[np.uint8]
"""Hex digests, or the same as a uint8 array of shape (n, 32)."""


def image_key(path: str | Path) -> str:
    """Hex sha256 of the file's bytes, 64 characters."""
    with open_file(Path(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_keys(keys: Keys) -> NDArray[np.uint8]:
    """Turn hex digests into a uint8 array of shape (n, 32); such an array passes as it is.

    Raises
    ------
    InputError
        If a key is not 64 hexadecimal digits.
    """
    if isinstance(keys, np.ndarray) and keys.dtype == np.uint8:
        if keys.ndim != 2 or keys.shape[1] != KEY_BYTES:
            raise InputError(f"keys have shape {keys.shape}; they must be (n, {KEY_BYTES})")
        return np.ascontiguousarray(keys)
    if isinstance(keys, str):
        raise InputError(f"keys: give a list of keys, not the single string {keys!r}")
    for key in keys:
        if not isinstance(key, str) or len(key) != 2 * KEY_BYTES:
            raise InputError(f"{key!r} is not an image's key; give the hex sha256 of its bytes (image_key)")
    try:
        raw = bytes.fromhex("".join(keys))
    except ValueError:
        raise InputError("a key is not hexadecimal; give the hex sha256 of each image's bytes") from None
    return np.frombuffer(raw, np.uint8).reshape(-1, KEY_BYTES)


def hex_keys(keys: NDArray[np.uint8]) -> list[str]:
    """Turn an array of shape (n, 32) into n hex digests."""
    text = np.ascontiguousarray(keys).tobytes().hex()
    return [text[i : i + 2 * KEY_BYTES] for i in range(0, len(text), 2 * KEY_BYTES)]
