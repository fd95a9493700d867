from .intervals import cluster_bootstrap, interval_over_seeds, paired_bootstrap
from .metrics import METRICS, Metric, Score, Scores, balanced_accuracy, score, score_draws

__all__ = [
    "METRICS",
    "Metric",
    "Score",
    "Scores",
    "balanced_accuracy",
    "cluster_bootstrap",
    "interval_over_seeds",
    "paired_bootstrap",
    "score",
    "score_draws",
]
