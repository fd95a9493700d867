"""Measure what `quality` says of things that are no retina, of spoilt retinas and of real ones; print the table.

    .venv/bin/python recipes/quality/measure.py --shared ../shared/data --out build/quality

Nothing that is measured here was fitted on: photographs are none of fit.py's, and drawn things have other seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import skimage
import sklearn
from clinic import KINDS_OF_FEATURES, Clinic, markdown
from drawn import KINDS, drawn, on_black, tinted
from retinas import VARIANTS

from fewshot_flair import assess_quality, read_image
from fewshot_flair.models.answers import UNTYPICAL
from fewshot_flair.rendering import render_patient
from fewshot_flair.rendering.demo import demo_clinic

SEED = 2026
REAL_RETINAS = {"retina.jpg", "microaneurysms.png"}
"""Of scikit-image's pictures; the second is a small part of one, and is left out of both sides."""
Row = tuple[str, str, bool, bool, str, np.ndarray | None]


def said(group: str, kind: str, picture: np.ndarray) -> Row:
    """Group, kind, whether it is taken for a retina, for gradable, why not; and a picture that should not have been."""
    found = assess_quality(picture)
    passed = picture if found.gradable and "retina" not in group else None
    return group, kind, found.retina, found.gradable, "; ".join(found.reasons), passed


def drawn_things(kind: str, each: int) -> list[Row]:
    """Other draws of the kinds that fit.py was fitted on."""
    number = list(KINDS).index(kind)
    return [said("drawn", kind, drawn(np.random.default_rng([SEED, number, i]), kind)) for i in range(each)]


def bundled(path: Path) -> list[Row]:
    """A picture as it is, its middle through a round opening, parts of it, all also in a fundus's colours."""
    picture = read_image(path)
    rng = np.random.default_rng([SEED, *path.name.encode()])
    height, width = picture.shape[:2]
    rows = [said("bundled picture", "as it is", picture)]
    for tint in (False, True):
        seen = tinted(rng, picture) if tint else picture
        words = ", in a fundus's colours" * tint
        rows += [said("bundled picture", f"round on black{words}", on_black(rng, seen)) for _ in range(4)]
        for _ in range(4):
            side = int(min(height, width) * rng.uniform(0.3, 0.8))
            top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
            part = seen[top : top + side, left : left + side]
            rows.append(said("bundled picture", f"part{words}", part))
            rows.append(said("bundled picture", f"part, round on black{words}", on_black(rng, part)))
    return rows


def faces(each: int) -> list[Row]:
    """Small photographs of faces (and of no faces), grey, ten times as large."""
    pictures = np.load(Path(skimage.__file__).parent / "data" / "lfw_subset.npy")[: 2 * each : 2]
    rows = []
    for i, face in enumerate(pictures):
        large = cv2.resize((face * 255).astype(np.uint8), None, fx=10, fy=10, interpolation=cv2.INTER_CUBIC)
        picture = np.repeat(large[..., None], 3, 2)
        rng = np.random.default_rng([SEED, i])
        rows.append(said("bundled picture", "face", picture))
        rows.append(
            said(
                "bundled picture",
                "face, round on black, in a fundus's colours",
                on_black(rng, tinted(rng, picture)),
            )
        )
    return rows


def monitor(path: Path) -> Row:
    """A photograph of a monitor that shows a retina, obliquely, with pixels, glare and the room around it."""
    rng = np.random.default_rng([SEED, *path.name.encode()])
    picture = cv2.resize(read_image(path), (480, 330)).astype(np.float32)
    picture[:, ::3] *= 0.72
    picture[::3] *= 0.8
    room = np.full((600, 800, 3), rng.uniform(40, 150, 3), np.float32)
    room[90:470, 130:660] = 18
    room[115:445, 155:635] = picture
    room[500:520, 300:500] = 30
    corners = np.array([[0, 0], [800, 0], [800, 600], [0, 600]], np.float32)
    moved = (corners + rng.uniform(-60, 60, (4, 2))).astype(np.float32)
    seen = cv2.warpPerspective(
        room, cv2.getPerspectiveTransform(corners, moved), (800, 600), borderMode=cv2.BORDER_REPLICATE
    )
    glare = 90 * np.exp(
        -((np.arange(800)[None] - rng.uniform(200, 600)) ** 2 + (np.arange(600)[:, None] - 250) ** 2) / 9000
    )
    return said("monitor", "a retina on a monitor", (seen + glare[..., None]).clip(0, 255).astype(np.uint8))


def real(source: str, path: Path) -> Row:
    """A photograph as it is."""
    return said("retina", source, read_image(path))


def variants(path: Path) -> list[Row]:
    """A real photograph as other cameras would have it."""
    picture = read_image(path)
    rng = np.random.default_rng([SEED, *path.name.encode()])
    return [said("real retina, changed", name, change(rng, picture)) for name, change in VARIANTS.items()]


def rendered(number: int) -> list[Row]:
    """A patient that fit.py did not draw."""
    return [
        said("retina", "rendered", taken.image)
        for taken in render_patient(np.random.default_rng([SEED, number]))
    ]


def _run(pool: ProcessPoolExecutor, shared: Path | None, part: int) -> Iterator[Row]:
    pictures = Path(skimage.__file__).parent / "data"
    files = [
        p
        for p in sorted(pictures.iterdir())
        if p.suffix in (".png", ".jpg", ".gif") and p.name not in REAL_RETINAS
    ]
    files += sorted((Path(sklearn.__file__).parent / "datasets" / "images").glob("*.jpg"))
    for rows in pool.map(drawn_things, KINDS, [60 // part] * len(KINDS)):
        yield from rows
    for rows in pool.map(bundled, files):
        yield from rows
    yield from faces(40 // part)
    for rows in pool.map(rendered, range(100 // part)):
        yield from rows
    demo = sorted((demo_clinic().parent / "images").glob("*.jpg"))[:: 3 * part]
    yield from pool.map(real, ["demo clinic (rendered)"] * len(demo), demo, chunksize=8)
    yield real("scikit-image's retina", pictures / "retina.jpg")
    for name in ("dr-clinic", "idrid") if shared else ():
        files = sorted((shared / name / "images").glob("*.jpg"))[::part]
        yield from pool.map(real, [name] * len(files), files, chunksize=8)
        for rows in pool.map(variants, files[:: 30 // part]):
            yield from rows
        yield from pool.map(monitor, files[:: 20 // part])


def summary(rows: list[Row], untypical: dict[int, dict[str, bool]]) -> pd.DataFrame:
    """Shares a kind, and of all; the drawn kinds that were all flagged share a row."""
    table = pd.DataFrame([row[:4] for row in rows], columns=["group", "kind", "retina", "gradable"])
    found = pd.DataFrame({"pictures": 1, "no retina": ~table["retina"], "flagged": ~table["gradable"]})
    nothing = ~table["group"].str.contains("retina")
    for kind in KINDS_OF_FEATURES if untypical else ():
        words = f"or untypical ({kind})"
        found[words] = found["flagged"].astype(float).where(nothing)
        for i, answers in untypical.items():
            found.loc[i, words] = float(answers[kind])
    all_caught = table["gradable"].groupby([table["group"], table["kind"]]).transform("sum") == 0
    merged = (table["group"] == "drawn") & all_caught
    kinds = sorted(set(table["kind"][merged]))
    table.loc[merged, "kind"] = f"each of {len(kinds)} kinds: {', '.join(kinds)}"
    parts = dict(tuple(found.groupby([table["group"], table["kind"]])))
    group, kind = table["group"], table["kind"]
    parts |= {
        ("**all**", "drawn"): found[group == "drawn"],
        ("**all**", "bundled pictures, all ways"): found[group == "bundled picture"],
        ("**all**", "bundled pictures as they are"): found[
            kind.isin(["as it is", "face"]) & (group == "bundled picture")
        ],
        ("**all**", "no retina"): found[nothing],
        ("**all**", "dr-clinic and idrid"): found[kind.isin(["dr-clinic", "idrid"])],
        ("**all**", "retinas: real, demo clinic, rendered"): found[group == "retina"],
    }
    return pd.DataFrame(
        [
            {"group": name[0], "kind": name[1], "pictures": len(part)} | part.mean()[1:].to_dict()
            for name, part in parts.items()
            if len(part)
        ]
    )


def main() -> None:
    """Measure and write tables as CSV and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shared", type=Path, help="folder that holds dr-clinic/ and idrid/; without, no real ones"
    )
    parser.add_argument("--out", type=Path, default=Path("build/quality"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--part", type=int, default=1, help="measure one in so many, to look at first")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(asked.processes, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        rows = list(_run(pool, asked.shared, asked.part))
    pd.DataFrame(
        [row[:5] for row in rows], columns=["group", "kind", "retina", "gradable", "reasons"]
    ).to_csv(asked.out / "rows.csv", index=False)
    table = summary(rows, untypical(rows, Clinic(asked.shared)) if asked.shared else {})
    table.to_csv(asked.out / "kinds.csv", index=False)
    print(markdown(table))


def untypical(rows: list[Row], clinic: Clinic) -> dict[int, dict[str, bool]]:
    """Whether each picture that passed is refused as unlike dr-clinic's training photographs, by its row."""
    passed = {i: row[5] for i, row in enumerate(rows) if row[5] is not None}
    if not passed:
        return {}
    features = clinic.encoder.encode_images(list(passed.values()))
    said = {
        kind: clinic.typicality[kind].p_values(getattr(features, kind)) <= UNTYPICAL
        for kind in KINDS_OF_FEATURES
    }
    return {i: {kind: bool(said[kind][at]) for kind in said} for at, i in enumerate(passed)}


if __name__ == "__main__":
    main()
