"""Whether adaptation beats zero-shot on the test rows, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fewshot_flair.experiment.clinic import Clinic

__all__ = ["nothing_to_compare", "verdict"]


def nothing_to_compare(default: str, folds: int) -> str:
    """What is said where the default is zero-shot itself, or nothing was cross-validated; else empty."""
    if default != "zero-shot":
        return ""
    if not folds:
        return "There are too few training patients for cross-validation: whether adaptation helps here was not asked."
    return (
        "No adapter is better than zero-shot in cross-validation on the training rows: adaptation is not shown to "
        "help here."
    )


def verdict(
    clinic: Clinic,
    name: str,
    ours: NDArray[np.float64],
    zero_shot: NDArray[np.float64],
    positive: tuple[int, ...] = (),
) -> str:
    """Compare an adapter with zero-shot, patients resampled.

    Parameters
    ----------
    ours, zero_shot : float64 arrays of shape (n, C)
        Probabilities of the test rows.
    positive : tuple of int
        Columns of the positive classes where AUROC is what counts; by default balanced accuracy does.
    """
    from fewshot_flair.evaluation import auroc_difference, balanced_accuracy, paired_bootstrap, positive_score

    y, people = clinic.test.y, clinic.test.patients
    if positive:
        one, other, (low, high) = auroc_difference(
            np.isin(y, positive),
            positive_score(ours, positive),
            positive_score(zero_shot, positive),
            people,
        )
        scale, digits, has, unit = 1, 3, "an AUROC of {} of the positive classes on the test rows", ""
    else:
        first, second = (p.argmax(axis=1) for p in (ours, zero_shot))
        one, other = balanced_accuracy(y, first), balanced_accuracy(y, second)
        low, high = paired_bootstrap(y, first, second, people, len(clinic.classes))
        scale, digits, has, unit = 100, 1, "{} balanced accuracy on the test rows", " %"

    def shown(value: float, sign: str = "") -> str:
        return f"{scale * value:{sign}.{digits}f}"

    whose = "patients" if clinic.provenance.names_patients else "images"
    by = (
        f"{name} has {has.format(shown(one) + unit)}, zero-shot {shown(other)}{unit} (difference "
        f"{shown(one - other, '+')}, 95 % over test {whose} {shown(low, '+')} to {shown(high, '+')})"
    )
    if low > 0:
        return f"Adaptation beats zero-shot: {by}."
    if high < 0:
        return f"Adaptation is worse than zero-shot: {by}."
    return f"It is not shown that adaptation beats zero-shot: {by}."
