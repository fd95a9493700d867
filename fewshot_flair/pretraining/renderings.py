"""Rendered photographs for pre-training: made in parallel, kept small on disk, gone on with when killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fewshot_flair import rendering
from fewshot_flair.images.foreground import foreground_box
from fewshot_flair.pretraining.image_sets import CATEGORIES, Sample
from fewshot_flair.rendering import LESION_MAPS, CameraRange, Photograph, Population, render_patient

__all__ = ["RenderedImages", "render_images"]

_PATIENTS_A_SHARD = 50
_CELL = 8  # px of the canvas that one cell of the lesion maps covers
_QUALITY = 92


@dataclass(frozen=True)
class RenderedImages:
    """Photographs rendered by `render_images`, held compressed in memory.

    Parameters
    ----------
    files : list of ndarray of uint8
        JPEG bytes of each foreground, its longest side scaled to `image_size`.
    relation : ndarray of shape [n, len(CATEGORIES)], bool
        Which categories are true of each.
    maps : ndarray of shape [n, 6, cells, cells], uint8
        1 where a cell holds a lesion of that kind (`LESION_MAPS`).
    counts : ndarray of shape [n, 6], float32
        Logarithm of 1 + the number of cells with such lesions.
    image_size : int
        Side of the canvas, px.
    """

    files: list[np.ndarray]
    relation: np.ndarray
    maps: np.ndarray
    counts: np.ndarray
    image_size: int
    categories = CATEGORIES

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, index: int) -> Sample:
        """The `index`-th photograph on its canvas (RGB, padded right and below with zeros)."""
        image = np.asarray(cv2.imdecode(self.files[index], cv2.IMREAD_COLOR))[:, :, ::-1]
        canvas = np.zeros((self.image_size, self.image_size, 3), np.uint8)
        canvas[: image.shape[0], : image.shape[1]] = image
        return Sample(canvas, self.relation[index], self.maps[index], self.counts[index])


def render_images(
    folder: str | Path,
    patients: int,
    seed: int,
    *,
    image_size: int = 384,
    population: Population | None = None,
    cameras: CameraRange | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> RenderedImages:
    """Render both eyes of `patients` patients, or read them where they were rendered before.

    Parameters
    ----------
    folder : path
        Cache; a change of the settings or of the renderer's code gives another sub-folder of it.
    patients, seed : int
        Patient i is drawn from ``numpy.random.default_rng([seed, i])``.
    image_size : int
        Side of the canvas that the network sees, px.
    population, cameras : Population, CameraRange, optional
        Who and with what.
    workers : int
        Processes.
    progress : callable, optional
        Called with the shards done and all shards.

    Returns
    -------
    RenderedImages
        2 x `patients` photographs.
    """
    population, cameras = population or Population(), cameras or CameraRange()
    settings = {
        "seed": seed, "image_size": image_size, "population": asdict(population), "cameras": asdict(cameras),
        "code": _code_digest(),
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(folder) / f"renderings-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, patients, _PATIENTS_A_SHARD)
    shards = [folder / f"{start:06d}-{min(start + _PATIENTS_A_SHARD, patients):06d}.npz" for start in starts]
    missing = [path for path in shards if not path.exists()]
    if missing:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(_render_shard, p, seed, image_size, population, cameras) for p in missing]
            for done, job in enumerate(as_completed(jobs), start=1 + len(shards) - len(missing)):
                job.result()
                if progress:
                    progress(done, len(shards))
    return _read(shards, image_size)


def _code_digest() -> str:
    sources = sorted(Path(rendering.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()


def _render_shard(
    path: Path, seed: int, image_size: int, population: Population, cameras: CameraRange
) -> None:
    cv2.setNumThreads(1)
    first, last = (int(part) for part in path.stem.split("-"))
    files, relation, maps = [], [], []
    for patient in range(first, last):
        for taken in render_patient(np.random.default_rng([seed, patient]), population, cameras):
            image, cells = _fit(taken, image_size)
            code = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
            files.append(code)
            maps.append(cells)
            true = set(taken.findings.categories)
            relation.append([name in true for name in CATEGORIES])
    temporary = path.with_suffix(".partial")
    with temporary.open("wb") as stream:
        np.savez(
            stream,
            bytes=np.concatenate(files),
            ends=np.cumsum([len(f) for f in files]),
            maps=np.packbits(np.stack(maps), axis=-1),
            relation=np.array(relation),
        )
    temporary.replace(path)


def _fit(taken: Photograph, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Crop and scale as `data.images.prepare` does, and reduce the lesion maps to cells."""
    top, left, bottom, right = foreground_box(taken.image)
    image = np.ascontiguousarray(taken.image[top:bottom, left:right])
    scale = image_size / max(image.shape[:2])
    size = (max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale)))
    planes = np.zeros((len(LESION_MAPS), *taken.image.shape[:2]), np.uint8)
    x0, y0, x1, y1 = taken.field
    planes[:, y0:y1, x0:x1] = taken.lesion_maps
    cells = np.zeros((len(LESION_MAPS), image_size, image_size), np.uint8)
    for kind, plane in enumerate(planes[:, top:bottom, left:right]):
        if plane.any():
            # Grown by a pixel first, so that scaling down loses no microaneurysm.
            cells[kind, : size[1], : size[0]] = (
                cv2.resize(cv2.dilate(plane, np.ones((2, 2), np.uint8)), size) > 90
            )
    side = image_size // _CELL
    cells = cells.reshape(len(LESION_MAPS), side, _CELL, side, _CELL).max((2, 4))
    # The filter of `data.images.prepare`.
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)), cells


def _read(shards: list[Path], image_size: int) -> RenderedImages:
    files, relation, maps = [], [], []
    for path in shards:
        with np.load(path, allow_pickle=False) as shard:
            files += np.split(shard["bytes"], shard["ends"][:-1])
            relation.append(shard["relation"])
            maps.append(np.unpackbits(shard["maps"], axis=-1, count=image_size // _CELL))
    cells = np.concatenate(maps)
    counts = np.log1p(cells.sum((2, 3), dtype=np.float32))
    return RenderedImages(files, np.concatenate(relation), cells, counts, image_size)
