"""What typicality adds to quality: which distance tells other pictures from a clinic's own; what a limit flags.

    .venv/bin/python recipes/quality/typicality.py --shared ../shared/data --out build/quality

The training side is dr-clinic's. Prints three tables and writes them as CSV: distances (areas under the ROC curve
against photographs of the test side), kinds of pictures, and spoilt photographs of the test side with their answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import skimage
import sklearn
from clinic import KINDS_OF_FEATURES, Clinic, markdown
from drawn import KINDS, drawn, on_black, tinted
from numpy.typing import NDArray
from retinas import SPOILT, VARIANTS
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from fewshot_flair import assess_quality, read_image
from fewshot_flair.encoders.base import ImageFeatures
from fewshot_flair.models.answers import UNTYPICAL
from fewshot_flair.rendering.demo import demo_clinic

SEED = 2026
CHANGES = ("grey", "ultra wide", "other colours", "other light", "bleeding", "laser scars")
"""Of the ways in which other cameras and eyes differ, those that the model may stumble over."""


def main() -> None:
    """Encode, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder that holds dr-clinic/ and idrid/")
    parser.add_argument("--out", type=Path, default=Path("build/quality"))
    parser.add_argument("--each", type=int, default=12, help="test photographs that are spoilt in each way")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    clinic = Clinic(asked.shared)
    own = clinic.of_files(clinic.test.paths)
    files = {
        "real: own test side": clinic.test.paths,
        "real: idrid": sorted((asked.shared / "idrid" / "images").glob("*.jpg")),
        "rendered: demo clinic": sorted((demo_clinic().parent / "images").glob("*.jpg"))[::10],
    }
    some = list(clinic.test.paths)[:: max(1, len(clinic.test) // asked.each)]
    before = [read_image(path) for path in some]
    made = {
        "no retina: drawn": drawn_things(),
        **bundled(),
        **{f"changed: {name}": changed(VARIANTS[name], before) for name in CHANGES},
        **{f"spoilt: {name}": changed(change, before) for name, change in SPOILT.items()},
    }
    features = {name: clinic.of_files(paths) for name, paths in files.items()}
    good = {
        name: np.array([assess_quality(path).gradable for path in list(paths)[::4]])
        for name, paths in files.items()
    }
    for name, pictures in made.items():
        features[name] = clinic.encoder.encode_images(pictures)
        good[name] = np.array([assess_quality(picture).gradable for picture in pictures])
    model = LogisticRegression(C=0.316, class_weight="balanced", max_iter=1000)
    model.fit(clinic.features.backbone, clinic.train.y)
    answers = model.predict(clinic.of_files(some).backbone)
    tables = {
        "distances": distances(clinic, own, features),
        "kinds": pd.DataFrame(
            [
                flagged(clinic, name, features[name], good[name])
                for name in features
                if not name.startswith(("spoilt", "changed"))
            ]
        ),
        "spoilt": pd.DataFrame(
            [
                spoilt(
                    clinic,
                    name,
                    features[name],
                    good[name],
                    model.predict(features[name].backbone) != answers,
                )
                for name in made
                if name.startswith(("spoilt", "changed"))
            ]
        ),
    }
    for name, table in tables.items():
        table.to_csv(asked.out / f"typicality-{name}.csv", index=False)
        print(f"\n{name if name != 'distances' else 'distances (areas under the ROC curve)'}\n")
        print(table.to_markdown(index=False, floatfmt=".3f") if name == "distances" else markdown(table))


def distances(clinic: Clinic, own: ImageFeatures, features: dict[str, ImageFeatures]) -> pd.DataFrame:
    """Share of pairs in which a picture of a group is farther off than one of the test side, a distance a row."""
    rows = []
    for kind in KINDS_OF_FEATURES:
        X = getattr(clinic.features, kind)
        for name, distance in {
            **{f"cosine, {k} nearest": nearest(X, k) for k in (1, 5, 20)},
            "Mahalanobis, shrunk": clinic.typicality[kind].distances,
        }.items():
            near = distance(getattr(own, kind))
            far: dict[str, list[NDArray]] = {}
            for group, other in features.items():
                if group != "real: own test side":
                    far.setdefault(group.split(":")[0], []).append(distance(getattr(other, kind)))
            rows.append(
                {"features": kind, "distance": name}
                | {
                    {"real": "idrid"}.get(group, group): roc_auc_score(
                        np.r_[np.zeros(len(near)), np.ones(sum(map(len, parts)))],
                        np.concatenate([near, *parts]),
                    )
                    for group, parts in far.items()
                }
            )
    return pd.DataFrame(rows)


def nearest(X: NDArray[np.float32], k: int) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Mean cosine distance to the k nearest training rows."""
    found = NearestNeighbors(n_neighbors=k, metric="cosine").fit(X)
    return lambda new: np.asarray(found.kneighbors(new)[0].mean(axis=1))


def refused(clinic: Clinic, features: ImageFeatures) -> dict[str, NDArray[np.bool_]]:
    """Whether each is unlike the training photographs, by either kind of features."""
    return {
        kind: clinic.typicality[kind].p_values(getattr(features, kind)) <= UNTYPICAL
        for kind in KINDS_OF_FEATURES
    }


def flagged(clinic: Clinic, name: str, features: ImageFeatures, good: NDArray[np.bool_]) -> dict[str, object]:
    """A row: shares that are untypical, of poor quality, and either; quality of files was asked of one in four."""
    far = refused(clinic, features)
    step = 4 if len(features) > len(good) else 1
    row: dict[str, object] = {"pictures": name, "number": len(features), "quality": float(np.mean(~good))}
    row |= {f"untypical ({kind})": float(np.mean(far[kind])) for kind in far}
    return row | {f"either ({kind})": float(np.mean(~good | far[kind][::step])) for kind in far}


def spoilt(
    clinic: Clinic,
    name: str,
    features: ImageFeatures,
    good: NDArray[np.bool_],
    other: NDArray[np.bool_],
) -> dict[str, object]:
    """A row: how many answers change, and how many of these nothing flags."""
    far = refused(clinic, features)["backbone"]
    return {
        "photographs": name,
        "answers changed": float(np.mean(other)),
        "quality": float(np.mean(~good)),
        "untypical": float(np.mean(far)),
        "either": float(np.mean(~good | far)),
        "changed, not flagged": float(np.mean(other & good & ~far)),
    }


def drawn_things() -> list[np.ndarray]:
    """Four of each kind."""
    return [
        drawn(np.random.default_rng([SEED, number, i]), kind)
        for number, kind in enumerate(KINDS)
        for i in range(4)
    ]


def bundled() -> dict[str, list[np.ndarray]]:
    """Pictures of scikit-image and scikit-learn, as they are, and round on black in a fundus's colours."""
    rng = np.random.default_rng(SEED)
    files = [
        path
        for path in sorted((Path(skimage.__file__).parent / "data").iterdir())
        if path.suffix in (".png", ".jpg", ".gif") and path.name not in ("retina.jpg", "microaneurysms.png")
    ] + sorted((Path(sklearn.__file__).parent / "datasets/images").glob("*.jpg"))
    read = [read_image(path) for path in files]
    return {
        "no retina: bundled": read,
        "no retina: bundled, as a fundus": [on_black(rng, tinted(rng, picture)) for picture in read],
    }


def changed(
    change: Callable[[np.random.Generator, np.ndarray], np.ndarray], pictures: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Each picture changed in one way."""
    return [change(np.random.default_rng([SEED, i]), picture) for i, picture in enumerate(pictures)]


if __name__ == "__main__":
    main()
