"""Clinics of rendered patients: photographs drawn by a program, in real files, with a manifest.

No photograph shows a person. Each clinic has a population and a camera of its own; several in one manifest
(the ``clinic`` column) are for studies of what moving from one to another costs.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fewshot_flair.disk import is_full, writing_to
from fewshot_flair.errors import InputError

if TYPE_CHECKING:
    from fewshot_flair.rendering import CameraRange, Population

__all__ = ["RenderedClinic", "render_clinics"]

COLUMNS = ("image", "patient_id", "eye", "label", "split", "clinic")
PROCESSES = 2
NO_ROOM = 28
"""Exit status of a process whose photographs found no room."""

T = TypeVar("T")


@dataclass(frozen=True)
class RenderedClinic:
    """A clinic to render.

    Parameters
    ----------
    name : str
        What the ``clinic`` column says.
    population : Population
        Prevalence of the grades and what eyes look like.
    cameras : CameraRange
        What the camera does to them.
    patients : int
        Two photographs each.
    seed : int
        With the patient's number, the source of every draw.
    train_share : float
        Share of the patients of each worst grade that are for training.
    prefix : str
        What patients' identifiers begin with; clinics of one manifest need different ones.
    """

    name: str
    population: Population
    cameras: CameraRange
    patients: int
    seed: int = 0
    train_share: float = 0.6
    prefix: str = "P"


def render_clinics(
    folder: Path,
    clinics: Sequence[RenderedClinic],
    progress: Callable[[int, int], None] | None = None,
    *,
    version: str = "",
) -> Path:
    """Render clinics into a folder that does not exist yet, in several processes.

    The folder appears whole or not at all: a rendering that is killed leaves nothing that is used later.

    Parameters
    ----------
    progress : callable, optional
        Called now and then with the photographs done and all photographs.
    version : str
        What ``version.txt`` in the folder says, to know the folder again.

    Returns
    -------
    Path
        The manifest, a CSV of columns image, patient_id, eye, label, split, clinic.

    Raises
    ------
    InputError
        If `folder` holds something, or two clinics have one prefix.
    """
    prefixes = [clinic.prefix for clinic in clinics]
    if len(set(prefixes)) < len(prefixes):
        raise InputError(f"clinics have the prefixes {prefixes}; patients of two clinics need different ones")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} holds something other than these clinics; name another folder to render into"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{time.time_ns():x}.partial")
    try:
        with writing_to(folder):
            (partial / "images").mkdir(parents=True)
            described = json.dumps([asdict(clinic) for clinic in clinics])
            (partial / "clinics.json").write_text(described + "\n", encoding="utf-8")
            _render_all(partial, 2 * sum(clinic.patients for clinic in clinics), progress)
            _write_manifest(partial, clinics)
            (partial / "version.txt").write_text(version + "\n", encoding="utf-8")
            partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder / "manifest.csv"


def _render_all(folder: Path, photographs: int, progress: Callable[[int, int], None] | None) -> None:
    # Own processes rather than multiprocessing, which would import a caller's script again.
    command = [sys.executable, "-m", "fewshot_flair.rendering.rendered", str(folder)]
    workers = [subprocess.Popen([*command, str(part)]) for part in range(PROCESSES)]  # noqa: S603
    try:
        while any(worker.poll() is None for worker in workers):
            time.sleep(0.1)
            if progress:
                progress(sum(1 for _ in (folder / "images").iterdir()), photographs)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    failed = [worker.returncode for worker in workers if worker.returncode]
    if NO_ROOM in failed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if failed:
        raise RuntimeError(f"rendering into {folder} failed (exit status {failed[0]})")


def _render_part(folder: Path, part: int) -> None:
    """Render every patient whose number leaves the remainder `part`."""
    import cv2

    from fewshot_flair.rendering import GRADES, render_patient

    cv2.setNumThreads(1)
    lines = []
    parent = os.getppid()
    for clinic in _read_clinics(folder):
        for number in range(part, clinic.patients, PROCESSES):
            if os.getppid() != parent:
                return  # killed; nobody will use this
            patient = f"{clinic.prefix}{number + 1:03d}"
            rng = np.random.default_rng([clinic.seed, number])
            for taken in render_patient(rng, clinic.population, clinic.cameras):
                name = f"images/{patient}_{taken.eye}.jpg"
                (folder / name).write_bytes(taken.jpeg())
                lines.append([name, patient, taken.eye, GRADES[taken.findings.grade], clinic.name])
    with (folder / f"part-{part}.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(lines)


def _read_clinics(folder: Path) -> list[RenderedClinic]:
    from fewshot_flair.rendering import CameraRange, Population

    described = json.loads((folder / "clinics.json").read_text(encoding="utf-8"))
    return [
        RenderedClinic(
            **clinic
            | {
                "population": _rebuilt(Population, clinic["population"]),
                "cameras": _rebuilt(CameraRange, clinic["cameras"]),
            }
        )
        for clinic in described
    ]


def _rebuilt(kind: type[T], values: dict[str, Any]) -> T:
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items() if key in names})


def _write_manifest(folder: Path, clinics: Sequence[RenderedClinic]) -> None:
    rows: list[list[str]] = []
    for part in range(PROCESSES):
        path = folder / f"part-{part}.csv"
        with path.open(encoding="utf-8", newline="") as stream:
            rows += list(csv.reader(stream))
        path.unlink()
    rows.sort()
    train = {
        patient
        for clinic in clinics
        for patient in _train_patients([row for row in rows if row[4] == clinic.name], clinic)
    }
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for image, patient, eye, label, clinic in rows:
            split = "train" if patient in train else "test"
            writer.writerow([image, patient, eye, label, split, clinic])


def _train_patients(rows: list[list[str]], clinic: RenderedClinic) -> set[str]:
    """Patients for training: the same share of those with each worst grade."""
    from fewshot_flair.rendering import GRADES

    worst: dict[str, int] = {}
    for _, patient, _, label, _ in rows:
        worst[patient] = max(worst.get(patient, 0), GRADES.index(label))
    rng = np.random.default_rng(clinic.seed)
    chosen: set[str] = set()
    for grade in range(len(GRADES)):
        patients = sorted(name for name, value in worst.items() if value == grade)
        chosen.update(rng.permutation(patients)[: round(clinic.train_share * len(patients))].tolist())
    return chosen


if __name__ == "__main__":
    try:
        _render_part(Path(sys.argv[1]), int(sys.argv[2]))
    except OSError as error:
        if not is_full(error):
            raise
        sys.exit(NO_ROOM)
