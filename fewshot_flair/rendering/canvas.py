"""Drawing in radii of the field of view onto layers of twice the picture's resolution."""

from __future__ import annotations

import cv2
import numpy as np

from .camera import Camera

__all__ = ["Canvas"]

_FINE = 2  # layers are drawn this much finer than the picture, then averaged
_SHIFT = 4  # fractional bits of OpenCV's integer coordinates


class Canvas:
    """Maps an eye's coordinates to pixels of the field of view, and draws there.

    Parameters
    ----------
    camera : Camera
        Diameter, cut, zoom, gaze and roll.
    """

    def __init__(self, camera: Camera):
        self.radius = camera.diameter / 2
        self.width = camera.diameter
        self.height = int(camera.diameter * camera.cut)
        self.centre = (self.width / 2, self.height / 2)
        self.scale = self.radius * camera.zoom
        cos, sin = np.cos(camera.roll), np.sin(camera.roll)
        self._turn = self.scale * np.array([[cos, -sin], [sin, cos]])
        self._gaze = np.array(camera.gaze)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixel coordinates [n, 2] of points [n, 2] given in radii."""
        return (points - self._gaze) @ self._turn.T + self.centre

    def layer(self) -> np.ndarray:
        """An empty layer, uint8."""
        return np.zeros((_FINE * self.height, _FINE * self.width), np.uint8)

    def flatten(self, layer: np.ndarray) -> np.ndarray:
        """The layer at the picture's resolution, float32 in [0, 1]."""
        small = cv2.resize(layer, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) * np.float32(1 / 255)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        return np.round(self.pixels(points) * (_FINE << _SHIFT)).astype(np.int32)

    def line(self, layer: np.ndarray, points: np.ndarray, width: float, level: float) -> None:
        """A line of `width` radii; thinner ones than a fine pixel are drawn fainter instead."""
        thickness = width * self.scale * _FINE
        fade = min(1.0, thickness)
        colour = int(255 * level * fade)
        wide = max(1, round(thickness))
        cv2.polylines(layer, [self._fixed(points)[:, None]], False, colour, wide, cv2.LINE_AA, _SHIFT)

    def tapered(
        self, layer: np.ndarray, points: np.ndarray, widths: np.ndarray, level: float, step: int
    ) -> None:
        """A line whose width, in radii, changes along it in pieces of `step` points."""
        fixed = self._fixed(points)[:, None]
        for i in range(0, len(widths) - 1, step):
            thickness = float(widths[i]) * self.scale * _FINE
            colour = int(255 * level * min(1.0, thickness))
            piece = fixed[i : i + step + 1]
            cv2.polylines(layer, [piece], False, colour, max(1, round(thickness)), cv2.LINE_AA, _SHIFT)

    def disk(self, layer: np.ndarray, at: np.ndarray, radius: float, level: float) -> None:
        """A filled circle."""
        x, y = self._fixed(at[None])[0]
        size = radius * self.scale * (_FINE << _SHIFT)
        fade = min(1.0, size / (1 << _SHIFT))
        cv2.circle(
            layer, (int(x), int(y)), max(1, int(size)), int(255 * level * fade), -1, cv2.LINE_AA, _SHIFT
        )

    def polygon(self, layer: np.ndarray, points: np.ndarray, level: float) -> None:
        """A filled polygon."""
        cv2.fillPoly(layer, [self._fixed(points)[:, None]], int(255 * level), cv2.LINE_AA, _SHIFT)

    def blob(
        self,
        rng: np.random.Generator,
        layer: np.ndarray,
        at: np.ndarray,
        radius: float,
        level: float,
        rough: float,
    ) -> None:
        """A filled, uneven shape of about `radius`; `rough` 0 is a circle."""
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        phase, size = rng.uniform(0, 2 * np.pi, 4), rng.normal(0, rough, 4) / np.arange(1, 5) ** 0.5
        rim = 1.0 + np.cos(np.arange(1, 5)[None, :] * angle[:, None] + phase) @ size
        rim = radius * np.clip(rim, 0.3, 2.0)
        self.polygon(layer, at + rim[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), level)

    def distance(
        self, at: np.ndarray, axes: tuple[float, float] = (1.0, 1.0), roll: float = 0.0
    ) -> np.ndarray:
        """Squared elliptic distance [H, W] of every pixel from a point, in units of `axes` (radii)."""
        cx, cy = self.pixels(np.asarray(at)[None])[0]
        x = (np.arange(self.width, dtype=np.float32) - np.float32(cx))[None, :]
        y = (np.arange(self.height, dtype=np.float32) - np.float32(cy))[:, None]
        ax, ay = (np.float32(a * self.scale) for a in axes)
        if roll == 0.0:
            return (x / ax) ** 2 + (y / ay) ** 2
        cos, sin = np.float32(np.cos(roll)), np.float32(np.sin(roll))
        return ((cos * x + sin * y) / ax) ** 2 + ((cos * y - sin * x) / ay) ** 2

    def window(self, at: np.ndarray, radius: float) -> tuple[slice, slice]:
        """Rows and columns within `radius` of a point, cut at the picture's edge."""
        x, y = self.pixels(np.asarray(at)[None])[0]
        reach = radius * self.scale
        rows = slice(max(0, int(y - reach)), max(0, min(self.height, int(y + reach))))
        return rows, slice(max(0, int(x - reach)), max(0, min(self.width, int(x + reach))))

    def clouds(self, rng: np.random.Generator, cells: int) -> np.ndarray:
        """Smooth noise [H, W] of unit variance with about `cells` waves across the field."""
        coarse = rng.standard_normal(
            (max(4, int(cells * self.height / self.width) + 3), cells + 3), np.float32
        )
        return cv2.resize(coarse, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
