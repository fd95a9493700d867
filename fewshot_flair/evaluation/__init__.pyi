from .calibration import Calibration, brier_with_interval, calibrate, ece_with_interval
from .correlation import spearman_with_interval
from .intervals import Estimate, cluster_bootstrap, interval_over_seeds, paired_bootstrap
from .metrics import METRICS, Metric, Score, Scores, balanced_accuracy, score, score_draws
from .operating import (
    Threshold,
    auprc,
    auroc,
    auroc_difference,
    positive_score,
    sensitivity_specificity,
    share_with_interval,
    threshold_for,
)
from .patients import PatientLabels, combine_patients, patient_labels
from .referral import RiskCoverage, referral_threshold, risk_coverage
from .robustness import Line, baseline_line, pareto_front
from .typicality import Typicality

__all__ = [
    "METRICS",
    "Calibration",
    "Estimate",
    "Line",
    "Metric",
    "PatientLabels",
    "RiskCoverage",
    "Score",
    "Scores",
    "Threshold",
    "Typicality",
    "auprc",
    "auroc",
    "auroc_difference",
    "balanced_accuracy",
    "baseline_line",
    "brier_with_interval",
    "calibrate",
    "cluster_bootstrap",
    "combine_patients",
    "ece_with_interval",
    "interval_over_seeds",
    "paired_bootstrap",
    "pareto_front",
    "patient_labels",
    "positive_score",
    "referral_threshold",
    "risk_coverage",
    "score",
    "score_draws",
    "sensitivity_specificity",
    "share_with_interval",
    "spearman_with_interval",
    "threshold_for",
]
