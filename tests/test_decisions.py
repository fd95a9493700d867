"""Calibration, operating points, referral and patients: arrays in, numbers out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn import metrics as oracle

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import (
    auprc,
    auroc,
    brier_with_interval,
    calibrate,
    combine_patients,
    ece_with_interval,
    patient_labels,
    positive_score,
    referral_threshold,
    risk_coverage,
    score,
    sensitivity_specificity,
    share_with_interval,
    threshold_for,
)
from fewshot_flair.evaluation.calibration import fewest_to_estimate, fit_bias, fit_temperature
from fewshot_flair.evaluation.operating import delong_variance
from fewshot_flair.evaluation.priors import estimate_prior


@pytest.fixture
def sure() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits three times too sure of labels that follow them, and folds of the rows."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(1500, 4)) * 1.5
    y = np.array([rng.choice(4, p=row) for row in softmax(z, axis=1)])
    return 3 * z, y, np.arange(1500) % 5


def test_temperature_undoes_what_made_logits_too_sure(sure):
    z, y, folds = sure
    assert fit_temperature(z, y) == pytest.approx(3, rel=0.1)
    found = calibrate(z, y, folds)
    assert found.bias == (0, 0, 0, 0)
    p = found.probabilities(z)
    assert (p.argmax(axis=1) == z.argmax(axis=1)).all()
    before, after = (ece_with_interval(y, q, np.arange(len(y))) for q in (softmax(z, axis=1), p))
    assert after.value < 0.4 * before.value
    assert after.high < before.low


def test_temperature_is_that_of_scikit_learn(sure):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Given(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def decision_function(self, X):
            return X

        def predict(self, X):
            return X.argmax(axis=1)

    z, y, _ = sure
    theirs = CalibratedClassifierCV(FrozenEstimator(Given().fit(z, y)), method="temperature").fit(z, y)
    expected = theirs.predict_proba(z)
    assert calibrate(z, y, np.zeros(len(y))).probabilities(z) == pytest.approx(expected, abs=1e-3)


def test_temperature_scales_with_the_logits(sure):
    z, y, _ = sure
    assert fit_temperature(10 * z, y) == pytest.approx(10 * fit_temperature(z, y), rel=1e-6)
    assert fit_temperature(z + np.arange(len(z))[:, None], y) == pytest.approx(
        fit_temperature(z, y), rel=1e-6
    )


def test_bias_is_fitted_on_request_where_it_helps_and_classes_are_large_enough(sure):
    z, y, folds = sure
    shifted = z + np.array([6, 0, 0, -6])
    assert calibrate(shifted, y, folds).bias == (0, 0, 0, 0)
    found = calibrate(shifted, y, folds, class_wise=True)
    assert found.bias == pytest.approx(-np.array([6, 0, 0, -6]) / 3, abs=0.35)
    assert found.probabilities(shifted).mean(axis=0) == pytest.approx(
        np.bincount(y) / len(y), abs=1e-4
    )  # the optimum's first-order condition
    assert found.temperature == pytest.approx(fit_bias(shifted, y)[0])
    rare = np.r_[np.flatnonzero(y != 2), np.flatnonzero(y == 2)[:9]]
    few = calibrate(shifted[rare], y[rare], folds[rare], class_wise=True)
    assert few.bias == (0, 0, 0, 0)
    assert "9 rows" in few.rule


def test_what_cannot_be_calibrated_is_left_and_said(sure):
    z, y, folds = sure
    few = calibrate(z[:19], y[:19], folds[:19])
    assert few.temperature == 1
    assert "19 rows" in few.rule
    right = calibrate(np.eye(4)[y], y, folds)
    assert right.temperature == 1
    assert "every row" in right.rule
    with pytest.raises(InputError, match="NaN or infinite"):
        calibrate(np.full((30, 2), np.nan), np.zeros(30, int), np.zeros(30))
    with pytest.raises(InputError, match="from 0 to 3"):
        calibrate(z, y + 1, folds)


def test_brier_and_ece_are_those_of_score_and_their_interval_holds_whole_patients(sure):
    z, y, _ = sure
    z, y = z[:300], y[:300]
    p = softmax(z, axis=1)
    found = score(y, p).values
    patients = np.arange(300) // 2
    brier, ece = brier_with_interval(y, p, patients), ece_with_interval(y, p, patients)
    assert brier.value == pytest.approx(found["brier_score"])
    assert ece.value == pytest.approx(found["expected_calibration_error"])
    assert brier.low < brier.value < brier.high
    doubled = brier_with_interval(np.repeat(y, 2), np.repeat(p, 2, axis=0), np.repeat(np.arange(300), 2))
    once = brier_with_interval(y, p, np.arange(300))
    assert doubled[:3] == pytest.approx(once[:3])  # a copy of each photograph brings nothing
    assert np.isnan(brier_with_interval(y, p, np.zeros(300)).low)


def test_prevalence_is_estimated_from_enough_photographs_alone():
    assert [fewest_to_estimate(n) for n in (2, 3, 5)] == [50, 60, 100]


def test_a_prevalence_that_is_weighed_lies_between_the_source_s_and_the_rows_own():
    p = np.random.default_rng(0).dirichlet([3, 1], 200)
    alone, weighed, stuck = (estimate_prior(p, [0.5, 0.5], weight=w)[0] for w in (0, 100, 1e9))
    assert alone > weighed > stuck
    assert stuck == pytest.approx(0.5, abs=1e-5)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=60))
@settings(deadline=None, max_examples=30)
def test_areas_are_those_of_scikit_learn_ties_and_all(rows):
    truth = np.array([True, False, *(t for t, _ in rows)])
    s = np.array([3.0, 3.0, *(v for _, v in rows)])
    pairs = np.arange(len(s)) // 2
    for clusters in (np.arange(len(s)), pairs):
        assert auroc(truth, s, clusters).value == pytest.approx(oracle.roc_auc_score(truth, s))
    assert auprc(truth, s, pairs).value == pytest.approx(oracle.average_precision_score(truth, s))


def test_delong_is_the_plain_computation():
    rng = np.random.default_rng(0)
    truth = rng.random(80) < 0.4
    s = np.round(rng.normal(size=80) + truth, 1)
    above = (s[truth][:, None] > s[~truth]) + 0.5 * (s[truth][:, None] == s[~truth])
    m, n = above.shape
    variance = above.mean(axis=1).var(ddof=1) / m + above.mean(axis=0).var(ddof=1) / n
    value, found = delong_variance(truth, s)
    assert value == pytest.approx(above.mean())
    assert found == pytest.approx(variance)
    area = auroc(truth, s, np.arange(80))
    assert area.method == "DeLong"
    assert area.low == pytest.approx(value - 1.959964 * variance**0.5)
    boot = auroc(truth, s, np.arange(80) // 2)
    assert boot.method == "bootstrap over patients"
    assert boot.low < value < boot.high


def test_bootstrap_and_delong_agree_on_independent_rows():
    from fewshot_flair.evaluation.areas import roc_area
    from fewshot_flair.evaluation.intervals import weighted_bootstrap

    rng = np.random.default_rng(1)
    truth = np.arange(600) % 3 == 0
    s = rng.normal(size=600) + truth
    low, high = weighted_bootstrap(lambda w: roc_area(truth, s, w), np.arange(600), resamples=2000)
    delong = auroc(truth, s, np.arange(600))
    assert (low, high) == pytest.approx((delong.low, delong.high), abs=0.01)


def test_an_area_that_is_perfect_or_undefined_has_no_interval():
    truth = np.array([True, True, False, False])
    area = auroc(truth, np.array([4.0, 3, 2, 1]), np.arange(4))
    assert area.value == 1
    assert np.isnan(area.low)
    assert np.isnan(auroc(np.ones(3, bool), np.arange(3.0), np.arange(3)).value)


def test_threshold_calls_the_fewest_that_reach_a_sensitivity():
    truth = np.array([1, 1, 0, 1, 0, 1, 0, 0, 1, 0], dtype=bool)
    s = np.array([0.9, 0.8, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert threshold_for(truth, s, sensitivity=0.8) == pytest.approx((0.5, 0.8, 0.6))
    assert threshold_for(truth, s, sensitivity=0.81) == pytest.approx((0.2, 1.0, 0.2))
    assert threshold_for(truth, s, specificity=0.8) == pytest.approx((0.7, 0.6, 0.8))
    assert threshold_for(truth, s, specificity=0.81) == pytest.approx((0.9, 0.2, 1.0))


def test_a_wish_that_cannot_be_met_has_no_threshold():
    truth = np.array([True, False, True, False])
    assert np.isnan(threshold_for(truth, np.ones(4), sensitivity=0.9).value)
    assert np.isnan(threshold_for(truth, np.ones(4), specificity=0.9).value)
    assert np.isnan(threshold_for(~truth & truth, np.arange(4.0), sensitivity=0.9).value)
    assert np.isnan(threshold_for(truth, np.array([0.1, 0.9, 0.2, 0.3]), specificity=0.9).value)
    with pytest.raises(InputError, match="between 0 and 1"):
        threshold_for(truth, np.arange(4.0), sensitivity=1.5)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=30)
def test_no_higher_threshold_reaches_the_sensitivity(seed, wanted):
    rng = np.random.default_rng(seed)
    truth = rng.random(30) < 0.5
    truth[:2] = [True, False]
    s = rng.integers(0, 12, 30) / 10
    found = threshold_for(truth, s, sensitivity=wanted)
    reaching = [t for t in np.unique(s) if (s[truth] >= t).mean() >= wanted - 1e-9]
    assert (max(reaching) if max(reaching) > s.min() else pytest.approx(np.nan, nan_ok=True)) == found.value


def test_sensitivity_and_specificity_with_their_intervals():
    truth = np.r_[np.ones(20, bool), np.zeros(30, bool)]
    called = np.r_[np.ones(18, bool), np.zeros(2, bool), np.ones(3, bool), np.zeros(27, bool)]
    found, spared = sensitivity_specificity(truth, called, np.arange(50))
    wilson = binomtest(18, 20).proportion_ci(method="wilson")
    assert found == (0.9, wilson.low, wilson.high, "Wilson, by photograph")
    assert spared.value == 0.9
    both_eyes, _ = sensitivity_specificity(truth, called, np.arange(50) // 2)
    assert both_eyes.method == "bootstrap over patients"
    assert both_eyes.low < 0.9 < both_eyes.high
    whole = share_with_interval(np.ones(20, bool), np.arange(20) // 2)
    ends = binomtest(10, 10).proportion_ci(method="wilson")
    assert whole == (1, ends.low, ends.high, "Wilson, by patient")


def test_positive_classes_are_added_and_some():
    p = np.array([[0.5, 0.2, 0.3]])
    assert positive_score(p, [1, 2]) == pytest.approx([0.5])
    for wrong in ([], [0, 1, 2], [3]):
        with pytest.raises(InputError, match="give some of them"):
            positive_score(p, wrong)


def test_risk_and_coverage_by_hand():
    curve = risk_coverage([0.9, 0.8, 0.8, 0.1], [True, False, True, False])
    assert curve.threshold.tolist() == [0.9, 0.8, 0.1]
    assert curve.coverage.tolist() == [0.25, 0.75, 1]
    assert curve.risk == pytest.approx([0, 1 / 3, 1 / 2])
    # the two of 0.8 in either order: risks 0, (1/2 or 0), 1/3, 1/2
    assert curve.area == pytest.approx((0 + 1 / 4 + 1 / 3 + 1 / 2) / 4)
    assert risk_coverage(np.ones(5), [True, False, False, False, True]).area == pytest.approx(0.6)


def test_the_most_are_answered_that_keep_the_error():
    confidence, right = [0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False]
    assert referral_threshold(confidence, right, 0.3) == 0.6
    assert referral_threshold(confidence, right, 0.0) == 0.9
    assert referral_threshold(confidence, right, 0.4) == 0.5
    assert np.isnan(referral_threshold(confidence, np.zeros(5, bool), 0.3))
    with pytest.raises(InputError, match="--max-error"):
        referral_threshold(confidence, right, 1.0)


def test_patients_are_their_photographs_mean_or_their_worse_eye():
    p = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.5, 0.5]])
    names, mean = combine_patients(p, ["b", "a", "b", "c"])
    assert names.tolist() == ["b", "a", "c"]
    odds = (np.log(0.2 / 0.8) + np.log(0.7 / 0.3)) / 2
    assert mean[0, 1] == pytest.approx(1 / (1 + np.exp(-odds)))
    assert mean[1:] == pytest.approx(p[[1, 3]])
    _, worst = combine_patients(p, ["b", "a", "b", "c"], "worst")
    assert worst.tolist() == p[[2, 1, 3]].tolist()


def test_worst_grade_of_equals_is_the_one_of_the_higher_mean():
    p = np.array([[0.1, 0.6, 0.3], [0.3, 0.6, 0.1], [0.0, 0.55, 0.45]])
    assert combine_patients(p, ["x"] * 3, "worst")[1].tolist() == [p[2].tolist()]


@given(st.permutations(range(12)))
@settings(deadline=None, max_examples=30)
def test_the_order_of_photographs_changes_no_patient(order):
    rng = np.random.default_rng(0)
    p, patients = rng.dirichlet(np.ones(3), 12), np.arange(12) // 3
    for rule in ("mean", "worst"):
        plain = dict(zip(*combine_patients(p, patients, rule), strict=True))
        mixed = dict(zip(*combine_patients(p[order], patients[order], rule), strict=True))
        for name, row in plain.items():
            assert mixed[name] == pytest.approx(row)


def test_true_class_of_a_patient():
    y, patients = np.array([0, 3, 1, 1, 2]), ["a", "a", "b", "b", "c"]
    assert patient_labels(y, patients, ordinal=True).y.tolist() == [3, 1, 2]
    unordered = patient_labels(y, patients, ordinal=False)
    assert unordered.y.tolist() == [-1, 1, 2]
    assert unordered.differing == 1
