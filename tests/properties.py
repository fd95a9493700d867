"""Settings that the property tests share."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

__all__ = ["examples"]


def examples(default: int = 1000) -> settings:
    """How many examples property tests take: 1,000, or what FEWSHOT_FLAIR_EXAMPLES says."""
    number = int(os.environ.get("FEWSHOT_FLAIR_EXAMPLES", default))
    return settings(
        max_examples=number,
        deadline=None,
        derandomize="FEWSHOT_FLAIR_EXAMPLES" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
