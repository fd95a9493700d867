"""Photographs of single concepts: healthy rendered eyes with one condition, as many of each as are asked for."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from fewshot_flair.rendering import CameraRange, Population, make_eye, photograph

CAMERAS = CameraRange(diameter=(200, 230))
CONDITIONS = {"drusens": "drusen"}
"""Concepts that the renderer has under another name."""
A_JOB = 50


def draw(concept: str, seed: Sequence[int]) -> bytes:
    """One photograph of an eye with one condition, as a JPEG; the same seed gives the same bytes."""
    rng = np.random.default_rng(list(seed))
    condition = CONDITIONS.get(concept, concept)
    population = Population(grades=(1.0, 0.0, 0.0, 0.0, 0.0), other_conditions=1.0, conditions=(condition,))
    side = 1 if rng.random() < 0.5 else -1
    eye = make_eye(rng, population.sample(rng), side, population)
    return photograph(rng, eye, CAMERAS.sample(rng, eye.anatomy.disc)).jpeg()


def render(folder: Path, concepts: Sequence[str], sides: dict[str, int], seed: int, processes: int) -> Path:
    """Render so many photographs of each concept for each side, those that are not there yet.

    Returns
    -------
    Path
        The table, columns image, label, side, number: concept by concept, each in the order of its numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (f"{side}/{concept.replace(' ', '-')}-{i:04d}.jpg", concept, side, i, (seed, s, c, i))
        for s, (side, n) in enumerate(sides.items())
        for c, concept in enumerate(concepts)
        for i in range(n)
    ]
    for side in sides:
        (folder / side).mkdir(exist_ok=True)
    missing = [
        (folder / name, concept, key) for name, concept, _, _, key in rows if not (folder / name).exists()
    ]
    parts = [missing[i : i + A_JOB] for i in range(0, len(missing), A_JOB)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_render_part, parts))
    table = folder / "photographs.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "label", "side", "number"])
        writer.writerows(row[:4] for row in rows)
    return table


def _render_part(part: list[tuple[Path, str, tuple[int, ...]]]) -> None:
    cv2.setNumThreads(1)
    for path, concept, key in part:
        partial = path.with_suffix(".partial")
        partial.write_bytes(draw(concept, key))
        partial.replace(path)
