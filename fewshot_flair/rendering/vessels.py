"""Branching retinal vessels: four arcades of arteries and veins that arch around the macula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Vessel", "grow_tree"]

_STEP = 0.03  # radii of the field between two points of a branch
_TRUNK = 0.026  # width of an average large vein, in radii, as measured on 45-degree photographs


@dataclass(frozen=True)
class Vessel:
    """A branch: points [n, 2] and widths [n] in radii of the field, its kind, and its order (0 = trunk)."""

    points: np.ndarray
    widths: np.ndarray
    vein: bool
    order: int


def grow_tree(
    rng: np.random.Generator,
    disc: np.ndarray,
    fovea: np.ndarray,
    *,
    width: float,
    tortuosity: float,
    artery_ratio: float,
) -> list[Vessel]:
    """Grow arteries and veins of a right eye.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every draw.
    disc, fovea : ndarray of shape (2,)
        Centres, in radii of the field.
    width, tortuosity : float
        Relative to the average.
    artery_ratio : float
        Calibre of arteries relative to veins.

    Returns
    -------
    list of Vessel
        Every branch, trunks first.
    """
    branches: list[Vessel] = []
    for vein in (True, False):
        calibre = _TRUNK * width * (1.0 if vein else artery_ratio)
        reach = rng.uniform(0.42, 0.62)
        for vertical in (-1.0, 1.0):
            height = reach * rng.uniform(0.9, 1.1)
            # Artery and vein of an arcade run side by side: the vein a little further from the fovea.
            height += 0.05 if vein else -0.02
            branches += _arcade(rng, disc, fovea, vertical, height, calibre, vein, tortuosity)
            branches += _nasal(rng, disc, vertical, 0.8 * calibre, vein, tortuosity)
    branches += _macular(rng, disc, fovea, 0.3 * _TRUNK * width)
    return branches


def _arcade(
    rng: np.random.Generator,
    disc: np.ndarray,
    fovea: np.ndarray,
    vertical: float,
    height: float,
    calibre: float,
    vein: bool,
    tortuosity: float,
) -> list[Vessel]:
    x0 = fovea[0]
    control = np.array(
        [
            disc + rng.normal(0, 0.02, 2),
            disc + [rng.uniform(-0.12, 0.10), vertical * height * rng.uniform(0.75, 1.1)],
            [x0 + rng.uniform(0.05, 0.35), fovea[1] + vertical * height * rng.uniform(1.05, 1.35)],
            [x0 - rng.uniform(0.75, 1.05), fovea[1] + vertical * height * rng.uniform(0.25, 1.1)],
        ]
    )
    trunk = _along_bezier(rng, control, calibre, vein, tortuosity, taper=0.5)
    return [trunk, *_offshoots(rng, trunk, fovea, tortuosity)]


def _nasal(
    rng: np.random.Generator, disc: np.ndarray, vertical: float, calibre: float, vein: bool, tortuosity: float
) -> list[Vessel]:
    control = np.array(
        [
            disc + rng.normal(0, 0.02, 2),
            disc + [rng.uniform(-0.05, 0.12), vertical * rng.uniform(0.15, 0.35)],
            disc + [rng.uniform(0.15, 0.4), vertical * rng.uniform(0.35, 0.65)],
            disc + [rng.uniform(0.45, 0.9), vertical * rng.uniform(0.5, 1.1)],
        ]
    )
    trunk = _along_bezier(rng, control, calibre, vein, tortuosity, taper=0.5)
    return [trunk, *_offshoots(rng, trunk, disc - [9.0, 0.0], tortuosity)]


def _macular(rng: np.random.Generator, disc: np.ndarray, fovea: np.ndarray, calibre: float) -> list[Vessel]:
    twigs = []
    for _ in range(int(rng.integers(3, 7))):
        heading = np.pi + rng.uniform(-0.7, 0.7)
        twigs.append(
            _walk(rng, disc, heading, rng.uniform(0.25, 0.5), calibre, bool(rng.random() < 0.5), 1, 1.0)
        )
    return [_keep_off(v, fovea) for v in twigs]


def _along_bezier(
    rng: np.random.Generator, control: np.ndarray, calibre: float, vein: bool, tortuosity: float, taper: float
) -> Vessel:
    t = np.linspace(0.0, 1.0, 40)[:, None]
    a, b, c, d = control
    points = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    tangent = np.gradient(points, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / (np.linalg.norm(tangent, axis=1)[:, None] + 1e-9)
    waves = rng.uniform(2.0, 7.0, 3)
    phases = rng.uniform(0, 2 * np.pi, 3)
    sizes = tortuosity * rng.uniform(0.0, 0.016, 3)
    wobble = np.sin(2 * np.pi * t * waves + phases) @ sizes
    points = points + (wobble * np.minimum(1.0, 4 * t[:, 0]))[:, None] * normal
    return Vessel(points, calibre * (1.0 - taper * t[:, 0]), vein, 0)


def _offshoots(
    rng: np.random.Generator, parent: Vessel, avoid: np.ndarray, tortuosity: float
) -> list[Vessel]:
    """Branches of a branch, and theirs; the orders 1 and 2."""
    found: list[Vessel] = []
    n = len(parent.points)
    many = int(rng.integers(4, 8)) if parent.order == 0 else int(rng.integers(0, 3))
    starts = np.sort(rng.integers(max(2, n // 5), n - 1, many)).tolist() if n > 9 else []
    sign = 1.0 if rng.random() < 0.5 else -1.0
    for i in starts:
        sign = -sign if rng.random() < 0.75 else sign
        direction = parent.points[i] - parent.points[i - 1]
        heading = np.arctan2(direction[1], direction[0]) + sign * rng.uniform(0.4, 1.1)
        calibre = parent.widths[i] * rng.uniform(0.25, 0.65)
        length = rng.uniform(0.25, 0.75) if parent.order == 0 else rng.uniform(0.1, 0.35)
        child = _walk(
            rng, parent.points[i], heading, length, calibre, parent.vein, parent.order + 1, tortuosity
        )
        child = _keep_off(child, avoid)
        found.append(child)
        if child.order < 2:
            found += _offshoots(rng, child, avoid, tortuosity)
    return found


def _walk(
    rng: np.random.Generator,
    start: np.ndarray,
    heading: float,
    length: float,
    calibre: float,
    vein: bool,
    order: int,
    tortuosity: float,
) -> Vessel:
    n = max(4, int(length / _STEP))
    turns = 0.16 * tortuosity * rng.standard_normal(n)
    turns[2:] += 0.8 * turns[1:-1] * (rng.random() - 0.2)
    angles = heading + np.cumsum(turns) + rng.normal(0, 0.05) * np.arange(n)
    steps = _STEP * np.stack([np.cos(angles), np.sin(angles)], 1)
    points = start + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)])
    return Vessel(points, calibre * np.linspace(1.0, 0.45, n + 1), vein, order)


def _keep_off(vessel: Vessel, fovea: np.ndarray) -> Vessel:
    """Cut a branch where it would enter the avascular zone of the fovea."""
    near = np.flatnonzero(np.hypot(*(vessel.points - fovea).T) < 0.10)
    if not len(near):
        return vessel
    end = max(2, int(near[0]))
    return Vessel(vessel.points[:end], vessel.widths[:end], vessel.vein, vessel.order)
