"""Folders of public data sets in their published layouts, of rendered photographs.

``python tests/published_sets.py FOLDER`` lays all that the published split tables name, to run the recipes on.
"""

from __future__ import annotations

import ast
import csv
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

SPLITS = Path(__file__).resolve().parents[2] / "shared" / "data" / "published-splits"
SIZE = 64


@cache
def _drawn() -> list[np.ndarray]:
    """A few eyes, small."""
    from fewshot_flair.rendering import render_patient

    patients = [render_patient(np.random.default_rng([7, patient])) for patient in range(4)]
    eyes = [photograph.image[..., ::-1] for pair in patients for photograph in pair]
    return [np.asarray(Image.fromarray(np.ascontiguousarray(eye)).resize((SIZE, SIZE))) for eye in eyes]


def lay(folder: Path, names: Iterable[str]) -> None:
    """Write a photograph under each name: one of the eyes, with grain of its own."""
    eyes = _drawn()
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(str(name).encode()))
        eye = eyes[i % len(eyes)]
        grain = rng.normal(0, 45, eye.shape) * (eye.max(axis=2, keepdims=True) > 20)
        Image.fromarray(np.clip(eye + grain, 0, 255).astype(np.uint8)).save(path)


def named(table: Path) -> list[str]:
    """The photographs that a split table names, each once."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return list(dict.fromkeys(row.get("Path") or row["image"] for row in rows))


def categories(table: Path) -> list[list[str]]:
    """The categories of each row of one of FLAIR's tables."""
    with table.open(newline="") as file:
        return [ast.literal_eval(row["categories"]) for row in csv.DictReader(file)]


FOLDERS = {
    "MESSIDOR": "02_MESSIDOR/",
    "MMAC_A_train": "38_MMAC23/1.Classification/1.Images/1.Training/",
    "MMAC_A_test": "38_MMAC23/1.Classification/1.Images/2.Validation/",
    "mBRSET": "51_mBRSET/images/",
}
"""What the authors' code puts before the paths of a table."""


def main() -> None:
    """Lay everything."""
    root = Path(sys.argv[1])
    names: dict[str, None] = {}
    for table in sorted(SPLITS.glob("*/*.csv")):
        prefix = (
            ""
            if table.parent.name == "flair"
            else next((at for start, at in FOLDERS.items() if table.stem.startswith(start)), "")
        )
        names |= dict.fromkeys(str(Path(prefix + name)) for name in named(table))
    lay(root, names)


if __name__ == "__main__":
    main()
