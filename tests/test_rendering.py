"""The renderer: same seed, same bytes; lesions where and as many as it says; grades by the clinical scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fewshot_flair.images.foreground import foreground_box
from fewshot_flair.rendering import (
    GRADES,
    LESION_MAPS,
    CameraRange,
    Findings,
    Population,
    make_eye,
    photograph,
    render_patient,
)
from fewshot_flair.rendering.lesions import plan_grade

STILL = CameraRange(
    exposure=(1.0, 1.0), noise=(0.0, 0.0), haze=(0.0, 0.0), reflex=(0.0, 0.0), dust=(0, 0), rim=(0.0, 0.0)
)
HEALTHY = Population(grades=(1.0, 0.0, 0.0, 0.0, 0.0), other_conditions=0.0)


def of_grade(grade: int) -> Population:
    shares = [0.0] * 5
    shares[grade] = 1.0
    return Population(grades=tuple(shares), other_conditions=0.0)


def test_same_seed_gives_the_same_bytes():
    first, second = (render_patient(np.random.default_rng(4)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.jpeg() == other.jpeg()
        assert one.findings == other.findings
        np.testing.assert_array_equal(one.lesion_maps, other.lesion_maps)
    assert render_patient(np.random.default_rng(5))[0].jpeg() != first[0].jpeg()


@pytest.mark.parametrize("seed", range(6))
def test_field_of_view_lies_within_a_dark_border(seed):
    for taken in render_patient(np.random.default_rng(seed), cameras=replace(STILL, full_circle=1.0)):
        left, top, right, bottom = taken.field
        assert taken.image.dtype == np.uint8
        assert right - left == bottom - top  # the full circle
        corners = taken.image[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.max() < 25
        middle = taken.image[top + 120 : bottom - 120, left + 120 : right - 120, 0]
        assert middle.mean() > corners.mean() + 30
        found = foreground_box(taken.image)
        np.testing.assert_allclose(found, (top, left, bottom, right), atol=12)


def test_lesions_change_the_pixels_where_the_maps_say_and_nowhere_else():
    rng = np.random.default_rng(11)
    population = of_grade(2)
    eye = make_eye(rng, population.sample(rng), 1, population)
    camera = replace(
        STILL.sample(rng, eye.anatomy.disc), blur=0.0, sharpen=0.0, quality=100, gaze=(0.0, 0.0), roll=0.0
    )
    seen = [m for m in eye.marks if m.kind in ("dot", "blot", "exudate", "microaneurysm")]
    assert seen
    bare = photograph(np.random.default_rng(0), replace(eye, marks=[]), camera)
    spotted = photograph(np.random.default_rng(0), replace(eye, marks=seen), camera)
    left, top, right, bottom = spotted.field
    change = np.abs(spotted.image.astype(int) - bare.image)[top:bottom, left:right].max(2)
    inside = spotted.lesion_maps.any(0)
    assert not bare.lesion_maps.any()
    assert change[inside].mean() > 8
    far = change[~inside]
    assert np.quantile(far, 0.9) <= 3  # JPEG and soft edges alone


def test_more_haemorrhages_darken_more_of_the_green_channel():
    rng = np.random.default_rng(2)
    eye = make_eye(rng, of_grade(3).sample(rng), 1, of_grade(3))
    camera = STILL.sample(rng, eye.anatomy.disc)
    marks = [m for m in eye.marks if m.kind in ("dot", "blot", "flame")]
    assert len(marks) > 8
    greens = [
        photograph(np.random.default_rng(0), replace(eye, marks=marks[:many]), camera).image[:, :, 1].mean()
        for many in (0, len(marks) // 2, len(marks))
    ]
    assert greens[0] > greens[1] > greens[2]


def test_findings_count_what_was_placed_and_maps_follow_them():
    for seed in range(12):
        for taken in render_patient(np.random.default_rng([7, seed])):
            kinds = dict(zip(LESION_MAPS, taken.lesion_maps.any((1, 2)), strict=True))
            found = taken.findings
            if not found.microaneurysms:
                assert not kinds["microaneurysms"]
            if not sum(found.haemorrhages):
                assert not kinds["haemorrhages"]
            if not found.hard_exudates:
                assert not kinds["exudates"]


def test_the_two_eyes_of_a_patient_are_alike():
    pairs = [render_patient(np.random.default_rng([3, seed])) for seed in range(24)]
    grades = np.array([[p.findings.grade for p in pair] for pair in pairs])
    cups = np.array(
        [[p.findings.cup_to_disc for p in pair] for pair in pairs if not any(p.findings.others for p in pair)]
    )
    reds = np.array([[p.image[..., 0].mean() / p.image[..., 1].mean() for p in pair] for pair in pairs])
    assert np.corrcoef(grades.T)[0, 1] > 0.4
    assert np.corrcoef(cups.T)[0, 1] > 0.4
    assert np.corrcoef(reds.T)[0, 1] > 0.4
    assert [p.eye for p in pairs[0]] == ["R", "L"]


def test_disc_lies_on_the_nasal_side():
    rng = np.random.default_rng(0)
    for side in (1, -1):
        eye = make_eye(rng, HEALTHY.sample(rng), side, HEALTHY)
        assert np.sign(eye.anatomy.disc[0] - eye.anatomy.fovea[0]) == side


@pytest.mark.parametrize(
    ("findings", "grade"),
    [
        (Findings(), 0),
        (Findings(drusen=30), 0),
        (Findings(microaneurysms=40), 1),
        (Findings(microaneurysms=1, haemorrhages=(1, 0, 0, 0)), 2),
        (Findings(hard_exudates=1), 2),
        (Findings(cotton_wool_spots=1), 2),
        (Findings(venous_beading=(True, False, False, False)), 2),
        (Findings(haemorrhages=(20, 40, 40, 40)), 2),
        (Findings(haemorrhages=(21, 21, 21, 21)), 3),
        (Findings(venous_beading=(True, True, False, False)), 3),
        (Findings(irma=(False, False, True, False)), 3),
        (Findings(new_vessels_disc=True), 4),
        (Findings(new_vessels_elsewhere=1, haemorrhages=(30, 30, 30, 30)), 4),
        (Findings(preretinal_haemorrhage=True), 4),
    ],
)
def test_grade_follows_the_international_clinical_scale(findings, grade):
    assert findings.grade == grade
    assert GRADES[grade] in findings.categories


@pytest.mark.parametrize("grade", range(5))
def test_an_eye_drawn_for_a_grade_has_it(grade):
    population = of_grade(grade)
    for seed in range(40):
        rng = np.random.default_rng([grade, seed])
        patient = population.sample(rng)
        assert make_eye(rng, patient, 1, population).findings.grade == grade
        plan_grade(rng, grade, 0.5, 0.5, 1.0)


def test_categories_are_those_of_the_dictionary():
    assert Findings().categories == (
        "no diabetic retinopathy",
        "no referable diabetic macular edema",
        "no proliferative diabetic retinopathy",
        "normal",
    )
    assert "normal" not in Findings(others=("macular hole",)).categories
    vein = Findings(haemorrhages=(40, 0, 0, 0), others=("branch retinal vein occlusion",)).categories
    assert not set(GRADES).intersection(vein)
    assert "haemorrhages" in vein
    edema = Findings(hard_exudates=2, exudates_at_macula=True).categories
    assert "diabetic macular edema" in edema
    assert "no referable diabetic macular edema" not in edema
