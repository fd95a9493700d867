"""Is it a retina, is it fit to grade: one answer for one photograph, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fewshot_flair.images.decoding import ImageLike, read_image
from fewshot_flair.images.quality.compression import blockiness
from fewshot_flair.images.quality.field import find_field
from fewshot_flair.images.quality.measures import measure
from fewshot_flair.images.quality.scorecard import points

__all__ = ["VERSION", "Quality", "assess_quality"]

VERSION = 3
"""Grows when the same photograph may get another answer."""
DOUBTFUL, SURE = 0.15, 0.6
"""Scores: less than the first is no retina; less than the second may be none, and is not to be graded."""


@dataclass(frozen=True)
class Quality:
    """What a photograph shows, and whether it can be graded.

    Attributes
    ----------
    retina : bool
        Whether it looks like a photograph of a retina.
    gradable : bool
        Whether it is one, and nothing is wrong with it that is known to change answers.
    reasons : tuple of str
        Why not, in plain words with their numbers; empty where it is gradable.
    score : float
        From 0 to 1: how much it looks like a retina; no probability. From `SURE` on it is taken for one, below
        `DOUBTFUL` for none; between them it may be a strange one, which is not gradable.
    measures : mapping of str to float
        Everything that was measured (docs/quality.md says what).
    """

    retina: bool
    gradable: bool
    reasons: tuple[str, ...]
    score: float
    measures: Mapping[str, float]

    @property
    def word(self) -> str:
        """``"good"``, ``"poor"`` (a retina that is not gradable) or ``"no retina"``."""
        return "good" if self.gradable else "poor" if self.retina else "no retina"


def assess_quality(image: ImageLike) -> Quality:
    """Say whether a photograph shows a retina and is fit to grade, from its pixels alone.

    Parameters
    ----------
    image : path, PIL image, or uint8 array
        As `read_image` takes them; an array that it gave is not decoded again.

    Returns
    -------
    Quality

    Raises
    ------
    MissingFileError, InputError
        If the photograph is not there or cannot be read (see `read_image`).

    Examples
    --------
    >>> import numpy as np
    >>> assess_quality(np.zeros((64, 64, 3), np.uint8)).retina
    False
    """
    rgb = read_image(image)
    measures = measure(find_field(rgb)) | {"blocks": blockiness(rgb)}
    given = points(measures)
    score = 1 / (1 + math.exp(-max(-50.0, min(50.0, sum(given.values())))))
    retina = score >= DOUBTFUL
    reasons = tuple(_faults(measures))
    if score < SURE:
        words = "may be no retina" if retina else "looks like no retina"
        reasons = (f"{words} (score {score:.3f}; at least {SURE:g})", *reasons)
    return Quality(retina, retina and not reasons, reasons, score, measures)


def _faults(measures: Mapping[str, float]) -> Iterator[str]:
    """What is wrong, in words."""
    for name, below, above, words in LIMITS:
        value = measures[name]
        if name == "seen" and not measures["framed"]:
            continue  # cropped to a square within its circle: nothing is hidden
        if name == "redness" and max(abs(value), measures["redness_spread"]) < _GREY:
            continue  # red-free: it has no colours that could be wrong
        if not below <= value <= above:
            limit = f"at least {below:g}" if value < below else f"at most {above:g}"
            yield f"{words} ({value:.3g}; {limit})"


_ANY = math.inf
_GREY = 0.02
LIMITS: tuple[tuple[str, float, float, str], ...] = (
    ("diameter", 128, _ANY, "too small: pixels across the field of view"),
    ("level_high", 60, _ANY, "too dark: level of its brightest parts, of 255"),
    ("level_low", 0, 225, "too bright: level of its darkest parts, of 255"),
    ("clipped", 0, 0.2, "overexposed: share of the field without detail"),
    ("sharpness", 0.34, _ANY, "blurred: fine over coarse structure"),
    ("detail", 0.045, _ANY, "blurred or hazy: contrast from pixel to pixel"),
    ("grain", 0, 1.7, "noisy: finest over fine structure"),
    ("blocks", 0, 2.5, "compressed too far: steps between blocks over those within"),
    ("blueness", -_ANY, 0.5, "blue cast: logarithm of blue over green"),
    ("redness", 0.2, _ANY, "green or blue cast, or ultra-wide: logarithm of red over green"),
    ("roundness", 0.8, 1, "field of view irregular: share of its circle that is filled"),
    ("seen", 0.65, 1, "field of view partly hidden or cut off: share of its circle that is seen"),
)
"""Measure, its least and its most in a photograph that can be graded, and what it is otherwise."""
