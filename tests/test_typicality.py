"""The conformal p-value of a row's distance to the training rows."""

from __future__ import annotations

import numpy as np
import pytest

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import Typicality


def test_p_values_by_hand():
    angles = np.deg2rad([0.0, 10.0, 30.0, 60.0])
    rows = np.stack([np.cos(angles), np.sin(angles)], 1)
    fitted = Typicality.fit(rows, neighbours=1)
    expected = np.sort(1 - np.cos(np.deg2rad([10.0, 10.0, 20.0, 30.0])))
    np.testing.assert_allclose(fitted.reference, expected, atol=1e-6)
    asked = np.deg2rad([0.0, 75.0, 180.0])
    p = fitted.p_values(5 * np.stack([np.cos(asked), np.sin(asked)], 1))  # length does not count
    # 0 degrees: distance 0, all four are as far; 15 degrees off: two are; 120 degrees off: none.
    np.testing.assert_allclose(p, [5 / 5, 3 / 5, 1 / 5])


def test_a_row_is_not_compared_with_its_own_patient():
    rng = np.random.default_rng(0)
    eyes = rng.normal(size=(20, 8))
    rows, patients = np.repeat(eyes, 2, axis=0), np.repeat(np.arange(20), 2)
    assert Typicality.fit(rows, neighbours=1).reference.max() < 1e-6  # the fellow eye is the same
    assert Typicality.fit(rows, patients, neighbours=1).reference.min() > 1e-3


def test_p_values_are_nearly_uniform_for_rows_like_those_fitted_on():
    rng = np.random.default_rng(1)
    p = np.concatenate(
        [
            Typicality.fit(rng.normal(size=(150, 6)) + 2).p_values(rng.normal(size=(60, 6)) + 2)
            for _ in range(40)
        ]
    )
    for alpha in (0.05, 0.1, 0.3, 0.5):
        assert np.mean(p <= alpha) == pytest.approx(alpha, abs=0.03)


def test_what_is_far_off_gets_the_smallest_p_value():
    rng = np.random.default_rng(2)
    fitted = Typicality.fit(rng.normal(size=(99, 16)) + 3)
    assert fitted.p_values(-rng.normal(size=(5, 16)) - 3).tolist() == [1 / 100] * 5
    assert fitted.p_values(np.empty((0, 16))).tolist() == []


def test_few_rows_use_all_neighbours_there_are():
    fitted = Typicality.fit(np.eye(3), patients=["a", "b", "c"], neighbours=50)
    np.testing.assert_allclose(fitted.reference, [1, 1, 1])
    np.testing.assert_allclose(fitted.distances([[1, 0, 0]]), [2 / 3], atol=1e-6)


@pytest.mark.parametrize(
    ("X", "patients", "neighbours", "words"),
    [
        (np.ones((3, 2)), ["a", "a", "a"], 5, "one patient"),
        (np.ones((3, 2)), ["a", "b"], 5, "2 patients for 3 rows"),
        (np.ones(3), None, 5, "shape"),
        (np.full((3, 2), np.nan), None, 5, "not finite"),
        (np.ones((3, 2)), None, 0, "neighbours"),
    ],
)
def test_bad_input_is_named(X, patients, neighbours, words):
    with pytest.raises(InputError, match=words):
        Typicality.fit(X, patients, neighbours)


def test_rows_of_another_length_are_refused():
    with pytest.raises(InputError, match="fitted on 3"):
        Typicality.fit(np.eye(3)).p_values(np.ones((1, 4)))
