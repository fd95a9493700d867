"""Fit the scorecard that tells a retina from everything else, on rendered retinas and drawn things only.

    .venv/bin/python recipes/quality/fit.py

writes fewshot_flair/images/quality/scorecard.json: for each measure a few knots and the points at each of them, between
which points are interpolated. The sum of points is the logit. No photograph is seen: those that measure.py reports on
are left for that.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from drawn import KINDS, camera, drawn
from retinas import VARIANTS
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from fewshot_flair.images.quality.field import find_field
from fewshot_flair.images.quality.measures import measure
from fewshot_flair.images.quality.scorecard import CARD
from fewshot_flair.rendering import CameraRange, render_patient

PATIENTS, EACH, SEED = 400, 240, 11
KNOTS = 5
STRENGTH = 0.2
"""Inverse strength of the ridge penalty on the points."""
PASSED = 0.02
"""Share of drawn things that the threshold lets pass when they are cross-validated; most of these are not gradable."""
UNUSED = {"diameter", "share", "seen", "sharpness", "grain", "detail"}
"""How large the field is says nothing of what it shows; and what is there by another name."""
FADED = CameraRange(
    gamma=(0.9, 1.6), green=(0.72, 1.1), blue=(0.6, 1.5), saturation=(0.22, 0.9), vignette=(0.0, 0.7),
    exposure=(0.5, 1.7), noise=(0.0, 0.028), blur=(0.3, 1.8), diameter=(300, 520),
)  # fmt: skip
"""Older cameras: pale and noisy. Every second patient is photographed by one."""


def main() -> None:
    """Draw, measure, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CARD)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--measured", type=Path, help="JSON file of the measures, to keep or to start from")
    asked = parser.parse_args()
    if asked.measured and asked.measured.is_file():
        rows = json.loads(asked.measured.read_text(encoding="utf-8"))
    else:
        with ProcessPoolExecutor(asked.processes) as pool:
            rows = [row for part in pool.map(patient, range(PATIENTS)) for row in part]
            rows += [row for part in pool.map(things, KINDS, range(len(KINDS))) for row in part]
    if asked.measured:
        asked.measured.write_text(json.dumps(rows), encoding="utf-8")
    kinds = np.array([row[0] for row in rows])
    groups = np.array([row[1] for row in rows])
    names = [name for name in rows[0][2] if name not in UNUSED]
    X = np.array([[row[2][name] for name in names] for row in rows])
    y = np.char.startswith(kinds, "retina")
    knots = [knots_of(X[:, column], y) for column in range(len(names))]
    Z = np.concatenate([hats(X[:, column], k) for column, k in enumerate(knots)], axis=1)
    held_out = np.empty(len(y))
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(Z, groups=groups):
        held_out[test] = fitted(Z[train], y[train]).decision_function(Z[test])
    threshold = float(np.quantile(held_out[~y], 1 - PASSED))
    left_out(Z, y, kinds, threshold)
    model = fitted(Z, y)
    points = np.split(model.coef_[0], np.cumsum([len(k) for k in knots])[:-1])
    card = {
        "made_by": "recipes/quality/fit.py",
        "retinas": int(y.sum()),
        "things": int((~y).sum()),
        "offset": round(float(model.intercept_[0]) - threshold, 4),
        "measures": {
            name: {"knots": k.round(5).tolist(), "points": p.round(4).tolist()}
            for name, k, p in zip(names, knots, points, strict=True)
        },
    }
    asked.out.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(
        f"threshold {threshold:.2f}; cross-validated: {np.mean(held_out[y] < threshold):.2%} of retinas are left out"
    )
    print(f"written to {asked.out}")


def patient(number: int) -> list[tuple[str, str, dict[str, float]]]:
    """Kind, group and measures of a patient's photographs, plain and as variants."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([SEED, number])
    rows = []
    for taken in render_patient(rng, None, FADED if number % 2 else None):
        rows.append(("retina", taken.image))
        if number % 2:
            continue
        for name in rng.choice(list(VARIANTS), 2, replace=False):
            changed = VARIANTS[name](rng, taken.image)
            rows.append((f"retina, {name}", camera(rng, changed) if rng.random() < 0.3 else changed))
    return [(kind, f"patient {number}", measure(find_field(picture))) for kind, picture in rows]


def things(kind: str, number: int) -> list[tuple[str, str, dict[str, float]]]:
    """Kind, group and measures of drawn things of a kind."""
    cv2.setNumThreads(1)
    return [
        (kind, f"{kind} {i}", measure(find_field(drawn(np.random.default_rng([SEED, number, i]), kind))))
        for i in range(EACH)
    ]


def knots_of(values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where points are given: at quantiles, retinas and things counting alike."""
    shares = np.linspace(0.03, 0.97, KNOTS)
    both = np.concatenate([np.quantile(values[side], np.linspace(0, 1, 999)) for side in (y, ~y)])
    return np.unique(np.quantile(both, shares).round(5))


def hats(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Each knot's share in each value: columns that sum to 1."""
    return np.stack([np.interp(values, knots, row) for row in np.eye(len(knots))], axis=1)


def fitted(Z: np.ndarray, y: np.ndarray) -> LogisticRegression:
    """Logistic regression with both sides counting alike."""
    return LogisticRegression(C=STRENGTH, max_iter=5000, class_weight="balanced").fit(Z, y)


def left_out(Z: np.ndarray, y: np.ndarray, kinds: np.ndarray, threshold: float) -> None:
    """Print how many of each kind pass where no thing of the kind was fitted on."""
    for kind in KINDS:
        others = kinds != kind
        passed = fitted(Z[others], y[others]).decision_function(Z[~others]) >= threshold
        print(f"{kind}: {passed.mean():.1%} pass where none of the kind was seen")


if __name__ == "__main__":
    main()
