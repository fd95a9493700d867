"""Lesions painted onto a fundus, and where each kind lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from .canvas import Canvas
from .lesions import Mark
from .light import BLOOD, blend, stain

__all__ = ["LESION_MAPS", "paint_lesions"]

LESION_MAPS = ("microaneurysms", "haemorrhages", "exudates", "cotton wool spots", "new vessels", "drusen")
"""The kinds of lesion that have a map of their own, in the order of the maps."""
_MAP_OF = {
    "microaneurysm": 0, "dot": 1, "blot": 1, "flame": 1, "exudate": 2, "cotton_wool": 3, "irma": 4,
    "new_vessels": 4, "preretinal": 4, "fibrous": 4, "drusen": 5,
}  # fmt: skip


def paint_lesions(
    rng: np.random.Generator, canvas: Canvas, marks: list[Mark], scene: np.ndarray
) -> np.ndarray:
    """Paint every mark onto the scene, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every draw.
    canvas : Canvas
        Where to.
    marks : list of Mark
        Lesions, in the order of `lesions.place`.
    scene : ndarray of shape [3, H, W], float32
        Linear RGB, changed in place.

    Returns
    -------
    ndarray of shape [len(LESION_MAPS), H, W], uint8
        255 where a lesion of that kind was painted.
    """
    maps = np.zeros((len(LESION_MAPS), canvas.height, canvas.width), np.uint8)
    by_kind: dict[str, list[Mark]] = {}
    for mark in marks:
        by_kind.setdefault(mark.kind, []).append(mark)
    for kinds, paint in _PAINTERS:
        chosen = [m for k in kinds for m in by_kind.get(k, ())]
        if not chosen:
            continue
        # One generator for the shapes and one for the paint, so that a further lesion changes no other's colour.
        shapes, colours = (np.random.default_rng(int(seed)) for seed in rng.integers(2**62, size=2))
        layer = canvas.layer()
        for mark in chosen:
            _SHAPES[mark.kind](shapes, canvas, layer, mark)
        paint(colours, canvas, scene, canvas.flatten(layer))
        for kind in kinds:
            _note(canvas, maps, by_kind.get(kind, ()))
    return maps


def _note(canvas: Canvas, maps: np.ndarray, marks: Sequence[Mark]) -> None:
    for mark in marks:
        if mark.kind in _MAP_OF:
            x, y = canvas.pixels(mark.at[None])[0]
            radius = max(1, round(mark.size * canvas.scale))
            cv2.circle(maps[_MAP_OF[mark.kind]], (round(x), round(y)), radius, 255, -1)


def _blob(rough: float) -> Callable[..., None]:
    def shape(rng: np.random.Generator, canvas: Canvas, layer: np.ndarray, mark: Mark) -> None:
        canvas.blob(rng, layer, mark.at, mark.size, mark.strength, rough)

    return shape


def _small(rng: np.random.Generator, canvas: Canvas, layer: np.ndarray, mark: Mark) -> None:
    if mark.size * canvas.scale < 2.0:
        canvas.disk(layer, mark.at, mark.size, mark.strength)
    else:
        canvas.blob(rng, layer, mark.at, mark.size, mark.strength, 0.12)


def _flame(rng: np.random.Generator, canvas: Canvas, layer: np.ndarray, mark: Mark) -> None:
    along = np.array([np.cos(mark.angle), np.sin(mark.angle)])
    across = np.array([-along[1], along[0]])
    t = np.linspace(-1, 1, 5)[:, None]
    for _ in range(int(rng.integers(4, 9))):
        shift = mark.size * (0.15 * rng.standard_normal() * across + 0.3 * rng.standard_normal() * along)
        points = mark.at + shift + mark.size * rng.uniform(0.4, 1.0) * (t * along + 0.1 * t**2 * across)
        canvas.line(layer, points, mark.size * rng.uniform(0.08, 0.22), mark.strength * rng.uniform(0.6, 1.0))


def _tangle(rng: np.random.Generator, canvas: Canvas, layer: np.ndarray, mark: Mark) -> None:
    for _ in range(int(rng.integers(7, 16))):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(rng.uniform(-0.35, 0.35), 0.45, 18))
        stride = mark.size * rng.uniform(0.07, 0.16)
        points = mark.at + np.cumsum(stride * np.stack([np.cos(heading), np.sin(heading)], 1), 0)
        canvas.line(layer, points, rng.uniform(0.004, 0.010), mark.strength)


def _irma(rng: np.random.Generator, canvas: Canvas, layer: np.ndarray, mark: Mark) -> None:
    for _ in range(int(rng.integers(2, 5))):
        heading = mark.angle + rng.normal(0, 0.5) + np.cumsum(rng.normal(0, 0.9, 14))
        stride = mark.size * rng.uniform(0.10, 0.2)
        start = mark.at + 0.3 * mark.size * rng.standard_normal(2)
        points = start + np.cumsum(stride * np.stack([np.cos(heading), np.sin(heading)], 1), 0)
        canvas.line(layer, points, rng.uniform(0.005, 0.011), 0.8 * mark.strength)


def _boat(rng: np.random.Generator, canvas: Canvas, layer: np.ndarray, mark: Mark) -> None:
    angle = np.linspace(0, np.pi, 16)
    depth = rng.uniform(0.35, 1.1)
    rim = np.stack([np.cos(angle), depth * np.sin(angle) ** 0.7], 1) * (
        1 + 0.08 * rng.standard_normal((16, 1))
    )
    cos, sin = np.cos(mark.angle), np.sin(mark.angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    if rng.random() < 0.6:
        canvas.polygon(layer, mark.at + mark.size * rim @ turn, mark.strength)
    for _ in range(int(rng.integers(0, 6))):
        at = mark.at + 0.7 * mark.size * rng.standard_normal(2)
        canvas.blob(rng, layer, at, mark.size * rng.uniform(0.1, 0.6), mark.strength, 0.3)


def _band(rng: np.random.Generator, canvas: Canvas, layer: np.ndarray, mark: Mark) -> None:
    for _ in range(int(rng.integers(2, 6))):
        heading = mark.angle + rng.normal(0, 0.5) + np.cumsum(rng.normal(0, 0.15, 12))
        points = mark.at + np.cumsum(mark.size / 10 * np.stack([np.cos(heading), np.sin(heading)], 1), 0)
        canvas.line(layer, points, mark.size * rng.uniform(0.03, 0.16), mark.strength * rng.uniform(0.5, 1.0))


def _fluff(rng: np.random.Generator, canvas: Canvas, layer: np.ndarray, mark: Mark) -> None:
    along = np.array([np.cos(mark.angle), np.sin(mark.angle)])
    for _ in range(4):
        at = (
            mark.at
            + 0.45 * mark.size * rng.standard_normal() * along
            + 0.15 * mark.size * rng.standard_normal(2)
        )
        canvas.blob(rng, layer, at, 0.6 * mark.size, mark.strength * rng.uniform(0.7, 1.0), 0.2)


def _scar(rng: np.random.Generator, canvas: Canvas, layer: np.ndarray, mark: Mark) -> None:
    canvas.blob(rng, layer, mark.at, mark.size, mark.strength, 0.12)
    if mark.angle > 0.4:
        canvas.blob(rng, layer, mark.at, 0.5 * mark.size, 0.15, 0.3)


_SHAPES = {
    "microaneurysm": _small, "dot": _small, "blot": _blob(0.22), "flame": _flame, "exudate": _small,
    "cotton_wool": _fluff, "irma": _irma, "new_vessels": _tangle, "preretinal": _boat, "fibrous": _band,
    "drusen": _small, "laser": _scar,
}  # fmt: skip


def _absorb(density: tuple[float, float], blur: tuple[float, float]) -> Callable[..., None]:
    def paint(rng: np.random.Generator, canvas: Canvas, scene: np.ndarray, cover: np.ndarray) -> None:
        sigma = rng.uniform(*blur) * canvas.scale
        if sigma > 0.3:
            cover = cv2.GaussianBlur(cover, (0, 0), sigma)
        stain(scene, cover * rng.uniform(*density), BLOOD * rng.uniform([0.7, 0.9, 0.8], [1.3, 1.1, 1.2]))

    return paint


def _shine(
    low: Sequence[float], high: Sequence[float], alpha: tuple[float, float], blur: tuple[float, float]
) -> Callable[..., None]:
    def paint(rng: np.random.Generator, canvas: Canvas, scene: np.ndarray, cover: np.ndarray) -> None:
        sigma = rng.uniform(*blur) * canvas.scale
        if sigma > 0.3:
            cover = cv2.GaussianBlur(cover, (0, 0), sigma)
        # Reflecting material is lit by the same light as the fundus around it.
        lit = 0.35 + 0.65 * min(1.4, float(scene[0].mean()) / 0.45)
        blend(scene, cover * rng.uniform(*alpha), lit * rng.uniform(low, high))

    return paint


_PAINTERS = (
    (("drusen",), _shine([0.75, 0.5, 0.15], [0.95, 0.75, 0.35], (0.3, 0.7), (0.002, 0.008))),
    (("laser",), _shine([0.6, 0.45, 0.2], [0.9, 0.75, 0.5], (0.4, 0.9), (0.002, 0.008))),
    (("irma",), _absorb((0.6, 1.2), (0.001, 0.004))),
    (("exudate",), _shine([0.85, 0.5, 0.05], [1.0, 0.78, 0.35], (0.45, 1.0), (0.0005, 0.005))),
    (("dot", "blot", "flame"), _absorb((0.6, 1.6), (0.001, 0.007))),
    (("microaneurysm",), _absorb((0.8, 1.8), (0.0005, 0.003))),
    (("cotton_wool",), _shine([0.75, 0.5, 0.2], [0.95, 0.75, 0.5], (0.35, 0.85), (0.008, 0.022))),
    (("fibrous",), _shine([0.6, 0.5, 0.2], [0.95, 0.85, 0.6], (0.4, 0.8), (0.01, 0.04))),
    (("new_vessels",), _absorb((0.9, 1.7), (0.0005, 0.003))),
    (("preretinal",), _absorb((1.8, 4.0), (0.002, 0.012))),
)
