"""How many examples the property tests run; FEWSHOT_FLAIR_EXAMPLES names another number."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings


def examples(default: int = 1000) -> settings:
    """Settings of a property test, without hypothesis' own time limit for an example."""
    return settings(
        max_examples=int(os.environ.get("FEWSHOT_FLAIR_EXAMPLES", default)),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
