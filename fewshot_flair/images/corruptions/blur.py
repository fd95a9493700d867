"""Blur: out of focus, a cataract, an eye that moved."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fewshot_flair.images.corruptions.base import CORRUPTIONS, Corruption, Pixels, View


@CORRUPTIONS.register
@dataclass(frozen=True)
class Blur(Corruption):
    """A Gaussian of a share of the field's diameter, so that photographs of any size lose the same."""

    name = "blur"
    summary = "a Gaussian blur"
    steps = (0.002, 0.004, 0.006, 0.009, 0.013)
    """Standard deviation over the field's diameter; a microaneurysm takes about 0.01 of it."""

    def spoil(self, rgb: Pixels, view: View, amount: float, rng: np.random.Generator) -> Pixels:
        """Blur all of it."""
        return np.asarray(cv2.GaussianBlur(rgb, (0, 0), max(0.3, amount * 2 * view.radius)), dtype=np.uint8)
