"""Features of augmented copies of photographs: an encoder that changes each photograph before it encodes it."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.base import Encoder
from fewshot_flair.encoders.changed import ChangedEncoder
from fewshot_flair.images.preparation import ImageLike

__all__ = ["AugmentedEncoder", "augment_pixels"]

KIND = "flair-2025"
"""FLAIR's augmentation: flip, small affine change, brightness and contrast."""


class AugmentedEncoder(ChangedEncoder):
    """An encoder of one augmented copy of each photograph.

    Which change a photograph gets depends on its prepared pixels and the copy's number alone, so that features can be
    kept: the copy is part of the fingerprint, and each copy has a bank of its own.

    Parameters
    ----------
    encoder : Encoder
    copy : int
        Number of the copy, from 0.
    """

    def __init__(self, encoder: Encoder, copy: int) -> None:
        super().__init__(encoder)
        self.copy = copy

    @property
    def change(self) -> dict[str, Any]:
        """The augmentation and the copy's number."""
        return {"augmentation": {"kind": KIND, "copy": self.copy}}

    def prepare(self, image: ImageLike) -> NDArray[np.float32]:
        """Prepare a photograph as the encoder does, and change it: float32 of shape (3, S, S)."""
        pixels = self.encoder.prepare(image)
        digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest()
        rng = np.random.default_rng([self.copy, *np.frombuffer(digest, dtype=np.uint32).tolist()])
        mean, std = (
            np.array(values, dtype=np.float32)[:, None, None]
            for values in (self.preparation.mean, self.preparation.std)
        )
        return ((augment_pixels(pixels * std + mean, rng) - mean) / std).astype(np.float32)


def augment_pixels(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change a prepared photograph as FLAIR's published code does in pre-training and in its ``fta`` and ``tta``.

    A horizontal flip with probability 0.5; rotation within 5 degrees and scale 0.9 to 1 about the middle with
    probability 0.25; brightness and contrast by factors of 0.8 to 1.2 each, in random order, with probability 0.25.

    Parameters
    ----------
    pixels : float32 array of shape (3, S, S)
        In [0, 1].
    rng : numpy.random.Generator

    Returns
    -------
    float32 array of shape (3, S, S)
        In [0, 1].
    """
    if rng.random() < 0.5:
        pixels = pixels[:, :, ::-1]
    if rng.random() < 0.25:
        side = pixels.shape[2]
        middle = ((side - 1) / 2, (side - 1) / 2)
        matrix = cv2.getRotationMatrix2D(middle, rng.uniform(-5, 5), rng.uniform(0.9, 1.0))
        planes = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        moved = cv2.warpAffine(planes, matrix, (side, side), flags=cv2.INTER_LINEAR)
        pixels = np.asarray(moved, dtype=np.float32).transpose(2, 0, 1)
    if rng.random() < 0.25:
        factors = rng.uniform(0.8, 1.2, 2)
        for which in rng.permutation(2):
            # of contrast about the photograph's mean grey, of brightness about black
            about = (
                0.0 if which == 0 else float((np.array([0.299, 0.587, 0.114]) @ pixels.reshape(3, -1)).mean())
            )
            pixels = np.clip(about + factors[which] * (pixels - about), 0, 1)
    return np.ascontiguousarray(pixels, dtype=np.float32)
