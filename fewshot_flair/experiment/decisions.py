"""What a plan wants decided, checked against its classes; and what such decisions were worth on the test rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from fewshot_flair.data.grades import DR_WORDS, class_named, folded
from fewshot_flair.errors import InputError
from fewshot_flair.words import nearest

if TYPE_CHECKING:
    from fewshot_flair.experiment.choices import DecisionChoice

__all__ = [
    "DecisionFigures",
    "Measured",
    "PatientFigures",
    "check_decision",
    "check_prevalence",
    "positive_classes",
]

NOTHING_FOUND = ("no ", "non", "not ", "without ")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Measured(_Record):
    """A number with its 95 % interval and how that was made; None where undefined."""

    value: float | None
    low: float | None
    high: float | None
    method: str


class PatientFigures(_Record):
    """Photographs of a patient combined: balanced accuracy and the operating point, patients for rows."""

    patients: int
    balanced_accuracy: Measured
    accuracy: Measured
    auroc: Measured | None = None
    sensitivity: Measured | None = None
    specificity: Measured | None = None


class DecisionFigures(_Record):
    """What a saved adapter's decision does on the test rows.

    Attributes
    ----------
    brier_score, expected_calibration_error : dict of str to Measured
        ``before`` and ``after`` calibration; ``moved`` to the prevalence that was asked for.
    reliability : dict of str to lists of (3, 15) float
        ``before`` and ``after`` (see `evaluation.metrics.reliability_bins`).
    prevalence : dict of str to float, or None
        What probabilities were moved to, given or estimated.
    positives : int or None
        Test rows of the positive classes; None without an operating point, as are the five that follow.
    roc, precision_recall : list of [x, y]
        Points of the curves, at most 200.
    aurc : float
        Area under the risk–coverage curve, whose points `risk_coverage` has.
    answered, answered_error : Measured or None
        Share of test rows that nobody need look at (`models.decide` answers), and the error of those answers;
        None where there is none.
    patients_answered : Measured or None
        Share of patients all of whose photographs are answered so.
    patients : dict of str to PatientFigures
        By rule, where a patient has several photographs.
    patients_left_out : int
        Patients without one true class.
    """

    brier_score: dict[str, Measured]
    expected_calibration_error: dict[str, Measured]
    reliability: dict[str, list[list[float]]]
    prevalence: dict[str, float] | None = None
    prevalence_note: str = ""
    positives: int | None = None
    auroc: Measured | None = None
    auprc: Measured | None = None
    sensitivity: Measured | None = None
    specificity: Measured | None = None
    roc: list[list[float]] = []
    precision_recall: list[list[float]] = []
    aurc: float
    risk_coverage: list[list[float]]
    answered: Measured
    answered_error: Measured | None = None
    patients_answered: Measured | None = None
    patients: dict[str, PatientFigures] = {}
    patients_left_out: int = 0


def positive_classes(choice: DecisionChoice, classes: Sequence[str]) -> list[str]:
    """The positive classes: those asked for; of two classes the second, or the one that is no "normal"; else none.

    Raises
    ------
    InputError
        If a name is no class, all classes are positive, or an operating point is wanted without any.
    """
    if choice.positive:
        named = _known("--positive", choice.positive, classes)
        if set(named) >= set(classes):
            raise InputError("--positive: all classes are named; some must be left that are not positive")
        return [name for name in classes if name in named]
    if len(classes) == 2:
        normal = [_reads_normal(name) for name in classes]
        return [classes[0]] if normal == [False, True] else [classes[1]]
    if choice.operating_point:
        raise InputError(
            f"--operating-point {choice.operating_point}: of {len(classes)} classes say with --positive which are "
            f"positive, as {', '.join(classes)}"
        )
    return []


def check_decision(choice: DecisionChoice, classes: Sequence[str]) -> None:
    """Raise where a choice does not fit the classes (see `positive_classes` and `check_prevalence`)."""
    positive_classes(choice, classes)
    check_prevalence(choice.prevalence, classes)


def check_prevalence(
    prevalence: Mapping[str, float] | Literal["estimate"] | None, classes: Sequence[str]
) -> dict[str, float] | Literal["estimate"] | None:
    """The same with the classes' own names; "estimate" and None as they are.

    Raises
    ------
    InputError
        Where shares name no class, name one twice, lack one, or do not sum to 1.
    """
    if prevalence is None or prevalence == "estimate":
        return prevalence
    named = _known("--prevalence", prevalence, classes)
    if twice := [name for name in classes if named.count(name) > 1]:
        raise InputError(f"--prevalence: more than one share for {', '.join(twice)}; give one")
    if missing := [name for name in classes if name not in named]:
        raise InputError(
            f"--prevalence: no share for {', '.join(missing)}; give every class (0 where it never is)"
        )
    if wrong := {name: share for name, share in prevalence.items() if not 0 <= share <= 1}:
        named_so = ", ".join(f"{name}={share:g}" for name, share in wrong.items())
        raise InputError(f"--prevalence: {named_so} is no share; give numbers from 0 to 1 that sum to 1")
    if abs(sum(prevalence.values()) - 1) > 0.005:
        raise InputError(f"--prevalence: the shares sum to {sum(prevalence.values()):g}; they must sum to 1")
    return dict(zip(named, prevalence.values(), strict=True))


def _known(option: str, names: Iterable[str], classes: Sequence[str]) -> list[str]:
    """The classes that are meant (see `class_named`)."""
    found = []
    for name in names:
        meant = class_named(name, classes)
        if meant is None:
            hint = nearest(name, classes)
            raise InputError(
                f"{option}: no class {name!r}; {hint}{' ' * bool(hint)}there are {', '.join(classes)}"
            )
        found.append(meant)
    return found


def _reads_normal(name: str) -> bool:
    plain = folded(name)
    return plain in DR_WORDS[0] or plain.startswith(NOTHING_FOUND)
