"""Conditions other than diabetic retinopathy that a rendered eye may have."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from .anatomy import Anatomy, Traits
from .camera import Camera
from .canvas import Canvas
from .lesions import Plan
from .light import BLOOD, blend, brighten, stain

__all__ = ["CONDITIONS", "change_camera", "change_plan", "change_traits", "paint_condition"]

# Those that the dictionary describes and this renderer can draw; "drusen" and "glaucoma" become
# categories through the findings.
CONDITIONS = (
    "drusen", "glaucoma", "media haze", "tessellation", "pathologic myopia", "optic disc pallor",
    "branch retinal vein occlusion", "asteroid hyalosis", "macular hole", "central serous retinopathy",
    "epiretinal membrane", "retinitis pigmentosa", "laser scar",
)  # fmt: skip


def change_traits(rng: np.random.Generator, name: str, traits: Traits) -> Traits:
    """The traits of an eye with the condition `name`."""
    if name == "glaucoma":
        return replace(traits, cup_to_disc=float(rng.uniform(0.7, 0.92)))
    if name in ("tessellation", "pathologic myopia"):
        return replace(traits, choroid=float(rng.uniform(0.7, 1.3)))
    return traits


def change_plan(rng: np.random.Generator, name: str, plan: Plan) -> None:
    """Add the condition's lesions to a plan."""
    if name == "drusen":
        plan.drusen = int(rng.integers(10, 90))
        plan.drusen_size = float(rng.uniform(0.006, 0.022))
    elif name == "laser scar":
        plan.laser = True
    elif name == "branch retinal vein occlusion":
        plan.haemorrhages[int(rng.integers(4))] += int(rng.integers(20, 60))
        plan.flame_share = 0.8
        plan.cotton_wool += int(rng.integers(0, 4))


def change_camera(rng: np.random.Generator, name: str, camera: Camera) -> Camera:
    """The picture through hazy media."""
    if name != "media haze":
        return camera
    return replace(
        camera, haze=float(rng.uniform(0.4, 0.75)), blur=camera.blur + float(rng.uniform(0.8, 3.0))
    )


def paint_condition(
    rng: np.random.Generator, name: str, canvas: Canvas, eye: Anatomy, scene: np.ndarray
) -> None:
    """Paint what is neither a lesion of `lesions` nor anatomy, in place."""
    painter = _PAINTERS.get(name)
    if painter:
        painter(rng, canvas, eye, scene)


def _pallor(rng: np.random.Generator, canvas: Canvas, eye: Anatomy, scene: np.ndarray) -> None:
    alpha = np.clip((1.1 - np.sqrt(canvas.distance(eye.disc, eye.disc_axes))) / 0.2, 0, 1) * rng.uniform(
        0.6, 0.9
    )
    blend(scene, alpha, (0.95, 0.92, 0.8))


def _asteroid(rng: np.random.Generator, canvas: Canvas, eye: Anatomy, scene: np.ndarray) -> None:
    layer = canvas.layer()
    centre, spread = rng.uniform(-0.4, 0.4, 2), rng.uniform(0.2, 0.45)
    for _ in range(int(rng.integers(40, 220))):
        canvas.disk(
            layer, centre + spread * rng.standard_normal(2), rng.uniform(0.004, 0.016), rng.uniform(0.4, 1.0)
        )
    cover = cv2.GaussianBlur(canvas.flatten(layer), (0, 0), rng.uniform(0.5, 2.0))
    blend(scene, cover, (1.0, 0.95, 0.75))


def _hole(rng: np.random.Generator, canvas: Canvas, eye: Anatomy, scene: np.ndarray) -> None:
    radius = rng.uniform(0.03, 0.08)
    away = np.sqrt(canvas.distance(eye.fovea, (radius, radius)))
    stain(scene, np.clip((1.05 - away) / 0.15, 0, 1) * rng.uniform(0.5, 1.0), BLOOD)
    cuff = np.exp(-(((away - 1.5) / 0.4) ** 2)) * rng.uniform(0.1, 0.3)
    brighten(scene, cuff, (1.0, 1.0, 1.0))


def _serous(rng: np.random.Generator, canvas: Canvas, eye: Anatomy, scene: np.ndarray) -> None:
    radius = rng.uniform(0.12, 0.28)
    away = np.sqrt(
        canvas.distance(eye.fovea + 0.05 * rng.standard_normal(2), (radius, radius * rng.uniform(0.8, 1.2)))
    )
    stain(scene, np.clip((1.0 - away) / 0.2, 0, 1) * rng.uniform(0.25, 0.5), (0.6, 1.0, 0.6))
    brighten(scene, np.exp(-(((away - 1.0) / 0.08) ** 2)) * rng.uniform(0.15, 0.4), (1.0, 1.0, 1.0))


def _membrane(rng: np.random.Generator, canvas: Canvas, eye: Anatomy, scene: np.ndarray) -> None:
    radius = rng.uniform(0.25, 0.5)
    away = canvas.distance(eye.fovea + 0.1 * rng.standard_normal(2), (radius, radius * rng.uniform(0.6, 1.2)))
    layer = canvas.layer()
    angle = rng.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    for _ in range(int(rng.integers(10, 30))):
        start = eye.fovea + 0.6 * radius * rng.standard_normal(2)
        canvas.line(layer, start + np.linspace(-0.12, 0.12, 5)[:, None] * along, 0.006, rng.uniform(0.3, 1.0))
    veil = 0.35 * cv2.exp(-away * away) + 0.35 * cv2.GaussianBlur(canvas.flatten(layer), (0, 0), 1.0)
    blend(scene, veil * rng.uniform(0.5, 1.0), (0.6, 0.62, 0.55))


def _pigmentosa(rng: np.random.Generator, canvas: Canvas, eye: Anatomy, scene: np.ndarray) -> None:
    away = np.sqrt(canvas.distance(eye.fovea))
    ring = np.clip((away - rng.uniform(0.4, 0.6)) / 0.3, 0, 1) * rng.uniform(0.3, 0.6)
    blend(scene, ring, (0.4, 0.33, 0.22))
    layer = canvas.layer()
    for _ in range(int(rng.integers(40, 140))):
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.55, 1.05)
        at = eye.fovea + radius * np.array([np.cos(angle), np.sin(angle)])
        for heading in rng.uniform(0, np.pi, 3):
            arm = rng.uniform(0.01, 0.045) * np.array([np.cos(heading), np.sin(heading)])
            canvas.line(layer, np.stack([at - arm, at + arm]), 0.008, 1.0)
    stain(scene, 1.8 * canvas.flatten(layer), (1.0, 0.9, 0.8))


def _myopia(rng: np.random.Generator, canvas: Canvas, eye: Anatomy, scene: np.ndarray) -> None:
    for _ in range(int(rng.integers(0, 4))):
        at = eye.fovea + 0.3 * rng.standard_normal(2)
        away = canvas.distance(at, (rng.uniform(0.06, 0.25), rng.uniform(0.06, 0.25)), rng.uniform(0, 3))
        alpha = np.clip(1.2 - away - 0.3 * canvas.clouds(rng, 20), 0, 1) * rng.uniform(0.3, 0.7)
        blend(scene, alpha, (0.85, 0.7, 0.45))


_PAINTERS = {
    "optic disc pallor": _pallor,
    "asteroid hyalosis": _asteroid,
    "macular hole": _hole,
    "central serous retinopathy": _serous,
    "epiretinal membrane": _membrane,
    "retinitis pigmentosa": _pigmentosa,
    "pathologic myopia": _myopia,
}
