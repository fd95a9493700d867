"""Artefacts: reflexes, dust on the lens, and a bright rim where the iris was in the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.images.corruptions.base import CORRUPTIONS, Corruption, Pixels, View, shown


@CORRUPTIONS.register
@dataclass(frozen=True)
class Artefacts(Corruption):
    """Bright reflexes and a crescent at the rim, dark and bright dust; nothing outside the field."""

    name = "artefacts"
    summary = "reflexes, dust, and a bright crescent at the rim"
    steps = (0.2, 0.35, 0.5, 0.65, 0.8)
    """How far a reflex goes towards white; there are 5 to 20 specks of dust and 1 to 4 reflexes."""

    def spoil(self, rgb: Pixels, view: View, amount: float, rng: np.random.Generator) -> Pixels:
        """Blend towards a colour, by Gaussian spots."""
        picture = rgb.astype(np.float32)
        squared = view.squared
        inside = (squared < 1) & (rgb.max(axis=2) > 8)
        for _ in range(round(25 * amount)):
            place, size = rng.uniform(-0.7, 0.7, 2), rng.uniform(0.006, 0.02)
            _blend(picture, 0.8 * _spot(view, place, (size, size)) * inside, rng.uniform(10, 200))
        for _ in range(round(5 * amount)):
            spot = _spot(view, rng.uniform(-0.6, 0.6, 2), rng.uniform(0.05, 0.2, 2))
            _blend(picture, amount * spot * inside, 240)
        angle = rng.uniform(0, 2 * np.pi)
        across = np.clip(np.cos(angle) * view.x[None, :] + np.sin(angle) * view.y[:, None], 0, None)
        _blend(picture, amount * across**2 * np.clip((squared - 0.6) / 0.4, 0, 1) * inside, 220)
        return shown(picture)


def _spot(view: View, place: NDArray[np.float64], size: NDArray[np.float64] | tuple[float, float]) -> NDArray:
    down = np.exp(-(((view.y - place[1]) / size[1]) ** 2))
    return down[:, None] * np.exp(-(((view.x - place[0]) / size[0]) ** 2))[None, :]


def _blend(picture: NDArray[np.float32], share: NDArray, level: float) -> None:
    picture += share[..., None].astype(np.float32) * (np.float32(level) - picture)
