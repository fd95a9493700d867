"""What a saved adapter's decision is worth: measured once, on the test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import cluster_bootstrap, operating, referral
from fewshot_flair.evaluation.calibration import brier_with_interval, ece_with_interval, reliability_of
from fewshot_flair.evaluation.intervals import Estimate
from fewshot_flair.evaluation.metrics import balanced_accuracy
from fewshot_flair.evaluation.patients import combine_patients, patient_labels
from fewshot_flair.experiment.decisions import DecisionFigures, Measured, PatientFigures
from fewshot_flair.models.decision import Decision, calibrated, decide, estimated_prevalence, right, sureness

__all__ = ["measure"]

POINTS = 200


def measure(
    decision: Decision,
    logits: NDArray[np.floating],
    y: NDArray[np.int64],
    patients: Sequence[str],
    *,
    ordinal: bool,
    prevalence: Mapping[str, float] | Literal["estimate"] | None = None,
) -> DecisionFigures:
    """Figures of logits (n, C) of test rows, of their classes and patients."""
    people = np.asarray(patients)
    before, after = softmax(np.asarray(logits, dtype=np.float64), axis=1), calibrated(decision, logits)
    views = {"before": before, "after": after}
    shares, note = None, ""
    if prevalence is not None:
        try:
            shares = estimated_prevalence(decision, logits) if prevalence == "estimate" else dict(prevalence)
            views["moved"] = calibrated(decision, logits, shares)
        except InputError as error:
            shares, note = None, str(error)
    sure, correct = sureness(decision, after), right(decision, after, y)
    curve = referral.risk_coverage(sure, correct)
    answered = np.array(decide(decision, after)[0]) == "answer"
    several = len(np.unique(people)) < len(people)
    per_patient = np.unique(people, return_inverse=True)[1]
    alone = np.bincount(per_patient, ~answered) == 0
    return DecisionFigures(
        brier_score={name: _kept(brier_with_interval(y, p, people)) for name, p in views.items()},
        expected_calibration_error={
            name: _kept(ece_with_interval(y, p, people)) for name, p in views.items()
        },
        reliability={name: reliability_of(y, views[name]).tolist() for name in ("before", "after")},
        prevalence=shares,
        prevalence_note=note,
        **_operating(decision, after, y, people),
        aurc=curve.area,
        risk_coverage=_thinned(np.c_[curve.coverage, curve.risk]),
        answered=_kept(operating.share_with_interval(answered, people)),
        answered_error=_kept(operating.share_with_interval(~correct[answered], people[answered]))
        if answered.any()
        else None,
        patients_answered=_kept(operating.share_with_interval(alone, np.arange(len(alone)))),
        **(_patients(decision, after, y, people, ordinal) if several else {}),
    )


def _operating(
    decision: Decision, p: NDArray[np.float64], y: NDArray[np.int64], people: NDArray
) -> dict[str, Any]:
    if decision.operating is None:
        return {}
    truth, scores = np.isin(y, decision.positive), operating.positive_score(p, decision.positive)
    found, spared = operating.sensitivity_specificity(truth, scores >= decision.operating.threshold, people)
    roc, pr = _curves(truth, scores)
    return {
        "positives": int(truth.sum()),
        "auroc": _kept(operating.auroc(truth, scores, people)),
        "auprc": _kept(operating.auprc(truth, scores, people)),
        "sensitivity": _kept(found),
        "specificity": _kept(spared),
        "roc": roc,
        "precision_recall": pr,
    }


def _curves(
    truth: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[list[list[float]], list[list[float]]]:
    """Points of the ROC curve (1 − specificity, sensitivity) and the other (sensitivity, precision)."""
    if truth.all() or not truth.any():
        return [], []
    from sklearn.metrics import precision_recall_curve, roc_curve

    fpr, tpr, _ = roc_curve(truth, scores)
    precision, recall, _ = precision_recall_curve(truth, scores)
    return _thinned(np.c_[fpr, tpr]), _thinned(np.c_[recall, precision][::-1])


def _patients(
    decision: Decision, p: NDArray[np.float64], y: NDArray[np.int64], people: NDArray, ordinal: bool
) -> dict[str, Any]:
    truth, differing = patient_labels(y, people, ordinal=ordinal)
    known = truth >= 0
    found = {}
    for rule in ("worst", "mean") if ordinal else ("mean",):
        _, combined = combine_patients(p, people, rule)
        labels, of_patients, each = truth[known], combined[known], np.arange(int(known.sum()))
        if not len(labels):
            continue
        predicted = of_patients.argmax(axis=1)
        low, high = cluster_bootstrap(labels, predicted, each, p.shape[1])
        balanced = Estimate(balanced_accuracy(labels, predicted), low, high, "bootstrap over patients")
        kept = {
            name: value
            for name, value in _operating(decision, of_patients, labels, each).items()
            if name in ("auroc", "sensitivity", "specificity")
        }
        found[rule] = PatientFigures(
            patients=len(labels),
            balanced_accuracy=_kept(balanced),
            accuracy=_kept(operating.share_with_interval(predicted == labels, each)),
            **kept,
        )
    return {"patients": found, "patients_left_out": differing}


def _thinned(points: NDArray[np.float64]) -> list[list[float]]:
    """At most 200 of the points of a curve, its ends among them."""
    if len(points) > POINTS:
        points = points[np.linspace(0, len(points) - 1, POINTS).round().astype(int)]
    return points.tolist()


def _kept(estimate: Estimate) -> Measured:
    value, low, high = (None if np.isnan(number) else float(number) for number in estimate[:3])
    return Measured(value=value, low=low, high=high, method=estimate.method)
