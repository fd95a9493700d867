"""The healthy eye that a rendering starts from: disc, fovea, colours and vessel tree.

Lengths are in radii of a 45-degree field of view; x runs to the right, y down. The origin lies midway
between disc and fovea, a little to the fovea's side, where such photographs are centred. A right eye has
its disc at x > 0; a left eye is its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .vessels import Vessel, grow_tree

__all__ = ["Anatomy", "Traits", "build_anatomy"]


@dataclass(frozen=True)
class Traits:
    """What both eyes of a patient share (all ratios and colours in [0, 1] unless said otherwise).

    Parameters
    ----------
    colour : tuple of three float
        Fundus colour in linear RGB.
    choroid : float
        How plainly choroidal vessels show.
    texture : float
        Strength of the fine grain of the pigment epithelium.
    disc_radius : float
        In radii of the field.
    cup_to_disc : float
        Cup-to-disc ratio.
    vessel_width : float
        Relative to the average.
    tortuosity : float
        Relative to the average.
    vessel_contrast : float
        Optical density of the large veins.
    sheen : float
        Brightness of the nerve-fibre layer.
    severity : float
        Standard normal; how far retinopathy has gone.
    exudation, ischaemia : float
        Tendency to hard exudates, and to cotton-wool spots.
    """

    colour: tuple[float, float, float]
    choroid: float
    texture: float
    disc_radius: float
    cup_to_disc: float
    vessel_width: float
    tortuosity: float
    vessel_contrast: float
    sheen: float
    severity: float
    exudation: float
    ischaemia: float


@dataclass(frozen=True)
class Anatomy:
    """One eye's geometry.

    Parameters
    ----------
    traits : Traits
        The patient's, changed a little for this eye.
    side : int
        1 for a right eye (disc to the right), -1 for a left one.
    disc, fovea : ndarray of shape (2,)
        Centres.
    disc_axes : tuple of two float
        Half-axes, horizontal and vertical.
    vessels : list of Vessel
        Arteries and veins, from the disc outwards.
    """

    traits: Traits
    side: int
    disc: np.ndarray
    fovea: np.ndarray
    disc_axes: tuple[float, float]
    vessels: list[Vessel]

    def quadrant(self, point: np.ndarray) -> int:
        """Index into `findings.QUADRANTS` of a point, about the origin."""
        nasal = point[0] * self.side > 0
        return 2 * int(point[1] > 0) + int(nasal)


def build_anatomy(
    rng: np.random.Generator, traits: Traits, side: int, *, tilted: bool = False, attenuated: bool = False
) -> Anatomy:
    """Draw one eye.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every draw.
    traits : Traits
        The eye's traits.
    side : int
        1 for the right eye, -1 for the left.
    tilted : bool
        A tilted disc, as in pathologic myopia.
    attenuated : bool
        Thin arteries, as in retinitis pigmentosa.

    Returns
    -------
    Anatomy
        The geometry, mirrored for a left eye.
    """
    distance = rng.uniform(0.68, 0.80)
    tilt = rng.uniform(0.0, 0.16)
    disc = np.array([distance * rng.uniform(0.52, 0.66), -0.5 * tilt * distance])
    fovea = disc + distance * np.array([-np.cos(tilt), np.sin(tilt)])
    ratio = rng.uniform(0.55, 0.7) if tilted else rng.uniform(0.85, 0.98)
    axes = (traits.disc_radius * ratio, traits.disc_radius * rng.uniform(0.98, 1.08))
    vessels = grow_tree(
        rng,
        disc,
        fovea,
        width=traits.vessel_width,
        tortuosity=traits.tortuosity,
        artery_ratio=rng.uniform(0.35, 0.5) if attenuated else rng.uniform(0.62, 0.8),
    )
    mirror = np.array([side, 1.0])
    vessels = [Vessel(v.points * mirror, v.widths, v.vein, v.order) for v in vessels]
    return Anatomy(traits, side, disc * mirror, fovea * mirror, axes, vessels)
