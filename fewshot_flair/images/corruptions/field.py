"""A smaller field: a camera that sees less of the retina, or an image cut to its middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewshot_flair.images.corruptions.base import CORRUPTIONS, Corruption, Pixels, View


@CORRUPTIONS.register
@dataclass(frozen=True)
class SmallField(Corruption):
    """Only a circle in the middle stays; the rest is black, and cropping to the fundus magnifies what is left."""

    name = "field"
    summary = "a smaller field of view, which is magnified by the crop"
    steps = (0.9, 0.8, 0.7, 0.6, 0.5)
    """Radius of what stays, in radii of the field."""

    def spoil(self, rgb: Pixels, view: View, amount: float, rng: np.random.Generator) -> Pixels:
        """Blacken what lies outside."""
        return np.where((view.squared <= amount**2)[..., None], rgb, 0).astype(np.uint8)
