"""Metrics, intervals, paired tests and prior correction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from statsmodels.stats.multitest import multipletests

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import (
    METRICS,
    cluster_bootstrap,
    interval_over_seeds,
    intervals,
    paired_bootstrap,
    score,
    score_draws,
)
from fewshot_flair.evaluation.priors import correct_prior, estimate_prior
from fewshot_flair.evaluation.statistics import average_ranks, overtakes, paired_comparisons


def one_hot(classes: list[int], n_classes: int, sure: float = 0.9) -> np.ndarray:
    p = np.full((len(classes), n_classes), (1 - sure) / (n_classes - 1))
    p[np.arange(len(classes)), classes] = sure
    return p


def test_hand_computed_scores():
    y = np.array([0, 0, 0, 0, 1, 1, 2])
    found = score(y, one_hot([0, 0, 0, 1, 1, 2, 2], 3), ordinal=True)
    assert found.recall == pytest.approx([3 / 4, 1 / 2, 1])
    assert found.specificity == pytest.approx([1, 4 / 5, 5 / 6])
    assert found.values["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert found.values["accuracy"] == pytest.approx(5 / 7)
    assert found.confusion.tolist() == [[3, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert found.values["log_loss"] == pytest.approx(-(5 * np.log(0.9) + 2 * np.log(0.05)) / 7)
    assert found.values["brier_score"] == pytest.approx(
        (5 * (0.1**2 + 2 * 0.05**2) + 2 * (0.95**2 + 0.9**2 + 0.05**2)) / 7
    )
    assert found.values["expected_calibration_error"] == pytest.approx(0.9 - 5 / 7)


def test_quadratic_kappa_punishes_far_errors_more():
    y = np.array([0, 1, 2, 3, 4] * 4)
    near, far = np.minimum(y + 1, 4), np.where(y == 0, 4, y)
    kappa = [score(y, one_hot(list(p), 5), ordinal=True).values["quadratic_kappa"] for p in (near, far)]
    assert score(y, one_hot(list(y), 5), ordinal=True).values["quadratic_kappa"] == pytest.approx(1)
    assert (far != y).sum() < (near != y).sum()
    assert kappa[1] < kappa[0]


def test_absent_class_is_absent_not_zero():
    y = np.array([0, 0, 1, 1])
    found = score(y, one_hot([0, 0, 1, 2], 3))
    assert np.isnan(found.recall[2])
    assert found.values["balanced_accuracy"] == pytest.approx(0.75)
    assert np.isnan(found.values["quadratic_kappa"])
    assert 0 <= found.values["macro_auroc"] <= 1


def test_one_class_only_leaves_auroc_and_kappa_undefined():
    found = score(np.zeros(3, int), one_hot([0, 0, 1], 2), ordinal=True)
    assert np.isnan(found.values["macro_auroc"])
    assert found.values["balanced_accuracy"] == pytest.approx(2 / 3)
    assert np.isnan(found.specificity[0])


def by_scikit_learn(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Metrics of one draw by scikit-learn and, where it has none, by their definitions."""
    columns, given, truth = range(p.shape[1]), p.argmax(axis=1), np.eye(p.shape[1])[y]
    present = np.unique(y)
    defined = [c for c in present if len(present) > 1]
    bins = np.minimum((p.max(axis=1) * 15).astype(int), 14)
    gaps = [abs((p.max(axis=1) - (given == y))[bins == b].sum()) for b in range(15)]
    return {
        "balanced_accuracy": sklearn_metrics.recall_score(y, given, labels=present, average="macro"),
        "accuracy": sklearn_metrics.accuracy_score(y, given),
        "quadratic_kappa": sklearn_metrics.cohen_kappa_score(y, given, labels=columns, weights="quadratic")
        if defined
        else np.nan,
        "macro_f1": sklearn_metrics.f1_score(y, given, labels=present, average="macro", zero_division=0.0),
        "macro_auroc": sklearn_metrics.roc_auc_score(truth[:, defined], p[:, defined]) if defined else np.nan,
        "log_loss": sklearn_metrics.log_loss(y, np.clip(p, 1e-15, 1), labels=columns),
        "brier_score": np.mean(np.sum((p - truth) ** 2, axis=1)),
        "expected_calibration_error": sum(gaps) / len(y),
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 60), st.integers(1, 6), st.booleans())
def test_scores_of_all_draws_are_scikit_learns_of_each(seed, n_classes, n, held, coarse):
    """Classes absent, one class, one image, ties, certainty: whatever falls out of small numbers."""
    rng = np.random.default_rng(seed)
    y = rng.choice(rng.permutation(n_classes)[:held], n)
    p = rng.dirichlet(np.full(n_classes, 0.5), (3, n))
    if coarse:
        p = np.round(p * 2)
        p = np.where(p.sum(axis=2, keepdims=True) > 0, p, 1)
        p /= p.sum(axis=2, keepdims=True)
    scores = score_draws(y, p, ordinal=True)
    for draw in range(3):
        found, given_class = scores[draw], p[draw].argmax(axis=1)
        assert found.values == pytest.approx(by_scikit_learn(y, p[draw]), nan_ok=True)
        assert list(found.values) == list(METRICS)
        expected = sklearn_metrics.confusion_matrix(y, given_class, labels=range(n_classes))
        assert np.array_equal(found.confusion, expected)
        one_against_rest = sklearn_metrics.multilabel_confusion_matrix(
            y, given_class, labels=range(n_classes)
        )
        for c, ((tn, fp), (fn, tp)) in enumerate(one_against_rest):
            assert found.recall[c] == pytest.approx(tp / (tp + fn) if tp + fn else np.nan, nan_ok=True)
            assert found.specificity[c] == pytest.approx(tn / (tn + fp) if tn + fp else np.nan, nan_ok=True)
        assert found.reliability.sum(axis=1) == pytest.approx(
            [n, p[draw].max(axis=1).sum(), (given_class == y).sum()]
        )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 40))
def test_scores_do_not_depend_on_the_order_of_rows(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), n)
    shuffled = rng.permutation(n)
    a, b = score(y, p, ordinal=True), score(y[shuffled], p[shuffled], ordinal=True)
    for key in METRICS:
        assert a.values[key] == pytest.approx(b.values[key], nan_ok=True)


def test_bad_scores_input():
    with pytest.raises(InputError, match="NaN"):
        score(np.array([0]), np.array([[np.nan, 1.0]]))
    with pytest.raises(InputError, match="at least 1"):
        score(np.zeros(0, int), np.zeros((0, 2)))
    with pytest.raises(InputError, match="from 0 to 1"):
        score(np.array([2]), np.array([[0.5, 0.5]]))


def test_interval_over_seeds():
    mean, low, high = interval_over_seeds([1.0, 2.0, 3.0, np.nan])
    assert (mean, high - mean) == (2.0, pytest.approx(4.302652729911275 / np.sqrt(3)))
    assert mean - low == pytest.approx(high - mean)
    assert np.isnan(interval_over_seeds([5.0])[1:]).all()
    assert np.isnan(interval_over_seeds([np.nan])).all()


def test_cluster_bootstrap_is_the_plain_one_whatever_is_scored_at_once(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(3)
    y, patients = rng.integers(0, 3, 60), np.repeat(np.arange(20), 3)
    predicted = np.where(rng.random((2, 60)) < 0.6, y, (y + 1) % 3)
    plain = []
    for drawn in np.random.default_rng(5).integers(0, 20, (50, 20)):
        rows = np.concatenate([np.flatnonzero(patients == patient) for patient in drawn])
        recalls = [[np.mean(p[rows][y[rows] == c] == c) for c in np.unique(y[rows])] for p in predicted]
        plain.append(np.mean([np.mean(r) for r in recalls]))
    expected = np.quantile(plain, [0.025, 0.975])
    for at_once in (50, 7, 1):
        monkeypatch.setattr(intervals, "WEIGHT_BYTES", at_once * 8 * 20)
        found = cluster_bootstrap(y, predicted, patients, 3, resamples=50, seed=5)
        assert found == pytest.approx(tuple(expected))


def test_cluster_bootstrap_draws_resamples_without_a_class_again():
    y = np.array([0] * 40 + [1])
    wrong_on_the_rare_one = np.zeros(41, dtype=int)
    low, high = cluster_bootstrap(y, wrong_on_the_rare_one, np.arange(41), 2)
    assert (low, high) == (0.5, 0.5)  # and not 1, the mean of the classes that happen to be drawn
    rare = np.arange(12)
    low, high = cluster_bootstrap(rare, np.zeros(12, dtype=int), rare, 12, resamples=50)
    assert 0 <= low <= high <= 1


def test_cluster_bootstrap_keeps_eyes_together():
    rng = np.random.default_rng(0)
    y = np.repeat(rng.integers(0, 2, 100), 2)
    right = np.repeat(rng.random(100) < 0.7, 2)  # both eyes are right or wrong together
    predicted = np.where(right, y, 1 - y)
    together = cluster_bootstrap(y, predicted, np.repeat(np.arange(100), 2), 2)
    apart = cluster_bootstrap(y, predicted, np.arange(200), 2)
    assert together[1] - together[0] > 1.2 * (apart[1] - apart[0])
    assert together[0] < score(y, one_hot(list(predicted), 2)).values["balanced_accuracy"] < together[1]
    assert cluster_bootstrap(y, y, np.arange(200), 2) == (1.0, 1.0)


def test_one_patient_has_no_interval():
    y = np.array([0, 0, 1])
    assert np.isnan(cluster_bootstrap(y, y, ["a", "a", "a"], 2)).all()
    assert np.isnan(paired_bootstrap(y, y, 1 - y, ["a", "a", "a"], 2)).all()


def test_paired_bootstrap_cancels_what_both_share():
    rng = np.random.default_rng(1)
    y, patients = rng.integers(0, 2, 400), np.repeat(np.arange(200), 2)
    hard = rng.random(400) < 0.4
    first = np.where(hard, 1 - y, y)
    second = np.where(hard | (rng.random(400) < 0.05), 1 - y, y)
    low, high = paired_bootstrap(y, first, np.stack([second, second]), patients, 2)
    alone = cluster_bootstrap(y, first, patients, 2)
    gap = score(y, one_hot(list(first), 2)).values["balanced_accuracy"]
    gap -= score(y, one_hot(list(second), 2)).values["balanced_accuracy"]
    assert 0 < low < gap < high
    assert high - low < 0.7 * (alone[1] - alone[0])
    assert paired_bootstrap(y, second, first, patients, 2) == pytest.approx((-high, -low))
    assert paired_bootstrap(y, first, first, patients, 2) == (0, 0)


def test_paired_comparisons_see_through_shared_luck():
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.1, 20)
    wide = pd.DataFrame(
        {
            "best": 0.6 + luck,
            "same": 0.6 + luck,
            "worse": 0.57 + luck + rng.normal(0, 0.005, 20),
            "noisy": 0.6 + luck + rng.normal(0, 0.02, 20),
        }
    )
    table = paired_comparisons(wide, "best")
    assert table.loc["same", "p_holm"] == 1
    assert table.loc["worse", "p_holm"] < 0.001
    assert table.loc["noisy", "p_holm"] > 0.05
    assert (table["p_holm"] >= table["p"]).all()
    np.testing.assert_allclose(table["p_holm"], multipletests(table["p"], method="holm")[1])
    assert table.loc["worse", "low"] < -0.03 < table.loc["worse", "high"]


def test_overtakes_must_hold_for_all_larger_shots():
    rng = np.random.default_rng(0)
    rows = []
    means = {"zero-shot": [0.5, 0.5, 0.5], "a": [0.6, 0.4, 0.6], "b": [0.4, 0.6, 0.7], "c": [0.3, 0.3, 0.3]}
    for name, values in means.items():
        for shots, mean in zip((1, 4, 16), values, strict=True):
            for seed in range(10):
                value = mean + (0 if name == "zero-shot" else rng.normal(0, 0.01))
                rows.append({"adapter": name, "shots": shots, "seed": seed, "m": value})
    assert overtakes(pd.DataFrame(rows), "m") == {"a": 16, "b": 4, "c": None}


def test_average_ranks():
    rng = np.random.default_rng(0)
    wide = pd.DataFrame({"good": rng.normal(0.8, 0.01, 12), "bad": rng.normal(0.2, 0.01, 12)})
    wide["middle"] = rng.normal(0.5, 0.01, 12)
    found = average_ranks(wide)
    assert found.ranks.to_dict() == {"good": 1.0, "middle": 2.0, "bad": 3.0}
    assert found.p_friedman < 1e-4
    assert found.p_values.loc["good", "bad"] < 0.001
    assert average_ranks(wide.iloc[:1]) is None
    assert average_ranks(wide, higher_is_better=False).ranks.index[0] == "bad"


def test_prior_correction_is_bayes_rule():
    given_p = np.array([[0.5, 0.5], [0.8, 0.2]])
    moved = correct_prior(given_p, [0.5, 0.5], [0.9, 0.1])
    assert moved[0] == pytest.approx([0.9, 0.1])
    assert moved[1] == pytest.approx([0.72 / 0.74, 0.02 / 0.74])
    assert correct_prior(moved, [9, 1], [1, 1]) == pytest.approx(given_p)
    with pytest.raises(InputError, match="none negative"):
        correct_prior(given_p, [1, -1], [1, 1])


def test_prior_correction_never_loses_a_row():
    moved = correct_prior(np.array([[1.0, 0.0, 0.0]]), [1, 1, 1], [0, 1, 3])
    assert moved == pytest.approx(np.array([[0, 0.25, 0.75]]))


def test_kappa_of_one_true_class_is_undefined():
    assert np.isnan(score(np.zeros(3, int), one_hot([0, 1, 2], 3), ordinal=True).values["quadratic_kappa"])


def test_estimated_prior_finds_the_prevalence():
    rng = np.random.default_rng(0)
    y = (rng.random(20_000) < 0.1).astype(int)
    x = rng.normal(2 * y, 1)
    p1 = 1 / (1 + np.exp(-(2 * x - 2)))  # the exact posterior at even prevalence
    assert estimate_prior(np.stack([1 - p1, p1], axis=1), [1, 1]) == pytest.approx([0.9, 0.1], abs=0.01)
