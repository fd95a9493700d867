"""The fast preparation: near the exact one, and as careful."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot_flair.errors import InputError
from fewshot_flair.images.fast import fast_box, read_reduced
from fewshot_flair.images.foreground import foreground_box
from fewshot_flair.images.preparation import ImagePreparation, prepare, read_image

EXACT = ImagePreparation(image_size=128)
FAST = replace(EXACT, fast=True)


def fundus(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    radius = 0.45 * height
    inside = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < radius**2
    light = 150 + 60 * np.sin(rows / 40) * np.cos(columns / 50)
    return (inside[..., None] * light[..., None] * np.array([1.0, 0.55, 0.3])).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "scale"), [((150, 180), 1), ((400, 600), 2), ((600, 800), 4), ((1200, 1600), 8)]
)
def test_jpegs_are_decoded_as_small_as_the_canvas_allows(tmp_path: Path, shape: tuple[int, int], scale: int):
    pixels = fundus(*shape)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_reduced(tmp_path / "a.jpg", 128, False, True).shape[:2] == tuple(
        -(-side // scale) for side in shape
    )
    assert read_reduced(tmp_path / "a.png", 128, False, True).shape[:2] == shape
    difference = np.abs(prepare(tmp_path / "a.jpg", FAST) - prepare(tmp_path / "a.jpg", EXACT))
    # The edge of the field may move by a pixel of the canvas; nothing else does.
    assert np.median(difference) < 2 / 255
    assert difference.mean() < 3 / 255


def test_the_side_that_the_canvas_takes_decides(tmp_path: Path):
    Image.fromarray(fundus(800, 3100)).save(tmp_path / "wide.jpg", quality=95)
    assert read_reduced(tmp_path / "wide.jpg", 256, False, False).shape[:2] == (100, 388)
    assert read_reduced(tmp_path / "wide.jpg", 256, True, False).shape[:2] == (400, 1550)
    for canvas, least in (("pad", (100, 388)), ("stretch", (400, 1550)), ("center-crop", (400, 1550))):
        fast = ImagePreparation(image_size=256, crop=False, canvas=canvas, fast=True)
        expected = prepare(
            read_image(tmp_path / "wide.jpg", reduce=800 // least[0]), replace(fast, fast=False)
        )
        assert (prepare(tmp_path / "wide.jpg", fast) == expected).all()


@pytest.mark.parametrize("shortest", [False, True])
def test_a_fundus_in_a_part_of_the_frame_keeps_the_pixels_that_the_canvas_takes(
    tmp_path: Path, shortest: bool
):
    frame = np.zeros((1600, 2000, 3), np.uint8)
    for part, scale in ((1600, 8), (1000, 4), (500, 2), (250, 1)):
        frame[:] = 0
        frame[:part, :part] = fundus(part, part)
        Image.fromarray(frame).save(tmp_path / "part.jpg", quality=95)
        reduced = read_reduced(tmp_path / "part.jpg", 128, shortest, True)
        assert reduced.shape[:2] == (1600 // scale, 2000 // scale)
        top, left, bottom, right = fast_box(reduced)
        assert min(bottom - top, right - left) >= 128
    difference = np.abs(prepare(tmp_path / "part.jpg", FAST) - prepare(tmp_path / "part.jpg", EXACT))
    assert difference.mean() < 3 / 255


def test_a_strip_and_a_photograph_that_pillow_warns_of_are_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Image.fromarray(np.full((7, 9000, 3), 100, np.uint8)).save(tmp_path / "strip.jpg")
    assert prepare(tmp_path / "strip.jpg", FAST).shape == (3, 128, 128)
    Image.fromarray(fundus(600, 800)).save(tmp_path / "a.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_reduced(tmp_path / "a.jpg", 128, False, True).shape == (150, 200, 3)


def test_full_resolution_is_decoded_at_a_quarter_for_512_pixels(dr_clinic: Path):
    photographs = sorted((dr_clinic / "fullres").glob("*.jpg"))
    assert photographs
    for path in photographs[:3]:
        assert read_reduced(path, 512, False, True).shape == (648, 968, 3)


def test_small_photographs_are_prepared_exactly(dr_clinic: Path):
    for path in sorted((dr_clinic / "images").glob("*.jpg"))[::100]:
        for canvas in ("pad", "center-crop"):
            exact = ImagePreparation(image_size=512, canvas=canvas)
            assert (prepare(path, replace(exact, fast=True)) == prepare(path, exact)).all()


def test_the_box_misses_what_is_thinner_than_its_steps():
    pixels = np.zeros((2400, 2400, 3), np.uint8)
    rows, columns = np.ogrid[:2400, :2400]
    pixels[(rows - 1200) ** 2 + (columns - 1200) ** 2 < 900**2] = 180
    round_field = foreground_box(pixels)
    pixels[1201, 2000:] = 180
    assert foreground_box(pixels)[3] == 2400
    assert np.abs(np.subtract(fast_box(pixels), round_field)).max() < 3


def test_the_box_is_within_a_step_of_the_exact_one():
    rng = np.random.default_rng(0)
    for _ in range(20):
        height, width = rng.integers(300, 2500, 2)
        pixels = np.zeros((height, width, 3), np.uint8)
        top, left = rng.integers(0, 100, 2)
        bottom, right = height - rng.integers(1, 100), width - rng.integers(1, 100)
        pixels[top:bottom, left:right] = 120
        step = max(1, max(height, width) // 800)
        assert np.abs(np.subtract(fast_box(pixels), foreground_box(pixels))).max() < step + 1


def test_rotation_grey_and_damage_are_treated_as_in_the_exact_way(tmp_path: Path):
    upright = Image.fromarray(fundus(600, 800))
    exif = upright.getexif()
    exif[0x0112] = 6  # to be shown rotated by 90 degrees
    upright.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert read_reduced(tmp_path / "turned.jpg", 128, False, True).shape == (200, 150, 3)
    upright.convert("L").save(tmp_path / "grey.jpg")
    assert read_reduced(tmp_path / "grey.jpg", 128, False, True).shape == (150, 200, 3)
    upright.convert("CMYK").save(tmp_path / "cmyk.jpg")
    assert read_reduced(tmp_path / "cmyk.jpg", 128, False, True).shape == (150, 200, 3)
    raw = (tmp_path / "grey.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match="truncated"):
        prepare(tmp_path / "cut.jpg", FAST)
    (tmp_path / "text.jpg").write_bytes(b"\xff\xd8\xff no more")
    with pytest.raises(InputError):
        prepare(tmp_path / "text.jpg", FAST)
