"""Render two clinics that differ in prevalence and camera, into data/ beside this file."""

from __future__ import annotations

from pathlib import Path

from fewshot_flair.rendering import CameraRange, Population
from fewshot_flair.rendering.rendered import RenderedClinic, render_clinics

FOLDER = Path(__file__).resolve().parent / "data"

SCREENING = RenderedClinic(
    name="screening",
    population=Population(grades=(0.68, 0.14, 0.12, 0.04, 0.02), other_conditions=0.05),
    cameras=CameraRange(diameter=(360, 400), full_circle=1.0),
    patients=160,
    seed=31,
    prefix="S",
)
HOSPITAL = RenderedClinic(
    name="hospital",
    population=Population(grades=(0.24, 0.16, 0.28, 0.18, 0.14), other_conditions=0.12),
    cameras=CameraRange(diameter=(300, 330), full_circle=0.0, cut=(0.8, 0.86), aspect=(1.3, 1.4)),
    patients=160,
    seed=32,
    prefix="H",
)

if __name__ == "__main__":
    print(render_clinics(FOLDER, [SCREENING, HOSPITAL]))
