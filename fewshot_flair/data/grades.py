"""The order of classes: stated, numeric, a known grading scale, or the alphabet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fewshot_flair.data.labels import clean, plain_number
from fewshot_flair.errors import InputError

__all__ = [
    *(
        "DR_GRADES",
        "DR_SPELLINGS",
        "DR_WORDS",
        "class_named",
        "class_order",
        "folded",
        "grade_meant",
        "grade_of",
        "grade_names",
    ),
    *("is_known_order", "may_be_dr_grades", "referable_grades", "stated_order"),
]

DR_GRADES = (
    "no diabetic retinopathy",
    "mild diabetic retinopathy",
    "moderate diabetic retinopathy",
    "severe diabetic retinopathy",
    "proliferative diabetic retinopathy",
)
"""International Clinical Diabetic Retinopathy severity scale, grades 0 to 4 (Wilkinson et al., Ophthalmology 2003)."""

DR_WORDS: tuple[frozenset[str], ...] = (
    frozenset({"no", "none", "normal", "healthy"}),
    frozenset({"mild"}),
    frozenset({"moderate"}),
    frozenset({"severe"}),
    frozenset({"proliferative"}),
)
"""Words that stand for a grade only where every class is one."""

_STAGES = ("retinopathy", "dr", "npdr", "nonproliferative diabetic retinopathy", "nonproliferative dr")
DR_SPELLINGS: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "no apparent diabetic retinopathy", "no apparent retinopathy", "no apparent dr", "no dr", "nodr",
            "no retinopathy",
        }
    ),
    frozenset(f"mild {stage}" for stage in _STAGES),
    frozenset(f"moderate {stage}" for stage in _STAGES),
    frozenset(f"severe {stage}" for stage in _STAGES),
    frozenset({"proliferative retinopathy", "proliferative dr", "proliferate dr", "pdr"}),
)  # fmt: skip
"""Usual spellings of each grade, folded."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


def folded(label: str) -> str:
    """A label without regard to case, hyphens, underscores and British spelling, to look it up by.

    Examples
    --------
    >>> folded("Mild_non-proliferative  DR")
    'mild nonproliferative dr'
    """
    plain = re.sub(r"[\s_-]+", " ", label.casefold()).strip()
    plain = plain.replace("non proliferative", "nonproliferative").replace("oedema", "edema")
    return plain.replace("hemorrhage", "haemorrhage")


_GRADE = {
    spelling: grade
    for grade, name in enumerate(DR_GRADES)
    for spelling in {folded(name)} | DR_SPELLINGS[grade] | DR_WORDS[grade]
}


def grade_of(label: str) -> int | None:
    """Grade 0 to 4 of diabetic retinopathy that a name stands for; None for any other name."""
    return _GRADE.get(folded(label))


def grade_names(labels: Iterable[str], source: str) -> dict[str, str]:
    """Name the grade of diabetic retinopathy that each label is: the number 0 to 4, or a name of it.

    Raises
    ------
    InputError
        If a label is no grade of that scale; all such labels are named.
    """
    distinct = [label for label in dict.fromkeys(labels) if label]
    numbers = {str(grade): grade for grade in range(len(DR_GRADES))}
    grades = {label: numbers.get(plain_number(label), grade_of(label)) for label in distinct}
    if other := [label for label, grade in grades.items() if grade is None]:
        shown = ", ".join(repr(label[:80]) for label in other[:20])
        raise InputError(
            f"{source}: {shown}: no grade of the scale of diabetic retinopathy (--scale dr); "
            "its labels are 0, 1, 2, 3, 4 or names such as 'No DR' and 'PDR'"
        )
    return {label: DR_GRADES[grade] for label, grade in grades.items() if grade is not None}


def class_named(name: str, classes: Sequence[str]) -> str | None:
    """The class that a user means by a name: as it is written, but for case, spaces and the like; or its grade.

    Where all classes are grades of diabetic retinopathy, each is known by its number and by its usual names too.

    Returns
    -------
    str or None
        None where no class, or more than one, is meant.

    Examples
    --------
    >>> class_named("No DR", DR_GRADES), class_named("2", DR_GRADES), class_named("2", ["a", "b"])
    ('no diabetic retinopathy', 'moderate diabetic retinopathy', None)
    """
    if name in classes:
        return name
    wanted = folded(plain_number(clean(name)))
    found = [each for each in classes if folded(plain_number(clean(each))) == wanted]
    grades = [grade_of(each) for each in classes]
    if not found and None not in grades and len(set(grades)) == len(grades):
        numbers = {str(grade): grade for grade in range(len(DR_GRADES))}
        grade = numbers.get(wanted, grade_of(name))
        found = [each for each, own in zip(classes, grades, strict=True) if own == grade]
    return found[0] if len(found) == 1 else None


def grade_meant(label: str, classes: Sequence[str]) -> str:
    """The question whether a number among grades that have their names is one of them; else nothing."""
    if label not in ("0", "1", "2", "3", "4") or tuple(classes) != DR_GRADES:
        return ""
    return f"; is it the grade {DR_GRADES[int(label)]!r}? The scale dr (--scale dr) reads numbers so"


def may_be_dr_grades(labels: Iterable[str]) -> bool:
    """Whether labels are numbers that may be grades of diabetic retinopathy, so that ``scale="dr"`` names them.

    True for at least three of 0 to 4 and nothing else.
    """
    distinct = {plain_number(label) for label in labels if label}
    return len(distinct) >= 3 and distinct <= {str(grade) for grade in range(len(DR_GRADES))}


def referable_grades(classes: Sequence[str]) -> list[str]:
    """Those of classes that are grades of diabetic retinopathy which are moderate or worse; none of other classes."""
    grades = [grade_of(name) for name in classes]
    if len(classes) < 3 or None in grades:
        return []
    return [name for name, grade in zip(classes, grades, strict=True) if grade is not None and grade >= 2]


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
    if distinct and all(_NUMBER.fullmatch(label) for label in distinct):
        return sorted(distinct, key=float), True
    grades = {label: grade for label in distinct if (grade := grade_of(label)) is not None}
    if len(distinct) > 1 and len(grades) == len(distinct) == len(set(grades.values())):
        return sorted(distinct, key=lambda label: grades[label]), True
    return distinct, False


def is_known_order(classes: Sequence[str]) -> bool:
    """Whether classes stand in an order that means something by itself: of numbers, or of a known scale."""
    return class_order(classes) == (list(classes), True)


def stated_order(labels: Sequence[str], ranks: Sequence[str], column: str, source: str) -> list[str]:
    """Order labels by the number that a column of the table gives each of them.

    Raises
    ------
    InputError
        If a rank is not a number, a label has two of them, or two labels share one.
    """
    rank_of: dict[str, float] = {}
    for label, text in zip(labels, ranks, strict=True):
        if not _NUMBER.fullmatch(text):
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
