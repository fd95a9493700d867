"""Metrics, intervals, tests and calibration of class probabilities."""

from fewshot_flair.evaluation.intervals import cluster_bootstrap, interval_over_seeds, paired_bootstrap
from fewshot_flair.evaluation.metrics import METRICS, Metric, score

__all__ = ["METRICS", "Metric", "cluster_bootstrap", "interval_over_seeds", "paired_bootstrap", "score"]
