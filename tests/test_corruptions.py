"""Corruptions: worse by strength, the same for the same photograph, black outside the field, and told apart."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from fewshot_flair import load_encoder
from fewshot_flair.encoders.corrupted import CorruptedEncoder
from fewshot_flair.errors import InputError
from fewshot_flair.images import Corruption, corruption_of, list_corruptions
from fewshot_flair.images.corruptions.base import CORRUPTIONS

NAMES = [each.name for each in list_corruptions()]


@pytest.fixture(scope="module")
def eye() -> np.ndarray:
    """A disc with structure of all sizes, on black."""
    rng = np.random.default_rng(0)
    noise = sum(
        cv2.resize(rng.random((n, n), np.float32), (240, 240), interpolation=cv2.INTER_CUBIC)
        for n in (4, 16, 60)
    )
    levels = np.clip(np.stack([70 * noise, 40 * noise, 20 * noise], axis=2), 12, 255).astype(np.uint8)
    y, x = np.mgrid[:240, :240] - 119.5
    photograph = np.zeros((260, 320, 3), np.uint8)
    photograph[10:250, 40:280] = np.where((x**2 + y**2 < 118**2)[..., None], levels, 0)
    return photograph


@pytest.mark.parametrize("name", NAMES)
def test_each_strength_changes_more_than_the_one_before(name, eye):
    worse = [corruption_of(f"{name}:{k}")(eye) for k in range(1, 6)]
    assert all(each.shape == eye.shape and each.dtype == np.uint8 for each in worse)
    away = [np.abs(each.astype(int) - eye).mean() for each in worse]
    assert away[0] > 0
    assert away == sorted(away)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_photograph_is_spoilt_the_same_way(name, eye):
    spoilt = corruption_of(f"{name}:4")
    before = eye.copy()
    np.testing.assert_array_equal(spoilt(eye), spoilt(eye.copy()))
    np.testing.assert_array_equal(eye, before)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("blur", "jpeg")])
def test_black_outside_the_field_stays_black(name, eye):
    corners = corruption_of(f"{name}:5")(eye)[:30, :30]
    assert not corners.any()


def test_a_smaller_field_is_a_circle_of_the_same_middle(eye):
    spoilt = corruption_of("field:5")(eye)
    kept = spoilt.any(axis=2)
    np.testing.assert_array_equal(spoilt[kept], eye[kept])
    assert kept.sum() / eye.any(axis=2).sum() == pytest.approx(0.5**2, abs=0.01)


def test_spoilt_photographs_have_a_bank_of_their_own(eye):
    encoder = load_encoder("mini")
    made = {
        CorruptedEncoder(encoder, corruption_of(t)).fingerprint_id for t in ("blur:1", "blur:2", "jpeg:1")
    }
    assert len(made | {encoder.fingerprint_id}) == 4


@pytest.mark.parametrize("text", ["blurr:3", "blur:6", "blur:0", "blur:x", "blur:"])
def test_unknown_corruptions_and_strengths_are_refused(text):
    with pytest.raises(InputError, match="blur"):
        corruption_of(text)


def test_a_corruption_of_ones_own_is_a_few_lines(eye):
    @CORRUPTIONS.register
    @dataclass(frozen=True)
    class Negative(Corruption):
        name = "negative"
        summary = "a negative"
        steps = (0.2, 0.4, 0.6, 0.8, 1.0)

        def spoil(self, rgb, view, amount, rng):
            return ((1 - amount) * rgb + amount * (255 - rgb)).astype(np.uint8)

    try:
        np.testing.assert_array_equal(corruption_of("negative:5")(eye), 255 - eye)
    finally:
        del CORRUPTIONS.known["negative"]
