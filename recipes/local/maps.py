"""How well maps of `explain` find lesions: on the 54 photographs of IDRiD with pixel masks. See README.md beside this.

python recipes/local/maps.py --run runs/dr-clinic --lesions ../shared/data/idrid/lesions --out build/maps.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from fewshot_flair.experiment.encoding import Encoding
from fewshot_flair.images import read_image
from fewshot_flair.images.tiles import Tiles
from fewshot_flair.models.explaining import Explainer
from fewshot_flair.models.run import SavedModel
from fewshot_flair.text.knowledge import prompts

KINDS = {"MA": "microaneurysms", "HE": "haemorrhages", "EX": "hard exudates", "SE": "soft exudates"}
TEXTS = ("small red dots", "haemorrhages", "yellow deposits", "cotton wool spots")
HEALTHY, SEVERE = "no diabetic retinopathy", "severe diabetic retinopathy"
NEAR = 15
"""Pixels from a lesion at which the highest place of a map still hits it; photographs are 1024 wide."""
STEP = 4
"""Every so many pixels are asked for average precision, in both directions."""
DRAWS = 2000

Map = NDArray[np.float32]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run of adapt on another clinic")
    parser.add_argument("--lesions", type=Path, required=True, help="folder of photographs and masks")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--adapter", action="append", help="of the run (default: its own choice); repeatable")
    parser.add_argument("--tiles", action="append", help="1x1, 3x3 …; repeatable (default: 3x3)")
    parser.add_argument(
        "--occlusion", type=int, default=0, help="photographs to compare with plain occlusion"
    )
    parser.add_argument("--most", type=int, help="only so many photographs, spread over all")
    parser.add_argument("--out", type=Path, help="file of the figures")
    options = parser.parse_args()
    files = sorted(path for path in options.lesions.glob("*.jpg"))
    files = files[:: max(1, len(files) // (options.most or len(files)))]
    truths = [Truth(file) for file in files]
    figures: dict[str, dict] = {}
    for name, maps in baselines(truths):
        figures[name] = measured(truths, maps)
    how = Encoding(options.cache)
    for adapter in options.adapter or [None]:
        model = SavedModel.open(options.run, adapter)
        encoder = model.encoder_now(None, None, how)
        for tiles in options.tiles or ["3x3"]:
            explainer = Explainer(model, encoder, how, Tiles.parse(tiles), "cells")
            explainer.encode([str(file) for file in files])
            seen = [explainer.see(str(file)) for file in files]
            columns = {name: model.classes.index(name) for name in (SEVERE, HEALTHY)}
            found = {name: [one.map_of(column) for one in seen] for name, column in columns.items()}
            found["predicted class"] = [one.map_of(int(one.logits.argmax())) for one in seen]
            label = f"{model.name}, {explainer.tiles}"
            for name, maps in found.items():
                figures[f"{label}: {name}"] = measured(truths, maps)
            alike = [
                correlation(t, a, b) for t, a, b in zip(truths, found[SEVERE], found[HEALTHY], strict=True)
            ]
            figures[f"{label}: {SEVERE}"]["correlation with healthy"] = interval(alike)
            both = [_mixed(t, one) for t, one in zip(truths, found[SEVERE], strict=True)]
            figures[f"{label}: {SEVERE}, times band-passed green"] = measured(truths, both)
            if options.occlusion:
                some = range(0, len(files), max(1, len(files) // options.occlusion))
                agreed = [explainer.agreement(str(files[i]), columns[SEVERE], found[SEVERE][i]) for i in some]
                figures[f"{label}: {SEVERE}"]["agreement with occlusion"] = interval(agreed)
            print(f"{label}: done", flush=True)
    explainer.encode_for_queries([str(file) for file in files])
    lines = [prompts([text], encoder.template)[0] for text in TEXTS]
    texts = np.concatenate([encoder.encode_texts([line]) for line in lines])
    queried = [explainer.queried(str(file), texts) for file in files]
    for i, text in enumerate(TEXTS):
        found = figures[f'text "{text}", {explainer.tiles}'] = measured(truths, [maps[i] for maps in queried])
        alike = [correlation(t, maps[i], maps[0]) for t, maps in zip(truths, queried, strict=True)]
        found[f'correlation with "{TEXTS[0]}"'] = interval(alike)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"base rate {figures['distance to the centre']['any']['base rate']:.3f}\n\n{table(figures)}")
    for name, found in figures.items():
        for what in found:
            if what.startswith(("correlation", "agreement")):
                print(f"{name}: {what} {_shown(found[what], 2)}")


class Truth:
    """A photograph with its masks and its field."""

    def __init__(self, file: Path) -> None:
        self.rgb = read_image(file)
        height, width = self.rgb.shape[:2]
        self.field = cv2.erode(
            (cv2.GaussianBlur(self.rgb[..., 0], (0, 0), 5) > 15).astype(np.uint8), np.ones((31, 31), np.uint8)
        ).astype(bool)
        self.masks: dict[str, NDArray[np.bool_]] = {}
        for kind in KINDS:
            mask = file.with_name(f"{file.stem}_{kind}.png")
            if mask.is_file():
                self.masks[kind] = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > 127
        self.masks["any"] = np.any([*self.masks.values(), np.zeros((height, width), bool)], axis=0)
        self.near = {kind: self._near(mask) for kind, mask in self.masks.items()}

    def _near(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if not mask.any():
            return mask
        return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= NEAR


def _green(truth: Truth) -> Map:
    green = truth.rgb[..., 1].astype(np.float32)
    return np.abs(cv2.GaussianBlur(green, (0, 0), 2) - cv2.GaussianBlur(green, (0, 0), 8))


def _centre(truth: Truth) -> Map:
    rows, columns = np.nonzero(truth.field)
    y, x = np.mgrid[: truth.field.shape[0], : truth.field.shape[1]]
    return -np.hypot(y - rows.mean(), x - columns.mean()).astype(np.float32)


def _mixed(truth: Truth, values: Map) -> Map:
    """What speaks for the class, times the band-passed green channel: the map says where, the channel how sharply."""
    inside = np.nan_to_num(values, nan=np.nanmin(values))
    low, high = np.percentile(inside[truth.field], [1, 99])
    return np.clip((inside - low) / (high - low), 0.0, 1.0).astype(np.float32) * _green(truth)


def baselines(truths: list[Truth]) -> Iterator[tuple[str, list[Map]]]:
    """Maps that no model made."""
    ways: dict[str, Callable[[Truth], Map]] = {
        "band-passed green channel": _green,
        "distance to the centre": _centre,
    }
    for name, way in ways.items():
        yield name, [way(truth) for truth in truths]


def measured(truths: list[Truth], maps: list[Map]) -> dict:
    """Pointing game, and average precision over the base rate, for lesions of any kind and of each."""
    found: dict = {}
    for kind in ("any", *KINDS):
        points, precisions, bases = [], [], []
        for truth, values in zip(truths, maps, strict=True):
            mask = truth.masks.get(kind)
            if mask is None or not mask[truth.field].any():
                continue
            usable = np.nan_to_num(values, nan=np.nanmin(values))
            place = np.where(truth.field, usable, -np.inf).argmax()
            points.append(float(truth.near[kind].ravel()[place]))
            inside = truth.field[::STEP, ::STEP]
            labels = mask[::STEP, ::STEP][inside]
            if labels.any():
                precisions.append(float(average_precision_score(labels, usable[::STEP, ::STEP][inside])))
                bases.append(float(labels.mean()))
        times = np.array(precisions) / np.array(bases)
        found[kind] = {
            "photographs": len(points),
            "pointing": interval(points),
            "precision": interval(precisions),
            "base rate": float(np.mean(bases)),
            "times": interval(times.tolist()),
            "median times": float(np.median(times)),
        }
    return found


def correlation(truth: Truth, first: Map, second: Map) -> float:
    """Pearson's, over the field."""
    both = truth.field & np.isfinite(first) & np.isfinite(second)
    return float(np.corrcoef(first[both], second[both])[0, 1])


def interval(values: list[float]) -> list[float]:
    """The mean over photographs, and 95 % of its bootstrap."""
    x = np.array(values)
    means = x[np.random.default_rng(0).integers(len(x), size=(DRAWS, len(x)))].mean(axis=1)
    return [float(x.mean()), *np.percentile(means, [2.5, 97.5]).tolist()]


def table(figures: dict[str, dict]) -> str:
    """The table, in Markdown."""
    head = [
        "map",
        "pointing game",
        "average precision",
        "times base: any lesion",
        *KINDS.values(),
        "any, median",
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, found in figures.items():
        every = found["any"]
        cells = [name, _shown(every["pointing"], 2), _shown(every["precision"], 3)]
        cells += [_shown(found[kind]["times"], 1) for kind in ("any", *KINDS)]
        lines.append([*cells, f"{every['median times']:.1f}"])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shown(values: list[float], digits: int) -> str:
    mean, low, high = values
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
