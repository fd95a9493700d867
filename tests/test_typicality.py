"""The conformal p-value of a row's distance to the training rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import Typicality


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def test_distances_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(60, 80)) + 1, rng.normal(size=(7, 80))
    expected = np.sqrt(LedoitWolf().fit(unit(X)).mahalanobis(unit(new)))
    fitted = Typicality.fit(X)
    np.testing.assert_allclose(fitted.distances(5 * new), expected, rtol=1e-9)  # length does not count


@pytest.mark.parametrize("sizes", [(1,) * 12, (2,) * 6, (5, 1, 3, 3), (11, 1)])
def test_reference_distances_are_those_of_plain_refits_without_the_patient(sizes):
    rng = np.random.default_rng(1)
    patients = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = unit(rng.normal(size=(12, 9)) + 1)
    n, D = rows.shape
    covariance = LedoitWolf().fit(rows)
    target = covariance.shrinkage_ * np.trace(np.cov(rows.T, bias=True)) / D * np.eye(D)
    expected = []
    for patient, row in zip(patients, rows, strict=True):
        others = rows[patients != patient]
        k = len(others)
        away = row - others.mean(axis=0)
        of_others = (1 - covariance.shrinkage_) * np.cov(others.T, bias=True) + target * n / k
        expected.append(np.sqrt(away @ np.linalg.solve(of_others, away)))
    np.testing.assert_allclose(Typicality.fit(rows, patients).reference, np.sort(expected), rtol=1e-9)


def test_p_values_count_the_training_rows_that_are_as_far():
    rng = np.random.default_rng(2)
    fitted = Typicality.fit(rng.normal(size=(30, 4)) + 2)
    new = rng.normal(size=(9, 4)) + 1
    expected = [(1 + np.sum(fitted.reference >= d)) / 31 for d in fitted.distances(new)]
    assert fitted.p_values(new).tolist() == expected


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


def test_rows_that_are_all_the_same_tell_others_apart():
    fitted = Typicality.fit(np.ones((6, 3)), patients=list("aabbcc"))
    np.testing.assert_allclose(fitted.p_values([[2, 2, 2], [1, 0, 0]]), [1, 1 / 7])


@pytest.mark.parametrize(
    ("X", "patients", "words"),
    [
        (np.ones((3, 2)), ["a", "a", "a"], "one patient"),
        (np.ones((3, 2)), ["a", "b"], "2 patients for 3 rows"),
        (np.ones(3), None, "shape"),
        (np.full((3, 2), np.nan), None, "not finite"),
    ],
)
def test_bad_input_is_named(X, patients, words):
    with pytest.raises(InputError, match=words):
        Typicality.fit(X, patients)


def test_rows_of_another_length_are_refused():
    with pytest.raises(InputError, match="fitted on 3"):
        Typicality.fit(np.eye(3)).p_values(np.ones((1, 4)))
