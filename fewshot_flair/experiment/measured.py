"""What an adapter did on one training and one test side, and the cell that comes of it, or of several folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.experiment.results import CellResult

__all__ = ["Measured", "over_folds", "repeated"]


@dataclass
class Measured:
    """What `measure_adapter` finds on one training and one test side, before folds are joined.

    Attributes
    ----------
    predicted : int array of shape (B, n)
        Of each draw and test row.
    y, patients
        Of the test rows.
    seconds : float
        Of all fits.
    trainable_parameters, bytes : int
        Of one fit.
    """

    label: str
    classes: list[str]
    rows: list[dict[str, Any]]
    confusion: NDArray[np.float64]
    reliability: NDArray[np.float64]
    predicted: NDArray[np.unsignedinteger]
    y: NDArray[np.int64]
    patients: list[str]
    seconds: float
    trainable_parameters: int
    bytes: int
    notes: list[str]
    sets: list[dict[str, Any]] = field(default_factory=list)

    def result(self) -> CellResult:
        """The cell of this side alone."""
        return _joined([self], self.rows, self.sets)


def over_folds(parts: Sequence[Measured]) -> CellResult:
    """The cell of all folds: a row a fold and seed, with the column ``fold``."""
    return _joined(parts, *_by_fold(parts))


def repeated(whole: Measured, folds: int) -> CellResult:
    """The cell of an adapter that every fold tests alike, on all rows; it learns from none."""
    rows, sets = _by_fold([whole] * folds)
    return _joined([whole], [row | {"n_support": 0} for row in rows], sets)


def _by_fold(parts: Sequence[Measured]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and sets of each fold, with its number."""

    def numbered(fold: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"seed": row["seed"], "fold": fold} | row for row in rows]

    return (
        [row for fold, part in enumerate(parts) for row in numbered(fold, part.rows)],
        [row for fold, part in enumerate(parts) for row in numbered(fold, part.sets)],
    )


def _joined(parts: Sequence[Measured], rows: list[dict[str, Any]], sets: list[dict[str, Any]]) -> CellResult:
    from fewshot_flair.evaluation import cluster_bootstrap

    fits = sum(len(part.rows) for part in parts)
    return CellResult(
        names={"adapter": parts[0].label},
        classes=parts[0].classes,
        rows=rows,
        confusion=sum((part.confusion for part in parts), np.zeros_like(parts[0].confusion))
        / len(parts[0].rows),
        reliability=sum((part.reliability for part in parts), np.zeros_like(parts[0].reliability)),
        patient_interval=cluster_bootstrap(
            np.concatenate([part.y for part in parts]),
            np.concatenate([part.predicted for part in parts], axis=1),
            [patient for part in parts for patient in part.patients],
            len(parts[0].classes),
        ),
        fit_seconds=sum(part.seconds for part in parts) / fits,
        trainable_parameters=max(part.trainable_parameters for part in parts),
        bytes=max(part.bytes for part in parts),
        notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
        sets=sets,
    )
