"""A colour cast: another camera's balance of red, green and blue, and its saturation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewshot_flair.images.corruptions.base import CORRUPTIONS, Corruption, Pixels, View, shown


@CORRUPTIONS.register
@dataclass(frozen=True)
class Colour(Corruption):
    """Gains of red, green and blue, each up or down by the same factor, not all alike, and less saturation."""

    name = "colour"
    summary = "a cast of red, green or blue, and paler colours"
    steps = (0.08, 0.16, 0.24, 0.34, 0.45)
    """Logarithm of the factor; so much of the colour turns grey, too."""

    def spoil(self, rgb: Pixels, view: View, amount: float, rng: np.random.Generator) -> Pixels:
        """Multiply each channel, after mixing it with grey."""
        odd = rng.integers(3)  # the channel that goes the other way
        signs = np.where(np.arange(3) == odd, 1, -1) * rng.choice([-1, 1])
        grey = rgb.mean(axis=2, keepdims=True, dtype=np.float32)
        mixed = (1 - amount) * rgb + amount * grey
        return shown(mixed * np.exp(amount * signs).astype(np.float32))
