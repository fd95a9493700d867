"""How many lesions an eye of a given grade gets, and where they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .anatomy import Anatomy
from .findings import Findings

__all__ = ["Mark", "Plan", "findings_of", "place", "plan_grade"]

_HAEMORRHAGES = ("dot", "blot", "flame")


@dataclass(frozen=True)
class Mark:
    """One lesion: its kind, place and size (radii of the field), direction (rad) and strength (0-1)."""

    kind: str
    at: np.ndarray
    size: float
    angle: float = 0.0
    strength: float = 1.0


@dataclass
class Plan:
    """Counts to place; `haemorrhages` by quadrant."""

    microaneurysms: int = 0
    haemorrhages: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    exudate_groups: int = 0
    cotton_wool: int = 0
    beading: list[bool] = field(default_factory=lambda: [False] * 4)
    irma: list[bool] = field(default_factory=lambda: [False] * 4)
    new_vessels_disc: bool = False
    new_vessels_elsewhere: int = 0
    preretinal: int = 0
    fibrous: int = 0
    laser: bool = False
    drusen: int = 0
    drusen_size: float = 0.012
    flame_share: float = 0.15


def plan_grade(rng: np.random.Generator, grade: int, exudation: float, ischaemia: float, load: float) -> Plan:
    """Draw counts that the clinical scale puts at `grade`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every draw.
    grade : int
        0-4.
    exudation, ischaemia : float
        The patient's tendencies, 0-1.
    load : float
        Multiplies how many lesions there are; 1 is average.

    Returns
    -------
    Plan
        Counts; `Findings.grade` of what `place` makes of it is `grade`.
    """
    plan = Plan(flame_share=float(rng.uniform(0.0, 0.35)))
    if grade == 0:
        return plan
    plan.microaneurysms = 1 + int(rng.poisson((0, 4, 9, 20, 14)[grade] * load * rng.uniform(0.3, 1.7)))
    if grade == 1:
        return plan
    mean = (0, 0, 9, 38, 22)[grade] * load * rng.lognormal(-0.2, 0.7)
    shares = rng.dirichlet([1.5 if grade == 2 else 4.0] * 4)
    plan.haemorrhages = [int(v) for v in rng.poisson(mean * shares)]
    plan.exudate_groups = int(rng.poisson((0, 0, 1.6, 2.5, 2.0)[grade] * 2.0 * exudation))
    plan.cotton_wool = int(rng.poisson((0, 0, 0.7, 2.5, 1.5)[grade] * 2.0 * ischaemia))
    if grade == 2:
        plan.haemorrhages[int(rng.integers(4))] += 1
        plan.beading[int(rng.integers(4))] = bool(rng.random() < 0.06)
    elif grade == 3:
        _make_severe(rng, plan)
    else:
        _make_proliferative(rng, plan)
    return plan


def _make_severe(rng: np.random.Generator, plan: Plan) -> None:
    ways = rng.random(3) < (0.45, 0.4, 0.45)
    if not ways.any():
        ways[int(rng.integers(3))] = True
    if ways[0]:
        plan.haemorrhages = [max(n, int(rng.integers(21, 34))) for n in plan.haemorrhages]
    if ways[1]:
        for q in rng.choice(4, int(rng.integers(2, 5)), replace=False):
            plan.beading[q] = True
    if ways[2]:
        for q in rng.choice(4, int(rng.integers(1, 4)), replace=False):
            plan.irma[q] = True


def _make_proliferative(rng: np.random.Generator, plan: Plan) -> None:
    signs = rng.random(4) < (0.45, 0.55, 0.35, 0.25)
    if not signs.any():
        signs[int(rng.integers(3))] = True
    plan.new_vessels_disc = bool(signs[0])
    plan.new_vessels_elsewhere = int(rng.integers(1, 4)) if signs[1] else 0
    plan.preretinal = int(rng.integers(1, 3)) if signs[2] else 0
    plan.fibrous = int(rng.integers(1, 4)) if signs[3] else 0
    plan.laser = bool(rng.random() < 0.35)
    plan.irma = [bool(v) for v in rng.random(4) < 0.2]
    plan.beading = [bool(v) for v in rng.random(4) < 0.2]


def place(rng: np.random.Generator, eye: Anatomy, plan: Plan, *, size: float, contrast: float) -> list[Mark]:
    """Place a plan's lesions on an eye.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every draw.
    eye : Anatomy
        Where disc, fovea and vessels are.
    plan : Plan
        How many of each.
    size, contrast : float
        Multiply every lesion's size and strength.

    Returns
    -------
    list of Mark
        In the order in which they are painted.
    """
    marks: list[Mark] = []
    foci = [_somewhere(rng, eye) for _ in range(3)]

    def add(
        kind: str,
        at: np.ndarray,
        radius: float,
        angle: float = 0.0,
        strength: tuple[float, float] = (0.35, 1.0),
    ) -> None:
        level = min(1.0, contrast * rng.uniform(*strength))
        marks.append(Mark(kind, np.asarray(at, float), float(radius * size), float(angle), float(level)))

    for _ in range(plan.drusen):
        spread = 0.28 * rng.standard_normal(2)
        add("drusen", eye.fovea + spread, plan.drusen_size * rng.uniform(0.5, 1.6), strength=(0.3, 0.9))
    if plan.laser:
        _burn(rng, eye, add)
    for _ in range(plan.exudate_groups):
        _exudates(rng, eye, foci, add)
    for quadrant, many in enumerate(plan.haemorrhages):
        for _ in range(many):
            at = _somewhere(rng, eye, quadrant)
            kind, radius = _haemorrhage(rng, plan.flame_share)
            add(kind, at, radius, _fibre_direction(eye, at) + rng.normal(0, 0.2), (0.35, 1.0))
    for _ in range(plan.microaneurysms):
        near = rng.random() < 0.5
        at = foci[0] + 0.12 * rng.standard_normal(2) if near else _somewhere(rng, eye)
        add("microaneurysm", at, rng.uniform(0.006, 0.012), strength=(0.4, 1.0))
    for _ in range(plan.cotton_wool):
        at = eye.disc + (_somewhere(rng, eye) - eye.disc) * rng.uniform(0.6, 1.0)
        add("cotton_wool", at, rng.uniform(0.025, 0.065), rng.uniform(0, np.pi), (0.35, 0.95))
    for quadrant, there in enumerate(plan.irma):
        for _ in range(int(rng.integers(1, 4)) * there):
            add("irma", _somewhere(rng, eye, quadrant), rng.uniform(0.05, 0.12), rng.uniform(0, 6.3))
    _proliferate(rng, eye, plan, add)
    return marks


def _proliferate(rng: np.random.Generator, eye: Anatomy, plan: Plan, add: Callable[..., None]) -> None:
    for _ in range(plan.fibrous):
        at = eye.disc if rng.random() < 0.5 else _somewhere(rng, eye)
        add("fibrous", at, rng.uniform(0.2, 0.6), rng.uniform(0, 6.3), (0.3, 0.9))
    if plan.new_vessels_disc:
        add("new_vessels", eye.disc + rng.normal(0, 0.04, 2), rng.uniform(0.12, 0.26), 0.0, (0.5, 1.0))
    for _ in range(plan.new_vessels_elsewhere):
        add("new_vessels", _on_vein(rng, eye), rng.uniform(0.08, 0.22), 0.0, (0.5, 1.0))
    for _ in range(plan.preretinal):
        add("preretinal", _somewhere(rng, eye), rng.uniform(0.07, 0.35), rng.normal(0, 0.2), (0.6, 1.0))


def _haemorrhage(rng: np.random.Generator, flame_share: float) -> tuple[str, float]:
    if rng.random() < flame_share:
        return "flame", float(rng.uniform(0.03, 0.09))
    if rng.random() < 0.55:
        return "dot", float(rng.uniform(0.010, 0.020))
    return "blot", float(min(0.09, 0.019 * rng.lognormal(0.1, 0.5)))


def _somewhere(rng: np.random.Generator, eye: Anatomy, quadrant: int | None = None) -> np.ndarray:
    """A place on the retina in view, off the disc, more often near the posterior pole."""
    for _ in range(50):
        radius = 0.88 * rng.random() ** 0.6
        angle = rng.uniform(-np.pi, np.pi)
        at = radius * np.array([np.cos(angle), np.sin(angle)])
        if quadrant is not None:
            at = np.abs(at) * [eye.side * (1.0 if quadrant % 2 else -1.0), 1.0 if quadrant >= 2 else -1.0]
        if abs(at[1]) < 0.82 and np.hypot(*(at - eye.disc)) > 1.35 * eye.disc_axes[1]:
            return at
    return at


def _on_vein(rng: np.random.Generator, eye: Anatomy) -> np.ndarray:
    veins = [v for v in eye.vessels if v.vein and v.order == 0]
    points = veins[int(rng.integers(len(veins)))].points
    inside = points[(np.hypot(*points.T) < 0.85) & (np.abs(points[:, 1]) < 0.8)]
    return inside[int(rng.integers(len(inside) // 3, len(inside)))] if len(inside) > 3 else points[10]


def _fibre_direction(eye: Anatomy, at: np.ndarray) -> float:
    """Direction of the nerve fibres: away from the disc, bent around the fovea."""
    away = at - eye.disc
    bend = 0.6 * np.sign(away[1]) * eye.side * np.exp(-((np.hypot(*away) / 0.7) ** 2))
    return float(np.arctan2(away[1], away[0]) + bend)


def _exudates(
    rng: np.random.Generator, eye: Anatomy, foci: Sequence[np.ndarray], add: Callable[..., None]
) -> None:
    """A group: a loose cluster, a ring (circinate), or a streak towards the fovea."""
    draw = rng.random()
    centre = foci[int(rng.integers(3))] if draw < 0.4 else _somewhere(rng, eye)
    if rng.random() < 0.35:
        centre = eye.fovea + 0.16 * rng.standard_normal(2)
    many = int(rng.integers(2, 12)) if rng.random() < 0.5 else int(rng.integers(12, 60))
    grain = rng.uniform(0.004, 0.013)
    extent = rng.uniform(0.03, 0.09) * (1.0 + many / 40.0)
    shape = rng.random()
    if shape < 0.3:
        angle = rng.uniform(0, 2 * np.pi) + rng.uniform(0.6, 2.0) * np.pi * rng.random(many)
        away = extent * (1.0 + 0.15 * rng.standard_normal(many))
        offsets = np.stack([np.cos(angle), np.sin(angle)], 1) * away[:, None]
    else:
        stretch = [1.0, rng.uniform(0.25, 1.0)]
        turn = rng.uniform(0, np.pi)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        offsets = (0.6 * extent * rng.standard_normal((many, 2)) * stretch) @ rotation.T
    level = rng.uniform(0.4, 1.0)
    for offset in offsets:
        radius = grain * min(3.5, rng.lognormal(0.0, 0.5))
        add("exudate", centre + offset, radius, rng.uniform(0, 3.1), (0.7 * level, level))


def _burn(rng: np.random.Generator, eye: Anatomy, add: Callable[..., None]) -> None:
    gap = rng.uniform(0.10, 0.18)
    grid = np.arange(-1.0, 1.01, gap)
    dark, radius = rng.uniform(0.0, 1.0), rng.uniform(0.018, 0.035)
    for x in grid:
        for y in grid:
            at = np.array([x, y]) + 0.25 * gap * rng.standard_normal(2)
            if (
                np.hypot(*(at - eye.fovea)) > 0.55
                and np.hypot(*(at - eye.disc)) > 0.35
                and rng.random() < 0.8
            ):
                add("laser", at, radius * rng.uniform(0.7, 1.3), dark, (0.3, 0.9))


def findings_of(eye: Anatomy, plan: Plan, marks: list[Mark], others: tuple[str, ...]) -> Findings:
    """Count what was placed.

    Parameters
    ----------
    eye : Anatomy
        The eye.
    plan : Plan
        What was asked for: groups of exudates, and veins with beading.
    marks : list of Mark
        What was placed.
    others : tuple of str
        Further conditions by name.

    Returns
    -------
    Findings
        Counts by quadrant.
    """
    haemorrhages, irma = [0] * 4, [False] * 4
    for mark in marks:
        if mark.kind in _HAEMORRHAGES:
            haemorrhages[eye.quadrant(mark.at)] += 1
        elif mark.kind == "irma":
            irma[eye.quadrant(mark.at)] = True
    near = 2.0 * eye.disc_axes[1]
    at_macula = any(m.kind == "exudate" and np.hypot(*(m.at - eye.fovea)) < near for m in marks)
    laser = ("laser scar",) if plan.laser else ()
    return Findings(
        microaneurysms=sum(m.kind == "microaneurysm" for m in marks),
        haemorrhages=(haemorrhages[0], haemorrhages[1], haemorrhages[2], haemorrhages[3]),
        hard_exudates=plan.exudate_groups,
        exudates_at_macula=at_macula,
        cotton_wool_spots=sum(m.kind == "cotton_wool" for m in marks),
        venous_beading=(plan.beading[0], plan.beading[1], plan.beading[2], plan.beading[3]),
        irma=(irma[0], irma[1], irma[2], irma[3]),
        new_vessels_disc=plan.new_vessels_disc,
        new_vessels_elsewhere=plan.new_vessels_elsewhere,
        preretinal_haemorrhage=plan.preretinal > 0,
        fibrous_tissue=plan.fibrous > 0,
        drusen=plan.drusen,
        cup_to_disc=eye.traits.cup_to_disc,
        others=tuple(dict.fromkeys((*others, *laser))),
    )
