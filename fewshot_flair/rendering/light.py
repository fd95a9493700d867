"""Light on a scene: absorbed by pigments, reflected, mixed in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

__all__ = ["BLOOD", "blend", "brighten", "stain"]

BLOOD = (0.33, 1.0, 0.9)  # optical density of blood in red, green and blue, relative to green


def stain(scene: np.ndarray, density: np.ndarray, absorbance: Sequence[float] | np.ndarray) -> None:
    """Darken a scene [3, H, W] in place: Beer-Lambert absorption by `density` [H, W] of a pigment."""
    for plane, strength in zip(scene, absorbance, strict=True):
        plane *= cv2.exp(density * np.float32(-strength))


def brighten(scene: np.ndarray, gain: np.ndarray, colour: Sequence[float] | np.ndarray) -> None:
    """Multiply a scene [3, H, W] in place by 1 + `gain` [H, W] x `colour`."""
    for plane, strength in zip(scene, colour, strict=True):
        plane *= 1.0 + gain * np.float32(strength)


def blend(scene: np.ndarray, alpha: np.ndarray, colour: Sequence[float] | np.ndarray) -> None:
    """Mix `colour` into a scene [3, H, W] in place, `alpha` [H, W] of it."""
    alpha = alpha.astype(np.float32, copy=False)
    for plane, level in zip(scene, colour, strict=True):
        plane += alpha * (np.float32(level) - plane)
