"""A contact sheet of drawn, bundled and rendered pictures with what `quality` says of each; writes a PNG or JPEG.

    .venv/bin/python recipes/quality/sheet.py --out docs/images/quality.jpg

None of it is a person's photograph: bundled pictures are scikit-image's, retinas are rendered.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import skimage
from drawn import drawn, on_black, tinted
from PIL import Image, ImageDraw, ImageFont
from retinas import SPOILT

from fewshot_flair import assess_quality, read_image
from fewshot_flair.rendering import render_patient

SEED = 2026
WIDE, HIGH = 190, 150
TEXT = 46
BUNDLED = Path(skimage.__file__).parent / "data"
DRAWN = ("oct strip", "screenshot", "outer eye")
SPOILING = (
    "dark, 0.12 of the light",
    "blurred, sigma 1.6% of the field",
    "covered to 50%",
    "green cast",
    "JPEG of quality 3",
    "noise of 60 levels",
)


def rows() -> dict[str, list[tuple[str, np.ndarray]]]:
    """Six named pictures a row."""
    rng = np.random.default_rng(SEED)
    retinas = [render_patient(np.random.default_rng([SEED, i]))[0].image for i in range(6)]
    coffee = read_image(BUNDLED / "coffee.png")
    return {
        "no retina": [
            *((kind, drawn(np.random.default_rng([SEED, 1]), kind)) for kind in DRAWN),
            ("moon", read_image(BUNDLED / "moon.png")),
            ("cup", coffee),
            ("cup, as a fundus", on_black(rng, tinted(rng, coffee))),
        ],
        "spoilt": [
            (name, SPOILT[name](rng, picture)) for name, picture in zip(SPOILING, retinas, strict=True)
        ],
        "as they are": [("rendered", picture) for picture in retinas],
    }


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/quality.jpg"))
    asked = parser.parse_args()
    table = rows()
    sheet = Image.new("RGB", (6 * (WIDE + 8) + 8, len(table) * (HIGH + TEXT + 8) + 8), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for j, pictures in enumerate(table.values()):
        for i, (name, picture) in enumerate(pictures):
            at = (8 + i * (WIDE + 8), 8 + j * (HIGH + TEXT + 8))
            scale = min(WIDE / picture.shape[1], HIGH / picture.shape[0])
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            sheet.paste(
                Image.fromarray(small),
                (at[0] + (WIDE - small.shape[1]) // 2, at[1] + (HIGH - small.shape[0]) // 2),
            )
            found = assess_quality(picture)
            why = found.reasons[0].split(" (")[0].split(":")[0].split(" or ")[0] if found.reasons else ""
            words = f"{name}\n{found.word}" + f": {why}" * (found.word == "poor")
            pen.multiline_text((at[0], at[1] + HIGH + 4), words, "black", font)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(asked.out, quality=80, optimize=True)


if __name__ == "__main__":
    main()
