from .intervals import cluster_bootstrap, interval_over_seeds, paired_bootstrap
from .metrics import METRICS, Metric, Score, Scores, balanced_accuracy, score, score_draws
from .typicality import Typicality

__all__ = [
    "METRICS",
    "Metric",
    "Score",
    "Scores",
    "Typicality",
    "balanced_accuracy",
    "cluster_bootstrap",
    "interval_over_seeds",
    "paired_bootstrap",
    "score",
    "score_draws",
]
