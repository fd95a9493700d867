"""The order of classes: stated, numeric, a known grading scale, or the alphabet."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fewshot_flair.errors import InputError

__all__ = ["SCALES", "class_order", "is_known_order", "stated_order"]

SCALES: tuple[tuple[frozenset[str], ...], ...] = (
    # International Clinical Diabetic Retinopathy severity scale (Wilkinson et al., Ophthalmology 2003).
    (
        frozenset(
            {
                "no diabetic retinopathy", "no apparent diabetic retinopathy", "no apparent retinopathy",
                "no dr", "no retinopathy", "nodr", "no_dr", "normal", "healthy", "none", "no",
            }
        ),
        frozenset(
            {
                "mild diabetic retinopathy", "mild non-proliferative diabetic retinopathy",
                "mild npdr", "mild dr", "mild",
            }
        ),
        frozenset(
            {
                "moderate diabetic retinopathy", "moderate non-proliferative diabetic retinopathy",
                "moderate npdr", "moderate dr", "moderate",
            }
        ),
        frozenset(
            {
                "severe diabetic retinopathy", "severe non-proliferative diabetic retinopathy",
                "severe npdr", "severe dr", "severe",
            }
        ),
        frozenset(
            {
                "proliferative diabetic retinopathy", "proliferative retinopathy", "proliferative dr",
                "proliferate dr", "proliferate_dr", "pdr", "proliferative",
            }
        ),
    ),
)  # fmt: skip
"""Grading scales whose order is known: for each grade, how it is written (in lower case)."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?$")


def class_order(labels: Sequence[str]) -> tuple[list[str], bool]:
    """Order the distinct labels of a data set, and say whether that order means anything.

    Numbers sort as numbers and the grades of a known scale by severity (both ordinal); anything else
    is sorted by name (nominal).

    Returns
    -------
    classes : list of str
    ordinal : bool
    """
    distinct = sorted(set(labels))
    if distinct and all(_NUMBER.match(label) for label in distinct):
        return sorted(distinct, key=float), True
    for scale in SCALES:
        rank = {_folded(name): grade for grade, names in enumerate(scale) for name in names}
        grades = [rank.get(_folded(label)) for label in distinct]
        if len(distinct) > 1 and None not in grades and len(set(grades)) == len(grades):
            return sorted(distinct, key=lambda label: rank[_folded(label)]), True
    return distinct, False


def is_known_order(classes: Sequence[str]) -> bool:
    """Whether classes stand in an order that means something by itself: of numbers, or of a known scale."""
    return class_order(classes) == (list(classes), True)


def _folded(label: str) -> str:
    """A label without regard to case; folder names have underscores for spaces."""
    return label.casefold().replace("_", " ")


def stated_order(labels: Sequence[str], ranks: Sequence[str], column: str, source: str) -> list[str]:
    """Order labels by the number that a column of the table gives each of them.

    Raises
    ------
    InputError
        If a rank is not a number, a label has two of them, or two labels share one.
    """
    rank_of: dict[str, float] = {}
    for label, text in zip(labels, ranks, strict=True):
        if not _NUMBER.match(text):
            raise InputError(
                f"{source}: column {column!r} holds {text!r} for {label!r}; it must hold numbers"
            )
        rank = float(text)
        if rank_of.setdefault(label, rank) != rank:
            raise InputError(
                f"{source}: column {column!r} gives {label!r} both {rank_of[label]:g} and {rank:g}"
            )
    if len(set(rank_of.values())) < len(rank_of):
        raise InputError(
            f"{source}: column {column!r} gives two labels the same number; classes need one each"
        )
    return sorted(rank_of, key=lambda label: rank_of[label])
