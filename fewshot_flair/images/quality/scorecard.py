"""How much like a retina's the measures are: points for each, added up."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CARD", "points"]

CARD = Path(__file__).with_name("scorecard.json")
"""Made by recipes/quality/fit.py, of rendered retinas and drawn things."""


@functools.cache
def _card() -> dict[str, Any]:
    return dict(json.loads(CARD.read_text(encoding="utf-8")))


def points(measures: Mapping[str, float]) -> dict[str, float]:
    """Points of each measure, interpolated between its knots, and the ``offset``; their sum is a logit.

    Of retinas it is above 0.
    """
    card = _card()
    return {"offset": card["offset"]} | {
        name: float(np.interp(measures[name], given["knots"], given["points"]))
        for name, given in card["measures"].items()
    }
