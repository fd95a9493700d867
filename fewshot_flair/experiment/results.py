"""A study's results: one table of a row a seed, what each cell says, and the record of how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.decisions import DecisionFigures
from fewshot_flair.experiment.provenance import Provenance
from fewshot_flair.files import digest_of, read_json, read_signed, write_signed

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BY_PATIENT",
    "FORMAT",
    "CellResult",
    "RunRecord",
    "Saved",
    "StudyResults",
    "TestFigures",
    "by_draw",
]

FORMAT = "fewshot-flair run 4"
"""Raised with whatever a run's folder holds, so that folders of another make are not taken for ours."""
BY_PATIENT = "patient_balanced_accuracy"
"""Column of balanced accuracy with a patient's photographs combined, where one has several."""


@dataclass(frozen=True)
class CellResult:
    """How an adapter did over B support-set draws on one test set.

    Attributes
    ----------
    names : dict
        The columns that name the cell (see `grid.SETTING`), with ``adapter``.
    classes : list of C str
    rows : list of B dict
        One a seed: ``seed``, ``n_support``, the metrics, and recall_, specificity_ and support_ (as labelled) of
        each class.
    confusion : float64 array of shape (C, C)
        Images, averaged over the draws; rows are the truth.
    reliability : float64 array of shape (3, 15)
        Summed over the draws (see `evaluation.metrics.reliability_bins`).
    patient_interval : (float, float)
        Cluster bootstrap over test patients of the mean balanced accuracy; NaN with one patient.
    fit_seconds : float
        Wall time of all fits over their number; of a soup of the trainings of all its members.
    trainable_parameters, bytes : int
        Numbers that a fit learns, and what must be kept of it (with folds, the most of any).
    tuned : dict or None
        Of a fine-tuned network ``method`` (its label), ``wise`` (its place on WiSE-FT's path) and ``soup``.
    notes : list of str
        What the adapter warned of, such as a fall-back.
    sets : list of dict
        What conformal sets are worth, one row a method and seed (see `sets.measure_sets`).
    """

    names: dict[str, Any]
    classes: list[str]
    rows: list[dict[str, Any]]
    confusion: NDArray[np.float64]
    reliability: NDArray[np.float64]
    patient_interval: tuple[float, float]
    fit_seconds: float
    trainable_parameters: int
    bytes: int
    tuned: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    sets: list[dict[str, Any]] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Keep it in a file with a digest; not waiting for the disk, as a cell that is lost is computed again."""
        arrays = {"confusion": self.confusion.tolist(), "reliability": self.reliability.tolist()}
        write_signed(path, {"format": FORMAT, **vars(self), **arrays}, sync=False)

    @classmethod
    def read(cls, path: Path) -> CellResult:
        """What `write` kept; InputError where it is damaged or of another make."""
        kept = read_signed(path)
        if not isinstance(kept, dict) or kept.pop("format", None) != FORMAT:
            raise InputError(f"{path} was written by another version")
        try:
            arrays = {name: np.array(kept[name], dtype=np.float64) for name in ("confusion", "reliability")}
            return cls(**(kept | arrays | {"patient_interval": tuple(kept["patient_interval"])}))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} holds no cell of a study ({error!r:.200})") from error

    @property
    def at_home(self) -> bool:
        """Whether the data set's own test rows are tested on, and not one of the study's `tests`."""
        return self.names["distribution"] == "in"


def by_draw(rows: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """A figure of each draw, of rows of a cell; of folds the mean over a fold's draws, as they share test rows."""
    parts: dict[Any, list[float]] = {}
    for i, row in enumerate(rows):
        parts.setdefault(row.get("fold", ("row", i)), []).append(float(row[key]))
    return [float(np.mean(values)) for values in parts.values()]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TestFigures(_Record):
    """What a saved adapter does on the test rows; shares between 0 and 1, None where undefined.

    Attributes
    ----------
    low, high : float or None
        95 % interval of balanced accuracy over test patients.
    recall, specificity : dict of str to float
    confusion : list of C lists of C int
        Rows are the truth.
    """

    __test__ = False  # no test case, whatever its name

    balanced_accuracy: float | None
    low: float | None
    high: float | None
    accuracy: float | None
    quadratic_kappa: float | None
    macro_f1: float | None
    macro_auroc: float | None
    log_loss: float | None
    brier_score: float | None
    expected_calibration_error: float | None
    recall: dict[str, float | None]
    specificity: dict[str, float | None]
    confusion: list[list[int]]


class Saved(_Record):
    """An adapter fitted on all training rows and kept.

    Attributes
    ----------
    folder : str
        Where it lies, from the run's folder.
    sha256 : str
        Digest of its ``adapter.json``, so that no other run's adapter is taken for it.
    cross_validation : float or None
        Balanced accuracy over the training rows, each predicted by a fit without its patient.
    cross_validation_auroc : float or None
        AUROC of the positive classes over the same rows; None where none were asked for.
    decision : dict or None
        What its folder keeps for use (see `models.Decision`).
    decided : DecisionFigures or None
        What that is worth on the test rows.
    """

    folder: str
    sha256: str
    training_images: int
    cross_validation: float | None
    cross_validation_auroc: float | None = None
    test: TestFigures
    decision: dict[str, Any] | None = None
    decided: DecisionFigures | None = None


class RunRecord(_Record):
    """The content of ``run.json``.

    Attributes
    ----------
    study : dict
        The plan (see `Study`), and its text as it was given.
    cells : list of str
        File names below ``cells/``, in the study's order.
    saved : dict of str to Saved
        Adapters by label; empty unless the study saves them.
    default_adapter : str or None
        What `predict` takes, and by what rule it was chosen.
    verdict : str
        Whether adaptation beats zero-shot, in a sentence; empty where that was not asked.
    digests : dict of str to str
        Hex sha256 of the tables beside it.
    """

    format: str = FORMAT
    study: dict[str, Any]
    study_text: str = ""
    command: str = ""
    published: dict[str, Any] | None = None
    clinics: list[Provenance]
    left_out: list[str] = []
    versions: dict[str, str] = {}
    cells: list[str] = []
    saved: dict[str, Saved] = {}
    default_adapter: str | None = None
    default_rule: str = ""
    verdict: str = ""
    digests: dict[str, str] = {}

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """The record of a finished run; MissingFileError or InputError that name the folder."""
        path = Path(folder) / "run.json"
        if not path.is_file():
            raise MissingFileError(
                f"{folder} holds no finished run: there is no run.json (give what `fewshot-flair adapt --out` or "
                "`study --out` wrote)"
            )
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise InputError(f"{path} is not the record of a run, or of one by another version; run it again")
        if content.pop("sha256", None) != digest_of(content):
            raise InputError(f"{path} is damaged: it is not what its digest says; run the same command again")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{path} is damaged ({where}: {first['msg']}); run it again") from error


@dataclass(frozen=True, eq=False)
class StudyResults:
    """A finished study.

    Attributes
    ----------
    rows : DataFrame
        `grid.SETTING`, ``adapter``, ``seed``, then the metrics and one column a class for recall,
        specificity and support. It holds nothing that differs from run to run (fit times are in the
        cells), so that a study that was killed and went on ends in the same table as one that was not.
    cells : list of CellResult
        In the study's order.
    record : RunRecord
    """

    rows: pd.DataFrame
    cells: list[CellResult]
    record: RunRecord

    @cached_property
    def home(self) -> StudyResults:
        """Those on the data sets' own test rows alone, without the study's `tests`."""
        if all(cell.at_home for cell in self.cells):
            return self
        names = {clinic["name"] for clinic in self.record.study["data"]}
        clinics = [clinic for clinic in self.record.clinics if clinic.data in names]
        own = self.rows[self.rows["distribution"] == "in"].reset_index(drop=True)
        record = self.record.model_copy(update={"clinics": clinics})
        return StudyResults(own, [cell for cell in self.cells if cell.at_home], record)

    @classmethod
    def of(cls, cells: list[CellResult], record: RunRecord) -> StudyResults:
        """Join cells in the study's order."""
        import pandas as pd

        return cls(pd.DataFrame([cell.names | row for cell in cells for row in cell.rows]), cells, record)

    @classmethod
    def read(cls, folder: str | Path) -> StudyResults:
        """Read a finished run's cells again; InputError where one is damaged, MissingFileError where it is gone."""
        record = RunRecord.read(Path(folder))
        cells = []
        for name in record.cells:
            path = Path(folder) / "cells" / Path(name).name
            try:
                cells.append(CellResult.read(path))
            except FileNotFoundError as error:
                raise MissingFileError(f"{path} is gone; the study's command computes it again") from error
            except InputError as error:
                raise InputError(f"{error}; the study's command computes just this cell again") from error
        return cls.of(cells, record)
