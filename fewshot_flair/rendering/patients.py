"""Patients of a population, and the photographs of their two eyes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import cv2
import numpy as np

from .anatomy import Anatomy, Traits, build_anatomy
from .background import draw_vessels, paint_fundus
from .camera import Camera, CameraRange, expose, frame
from .canvas import Canvas
from .conditions import CONDITIONS, change_camera, change_plan, change_traits, paint_condition
from .findings import Findings
from .lesions import Mark, Plan, findings_of, place, plan_grade
from .pathology import paint_lesions

__all__ = ["Eye", "Photograph", "Population", "make_eye", "photograph", "render_patient"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Population:
    """Who comes to a clinic; the defaults are wide and every grade is as frequent as another.

    Parameters
    ----------
    grades : tuple of five float
        Shares of the five grades.
    likeness : float
        Correlation of the two eyes' severity.
    other_conditions : float
        Share of eyes with a condition other than diabetic retinopathy.
    conditions : tuple of str
        Those that there are, each as likely as another.
    redness, greenness, blueness : tuple of two float
        Fundus colour: linear red, green over red, and blue over green.
    lesion_load, lesion_size, lesion_contrast : tuple of two float
        Multiply the number, size and strength of lesions.
    """

    grades: tuple[float, float, float, float, float] = (0.25, 0.2, 0.2, 0.175, 0.175)
    likeness: float = 0.85
    other_conditions: float = 0.25
    conditions: tuple[str, ...] = CONDITIONS
    redness: Range = (0.25, 0.75)
    greenness: Range = (0.18, 0.46)
    blueness: Range = (0.04, 0.32)
    choroid: Range = (-0.5, 0.9)
    texture: Range = (0.0, 0.07)
    disc_radius: Range = (0.115, 0.17)
    cup_to_disc: Range = (0.15, 0.6)
    vessel_width: Range = (0.75, 1.25)
    tortuosity: Range = (0.4, 1.8)
    vessel_contrast: Range = (0.7, 1.7)
    sheen: Range = (0.0, 0.45)
    lesion_load: Range = (0.6, 1.6)
    lesion_size: Range = (0.8, 1.3)
    lesion_contrast: Range = (0.7, 1.3)

    def sample(self, rng: np.random.Generator) -> Traits:
        """Draw one patient."""

        def draw(name: str) -> float:
            return float(rng.uniform(*getattr(self, name)))

        red = draw("redness")
        green = red * draw("greenness")
        return Traits(
            colour=(red, green, green * draw("blueness")),
            choroid=max(0.0, draw("choroid")),
            texture=draw("texture"),
            disc_radius=draw("disc_radius"),
            cup_to_disc=draw("cup_to_disc"),
            vessel_width=draw("vessel_width"),
            tortuosity=draw("tortuosity"),
            vessel_contrast=draw("vessel_contrast"),
            sheen=draw("sheen"),
            severity=float(rng.standard_normal()),
            exudation=float(rng.random()),
            ischaemia=float(rng.random()),
        )

    def grade(self, severity: float) -> int:
        """The grade at a standard-normal severity, so that grades have the population's shares."""
        share = NormalDist().cdf(severity)
        return min(4, int(np.searchsorted(np.cumsum(self.grades) / sum(self.grades), share, side="right")))


@dataclass(frozen=True)
class Eye:
    """One eye before it is photographed: its anatomy, its lesions, and what they amount to."""

    anatomy: Anatomy
    plan: Plan
    marks: list[Mark]
    findings: Findings
    condition: str | None


@dataclass(frozen=True)
class Photograph:
    """A rendered photograph.

    Parameters
    ----------
    image : ndarray of shape [H, W, 3], uint8
        RGB, with the black border.
    findings : Findings
        What the eye has.
    eye : {"R", "L"}
        Which one.
    field : tuple of four int
        Bounding box of the field of view: left, top, right, bottom (exclusive), px.
    lesion_maps : ndarray of shape [6, H', W'], uint8
        For each of `pathology.LESION_MAPS`, 255 where such lesions lie within `field`.
    """

    image: np.ndarray
    findings: Findings
    eye: str
    field: tuple[int, int, int, int]
    lesion_maps: np.ndarray

    def jpeg(self, quality: int = 92) -> bytes:
        """The picture as a JPEG file's bytes."""
        return cv2.imencode(".jpg", self.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def make_eye(rng: np.random.Generator, patient: Traits, side: int, population: Population) -> Eye:
    """Draw one eye of a patient: a little different from its fellow.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every draw.
    patient : Traits
        What both eyes share.
    side : int
        1 for the right eye, -1 for the left.
    population : Population
        Where the patient comes from.

    Returns
    -------
    Eye
        Anatomy, lesions and findings.
    """
    rho = population.likeness
    severity = rho**0.5 * patient.severity + (1 - rho) ** 0.5 * float(rng.standard_normal())
    traits = replace(
        patient,
        severity=severity,
        disc_radius=patient.disc_radius * float(rng.uniform(0.95, 1.05)),
        cup_to_disc=float(np.clip(patient.cup_to_disc + rng.normal(0, 0.03), 0.1, 0.64)),
    )
    condition = None
    if rng.random() < population.other_conditions:
        condition = population.conditions[int(rng.integers(len(population.conditions)))]
        traits = change_traits(rng, condition, traits)
    grade = population.grade(severity)
    if condition == "branch retinal vein occlusion":
        grade = 0
    anatomy = build_anatomy(
        rng,
        traits,
        side,
        tilted=condition == "pathologic myopia",
        attenuated=condition == "retinitis pigmentosa",
    )
    load = float(rng.uniform(*population.lesion_load))
    plan = plan_grade(rng, grade, traits.exudation, traits.ischaemia, load)
    if condition:
        change_plan(rng, condition, plan)
    elif rng.random() < 0.15:
        plan.drusen = int(rng.integers(1, 8))
    marks = place(
        rng,
        anatomy,
        plan,
        size=float(rng.uniform(*population.lesion_size)),
        contrast=float(rng.uniform(*population.lesion_contrast)),
    )
    named = (condition,) if condition not in (None, "drusen", "glaucoma") else ()
    return Eye(anatomy, plan, marks, findings_of(anatomy, plan, marks, named), condition)


def photograph(rng: np.random.Generator, eye: Eye, camera: Camera) -> Photograph:
    """Photograph an eye.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of texture, sensor noise and the shapes of lesions.
    eye : Eye
        What.
    camera : Camera
        With what.

    Returns
    -------
    Photograph
        The picture, compressed once as the camera does.
    """
    condition = eye.condition or ""
    camera = change_camera(rng, condition, camera)
    canvas = Canvas(camera)
    crescent = float(
        rng.uniform(0.3, 0.9) if condition == "pathologic myopia" else max(0.0, rng.uniform(-0.4, 0.3))
    )
    scene = paint_fundus(rng, canvas, eye.anatomy, crescent=crescent)
    draw_vessels(rng, canvas, eye.anatomy, eye.plan, scene)
    maps = paint_lesions(rng, canvas, eye.marks, scene)
    paint_condition(rng, condition, canvas, eye.anatomy, scene)
    image, (left, top) = frame(expose(rng, scene, camera, canvas.centre), camera)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, camera.quality])[1]
    image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))
    side = "R" if eye.anatomy.side == 1 else "L"
    return Photograph(image, eye.findings, side, (left, top, left + canvas.width, top + canvas.height), maps)


def render_patient(
    rng: np.random.Generator, population: Population | None = None, cameras: CameraRange | None = None
) -> tuple[Photograph, Photograph]:
    """Render both eyes of a patient drawn from a population.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every draw: the same generator state gives the same bytes.
    population : Population, optional
        Who; the default is wide.
    cameras : CameraRange, optional
        With what; the default is wide. Both eyes are taken with much the same settings.

    Returns
    -------
    tuple of two Photograph
        Right eye, left eye.
    """
    population = population or Population()
    cameras = cameras or CameraRange()
    patient = population.sample(rng)
    first: Camera | None = None
    taken = []
    for side in (1, -1):
        eye = make_eye(rng, patient, side, population)
        camera = cameras.sample(rng, eye.anatomy.disc)
        if first is None:
            first = camera
        else:
            shared = (
                "diameter",
                "cut",
                "aspect",
                "zoom",
                "gamma",
                "gains",
                "saturation",
                "sharpen",
                "quality",
                "border",
            )
            camera = replace(camera, **{name: getattr(first, name) for name in shared})
            camera = replace(camera, exposure=first.exposure * float(rng.uniform(0.9, 1.1)))
        taken.append(photograph(rng, eye, camera))
    return taken[0], taken[1]
