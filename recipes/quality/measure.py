"""Measure what `quality` says of things that are no retina, of spoilt retinas and of real ones; write the table.

    .venv/bin/python recipes/quality/measure.py --shared ../shared/data --out build/quality

Nothing that is measured here was fitted on: photographs are none of fit.py's, and drawn things have other seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import skimage
import sklearn
from drawn import KINDS, drawn, on_black, tinted
from retinas import SPOILT, VARIANTS

from fewshot_flair import assess_quality, read_image
from fewshot_flair.rendering import render_patient
from fewshot_flair.rendering.demo import demo_clinic

SEED = 2026
REAL_RETINAS = {"retina.jpg", "microaneurysms.png"}
"""Of scikit-image's pictures; the second is a small part of one, and is left out of both sides."""
Row = tuple[str, str, bool, bool, str]


def said(group: str, kind: str, picture: np.ndarray) -> Row:
    """Group, kind, whether it is taken for a retina, for gradable, and why not."""
    found = assess_quality(picture)
    return group, kind, found.retina, found.gradable, "; ".join(found.reasons)


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


def spoilt(shared: Path, part: int) -> pd.DataFrame:
    """How often an answer changes where a photograph is spoilt, beside what `quality` says of it.

    The answers are those of logistic regression on the mini model's features of dr-clinic's training side, for
    photographs of its test side. The first row holds photographs that are only compressed anew, at quality 90.
    """
    from sklearn.linear_model import LogisticRegression

    from fewshot_flair import Manifest, load_encoder

    encoder = load_encoder("mini")
    manifest = Manifest.read(shared / "dr-clinic" / "manifest.csv")
    train, test = manifest.split("train"), manifest.split("test")
    paths = list(train.paths)[::part]
    model = LogisticRegression(C=0.316, class_weight="balanced", max_iter=1000)
    model.fit(encoder.encode_images(paths).backbone, train.y[::part])
    pictures = [read_image(path) for path in list(test.paths)[:: 5 * part]]
    before = model.predict(encoder.encode_images(pictures).backbone)
    rows = []
    for name, change in SPOILT.items():
        changed = [change(np.random.default_rng([SEED, i]), picture) for i, picture in enumerate(pictures)]
        found = [assess_quality(picture) for picture in changed]
        after = model.predict(encoder.encode_images(changed).backbone)
        good = np.array([one.gradable for one in found])
        other = after != before
        rows.append(
            {
                "spoilt how": name,
                "photographs": len(found),
                "no retina": np.mean([not one.retina for one in found]),
                "flagged": np.mean(~good),
                "answers changed": other.mean(),
                "changed, not flagged": (other & good).mean(),
            }
        )
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def summary(rows: list[Row]) -> pd.DataFrame:
    """Counts a kind."""
    table = []
    for (group, kind), part in groupby(sorted(rows, key=lambda row: row[:2]), key=lambda row: row[:2]):
        found = list(part)
        retina, gradable = ([row[i] for row in found] for i in (2, 3))
        table.append(
            {
                "group": group,
                "kind": kind,
                "pictures": len(found),
                "no retina": 1 - np.mean(retina),
                "flagged": 1 - np.mean(gradable),
            }
        )
    return pd.DataFrame(table)


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
    pd.DataFrame(rows, columns=["group", "kind", "retina", "gradable", "reasons"]).to_csv(
        asked.out / "rows.csv", index=False
    )
    tables = {"kinds": summary(rows)}
    print(tables["kinds"].to_string(), flush=True)
    for name, groups in (("no retina", ("drawn", "bundled picture")), ("real retinas", ("retina",))):
        chosen = [row for row in rows if row[0] in groups]
        flagged, none = (np.mean([not row[i] for row in chosen]) for i in (3, 2))
        print(f"{name}: {len(chosen)}, flagged {flagged:.2%}, as no retina {none:.2%}", flush=True)
    if asked.shared:
        tables["spoilt"] = spoilt(asked.shared, asked.part)
    for name, table in tables.items():
        table.to_csv(asked.out / f"{name}.csv", index=False)
        shown = table.map(lambda cell: f"{cell:.1%}" if isinstance(cell, float) else cell)
        (asked.out / f"{name}.md").write_text(shown.to_markdown(index=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
