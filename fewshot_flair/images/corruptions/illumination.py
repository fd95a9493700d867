"""Uneven and weak light: a pupil that is missed by some of the flash."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewshot_flair.images.corruptions.base import CORRUPTIONS, Corruption, Pixels, View, shown


@CORRUPTIONS.register
@dataclass(frozen=True)
class Illumination(Corruption):
    """Light falls off to one side, drawn at random, and towards the edge."""

    name = "illumination"
    summary = "light that falls off to one side and the edge"
    steps = (0.2, 0.35, 0.5, 0.65, 0.8)
    """Share of the light that the dark side of the field lacks."""

    def spoil(self, rgb: Pixels, view: View, amount: float, rng: np.random.Generator) -> Pixels:
        """Multiply linear light (levels to the power 2.2), so that black stays black."""
        angle = rng.uniform(0, 2 * np.pi)
        across = np.cos(angle) * view.x[None, :] + np.sin(angle) * view.y[:, None]
        light = (1 - amount * np.clip((1 + across) / 2, 0, 1)) * (
            1 - 0.5 * amount * np.clip(view.squared, 0, 1)
        )
        return shown(rgb * (light.astype(np.float32) ** np.float32(1 / 2.2))[..., None])
