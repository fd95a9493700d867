"""Which distance of features tells other pictures from a clinic's own best; writes typicality.csv and .md.

    .venv/bin/python recipes/quality/typicality.py --shared ../shared/data --out build/quality

The training side is dr-clinic's; other pictures are compared with photographs of its test side, and idrid's with them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import skimage
import sklearn
from drawn import KINDS, drawn, on_black, tinted
from retinas import SPOILT
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from fewshot_flair import Manifest, load_encoder, read_image
from fewshot_flair.evaluation import Typicality

SEVERE = (
    "dark, 0.12 of the light",
    "blurred, sigma 1.6% of the field",
    "covered to 50%",
    "inverted",
    "blue cast",
    "noise of 30 levels",
)
SEED = 2026


def main() -> None:
    """Encode, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder that holds dr-clinic/ and idrid/")
    parser.add_argument("--out", type=Path, default=Path("build/quality"))
    asked = parser.parse_args()
    encoder = load_encoder("mini")
    manifest = Manifest.read(asked.shared / "dr-clinic" / "manifest.csv")
    train, test = manifest.split("train"), manifest.split("test")
    own = [read_image(path) for path in list(test.paths)[::4]]
    groups = {name: pictures(name, own, asked.shared) for name in ("drawn", "bundled", "idrid", *SEVERE)}
    fitted_on = encoder.encode_images(train.paths).backbone
    clean = encoder.encode_images(own).backbone
    other = {name: encoder.encode_images(group).backbone for name, group in groups.items()}
    patients = train.groups
    rows = []
    for name, distance in {
        **{f"cosine, {k} nearest": Typicality.fit(fitted_on, patients, k).distances for k in (1, 5, 20)},
        "Mahalanobis, shrunk": LedoitWolf().fit(fitted_on).mahalanobis,
    }.items():
        near = distance(clean)
        rows.append({"distance": name} | {group: auroc(near, distance(X)) for group, X in other.items()})
    typicality = Typicality.fit(fitted_on, patients)
    for level in (0.05, 0.01):
        low = {group: float(np.mean(typicality.p_values(X) <= level)) for group, X in other.items()}
        rows.append(
            {
                "distance": f"share with p <= {level} (5 nearest)",
                "own test side": float(np.mean(typicality.p_values(clean) <= level)),
            }
            | low
        )
    table = pd.DataFrame(rows).round(3)
    print(table.to_string())
    asked.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(asked.out / "typicality.csv", index=False)
    (asked.out / "typicality.md").write_text(
        table.fillna("").to_markdown(index=False) + "\n", encoding="utf-8"
    )


def pictures(name: str, own: list[np.ndarray], shared: Path) -> list[np.ndarray]:
    """The pictures of a group."""
    rng = np.random.default_rng(SEED)
    if name == "drawn":
        return [drawn(rng, kind) for kind in KINDS for _ in range(3)]
    if name == "bundled":
        files = [
            *(Path(skimage.__file__).parent / "data").glob("*.png"),
            *(Path(sklearn.__file__).parent / "datasets/images").glob("*.jpg"),
        ]
        read = [read_image(path) for path in sorted(files) if path.name != "microaneurysms.png"]
        return [*read, *(on_black(rng, tinted(rng, picture)) for picture in read)]
    if name == "idrid":
        return [read_image(path) for path in sorted((shared / "idrid" / "images").glob("*.jpg"))[::8]]
    return [SPOILT[name](rng, picture) for picture in own[::2]]


def auroc(near: np.ndarray, far: np.ndarray) -> float:
    """Share of pairs in which the other picture is farther off than the clinic's own."""
    return float(roc_auc_score(np.r_[np.zeros(len(near)), np.ones(len(far))], np.r_[near, far]))


if __name__ == "__main__":
    main()
