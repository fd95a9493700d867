"""The fundus before lesions: pigment, choroid, nerve fibres, macula, disc and vessels, in linear RGB."""

from __future__ import annotations

import cv2
import numpy as np

from .anatomy import Anatomy
from .canvas import Canvas
from .lesions import Plan
from .light import BLOOD, blend, brighten, stain
from .vessels import Vessel

__all__ = ["draw_vessels", "paint_fundus"]


def paint_fundus(
    rng: np.random.Generator, canvas: Canvas, eye: Anatomy, *, crescent: float = 0.0
) -> np.ndarray:
    """Paint the eye without its vessels.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every draw.
    canvas : Canvas
        Where to.
    eye : Anatomy
        What.
    crescent : float
        Width of peripapillary atrophy, in disc radii.

    Returns
    -------
    ndarray of shape [3, H, W], float32
        Linear RGB.
    """
    traits = eye.traits
    scene = np.empty((3, canvas.height, canvas.width), np.float32)
    scene[:] = np.array(traits.colour, np.float32)[:, None, None]
    grain = 0.10 * canvas.clouds(rng, 4) + traits.texture * (
        0.5 * canvas.clouds(rng, 24) + 0.7 * canvas.clouds(rng, 70) + 0.5 * canvas.clouds(rng, 160)
    )
    if traits.choroid > 0.05:
        grain += traits.choroid * _choroid(rng, canvas, eye)
    stain(scene, _macula(rng, canvas, eye) - grain, (0.6, 1.0, 0.95))
    if rng.random() < 0.3:
        blend(
            scene,
            rng.uniform(0.05, 0.3) * cv2.exp(-canvas.distance(eye.fovea, (0.012, 0.012))),
            (1.0, 0.9, 0.7),
        )
    if traits.sheen > 0.05:
        glow = canvas.distance(eye.disc, (0.45, 0.75)) + 0.7 * np.abs(canvas.clouds(rng, 9))
        brighten(scene, traits.sheen * cv2.exp(-glow), (0.7, 1.0, 1.1))
    _disc(rng, canvas, eye, scene, crescent)
    return scene


def _choroid(rng: np.random.Generator, canvas: Canvas, eye: Anatomy) -> np.ndarray:
    """Contrast of choroidal vessels: pale broad strands, plainest away from the macula."""
    layer = canvas.layer()
    root = eye.disc * [-0.2, 1.0]
    for _ in range(110):
        angle = rng.uniform(0, 2 * np.pi)
        start = root + rng.uniform(0.1, 1.1) * np.array([np.cos(angle), np.sin(angle)])
        heading = angle + rng.normal(0, 0.6) + np.cumsum(rng.normal(0, 0.25, 10))
        points = start + np.cumsum(0.05 * np.stack([np.cos(heading), np.sin(heading)], 1), 0)
        canvas.line(layer, points, rng.uniform(0.008, 0.03), rng.uniform(0.4, 1.0))
    strands = cv2.GaussianBlur(canvas.flatten(layer), (0, 0), 0.008 * canvas.scale) - 0.35
    return strands * np.clip(canvas.distance(eye.fovea, (0.9, 0.9)), 0.05, 1.0)


def _macula(rng: np.random.Generator, canvas: Canvas, eye: Anatomy) -> np.ndarray:
    """Density of the macular pigment: a wide shade and a dark fovea."""
    wide, narrow = rng.uniform(0.18, 0.38), rng.uniform(0.05, 0.10)
    far = canvas.distance(eye.fovea, (wide, 0.9 * wide))
    shade = rng.uniform(0.1, 0.45) * cv2.exp(-far)
    shade += rng.uniform(0.1, 0.6) * cv2.exp(-far * np.float32((wide / narrow) ** 2))
    return shade


def _disc(rng: np.random.Generator, canvas: Canvas, eye: Anatomy, scene: np.ndarray, crescent: float) -> None:
    axes = eye.disc_axes
    roll = rng.uniform(-0.3, 0.3)
    rows, columns = canvas.window(eye.disc, 2.4 * axes[1])
    part = scene[:, rows, columns]
    if not part.size:
        return
    away = np.sqrt(canvas.distance(eye.disc, axes, roll)[rows, columns])
    if crescent > 0.05:
        shifted = eye.disc - [eye.side * 0.5 * crescent * axes[0], 0.0]
        wider = (axes[0] * (1 + crescent), axes[1] * (1 + 0.5 * crescent))
        pale = np.sqrt(canvas.distance(shifted, wider)[rows, columns])
        blend(part, rng.uniform(0.3, 0.8) * np.clip((1.05 - pale) / 0.15, 0, 1), (0.75, 0.45, 0.15))
    rim = np.array([0.85, rng.uniform(0.25, 0.5), rng.uniform(0.04, 0.16)])
    cup = np.array([0.95, rng.uniform(0.6, 0.85), rng.uniform(0.2, 0.5)])
    brightness = rng.uniform(0.75, 1.2) * (0.4 + 0.6 * eye.traits.colour[0] / 0.5)
    edge = rng.uniform(0.08, 0.25)
    alpha = np.clip((1.0 + edge / 2 - away) / edge, 0, 1) * rng.uniform(0.75, 1.0)
    ratio = max(0.12, eye.traits.cup_to_disc)
    at = eye.disc - [eye.side * 0.1 * axes[0], 0.0]
    inside = np.sqrt(canvas.distance(at, (axes[0] * ratio, axes[1] * ratio), roll)[rows, columns])
    hollow = np.clip((1.15 - inside) / rng.uniform(0.25, 0.6), 0, 1)
    blend(part, alpha * (1.0 - 0.999 * hollow), brightness * rim)
    blend(part, alpha * hollow, brightness * cup)


def draw_vessels(
    rng: np.random.Generator, canvas: Canvas, eye: Anatomy, plan: Plan, scene: np.ndarray
) -> None:
    """Darken the scene by its vessels; veins of the plan's quadrants are beaded."""
    layers = {True: canvas.layer(), False: canvas.layer()}
    shine = canvas.layer()
    for vessel in sorted(eye.vessels, key=lambda v: v.widths[0]):
        layer = layers[vessel.vein]
        level = min(1.0, 0.4 + vessel.widths[0] / 0.03)
        beaded = vessel.vein and vessel.order < 2 and any(plan.beading)
        widths = vessel.widths * _beads(rng, eye, plan, vessel) if beaded else vessel.widths
        canvas.tapered(layer, vessel.points, widths, level, 2 if beaded else 7)
        if vessel.order == 0 and not vessel.vein:
            canvas.line(shine, vessel.points, 0.25 * float(vessel.widths[0]), 0.8)
    contrast = eye.traits.vessel_contrast
    density = np.maximum(
        contrast * canvas.flatten(layers[True]), 0.72 * contrast * canvas.flatten(layers[False])
    )
    density -= 0.35 * contrast * canvas.flatten(shine)
    stain(scene, density, BLOOD)


def _beads(rng: np.random.Generator, eye: Anatomy, plan: Plan, vessel: Vessel) -> np.ndarray:
    """Relative calibre along a vein: 1, and in beaded quadrants a chain of swellings."""
    beaded = np.array([plan.beading[eye.quadrant(p)] for p in vessel.points])
    waves = np.sin(np.arange(len(vessel.points)) * rng.uniform(0.9, 1.5) + rng.uniform(0, 6.3))
    return np.where(beaded, 1.15 + rng.uniform(0.3, 0.6) * waves, 1.0)
