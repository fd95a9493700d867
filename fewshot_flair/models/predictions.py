"""A fitted adapter on photographs without labels, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.data import SkippedRow

__all__ = ["Predictions", "check_table", "predict_table", "with_notes"]

COLUMNS = ["image", "predicted", "probability"]


@dataclass(frozen=True)
class Predictions:
    """What `predict` found.

    Attributes
    ----------
    table : DataFrame
        ``image``, ``predicted``, ``probability``, ``probability_CLASS`` …, those of `answers.add_columns`, ``note``;
        a photograph that cannot be read has a row with its reason in ``note``.
    skipped : list of SkippedRow
        Photographs that could not be read.
    passed_over : mapping of str to int
        How many files of each other kind the folders hold.
    paths : list of Path or None
        The file of each row of the table; None where there is none to show.
    plain : float64 array of shape (m, C)
        Calibrated probabilities of the first m rows, those that could be read, without a prevalence: what
        decisions are made on.
    """

    table: pd.DataFrame
    skipped: Sequence[SkippedRow]
    passed_over: Mapping[str, int]
    paths: Sequence[Path | None] = ()
    plain: NDArray[np.float64] | None = None


def with_notes(
    table: pd.DataFrame,
    notes: Sequence[str],
    skipped: Sequence[SkippedRow] = (),
    passed_over: Mapping[str, int] = MappingProxyType({}),
    patients: Sequence[str] = (),
) -> pd.DataFrame:
    """The same table with a note a row, and a row for each photograph left out and each kind passed over.

    `patients` are those of `skipped`, where known.
    """
    import pandas as pd

    from fewshot_flair.models.photographs import passed_over_rows

    kinds, reasons = passed_over_rows(passed_over)
    left_out = pd.DataFrame(
        {
            "image": [*(row.image for row in skipped), *kinds],
            "note": [*(row.reason for row in skipped), *reasons],
        }
    )
    if any(patients):
        left_out["patient"] = [*patients, *[""] * len(passed_over)]
    return pd.concat([table.assign(note=list(notes)), left_out], ignore_index=True)


def check_table(
    out: Path, first: Sequence[str] = COLUMNS, what: str = "predictions", *, option: str = "--out"
) -> None:
    """Raise where a table cannot go to `out`; only one that begins with the same columns is replaced."""
    if out.suffix.lower() not in (".csv", ".tsv", ".parquet", ".xlsx"):
        raise InputError(f"{option} {out}: give a name that ends in .csv, .tsv, .parquet or .xlsx")
    if not out.exists():
        return
    if out.suffix.lower() == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            columns = pq.read_schema(out).names
        except (pa.ArrowException, OSError):
            columns = []
    elif out.suffix.lower() == ".xlsx":
        from python_calamine import CalamineError, CalamineWorkbook

        try:
            rows = CalamineWorkbook.from_path(out).get_sheet_by_index(0).to_python(nrows=1)
        except (CalamineError, OSError):
            rows = []
        columns = [str(cell) for cell in rows[0]] if rows else []
    else:
        with out.open(encoding="utf-8", errors="replace") as lines:
            columns = lines.readline(10_000).strip().split("\t" if out.suffix.lower() == ".tsv" else ",")
    if columns[: len(first)] != list(first):
        raise InputError(f"{option} {out}: this file holds something other than {what}; give another name")


def predict_table(
    classes: Sequence[str], images: Sequence[str], probabilities: NDArray[np.float64]
) -> pd.DataFrame:
    """One row for each image: its name, the predicted class, its probability, and all of them.

    Parameters
    ----------
    classes : sequence of C str
    images : sequence of n str
        What the table calls each image.
    probabilities : array of shape (n, C)
    """
    import pandas as pd

    if not len(images):
        return pd.DataFrame(columns=[*COLUMNS, *(f"probability_{name}" for name in classes)])
    table = pd.DataFrame(probabilities, columns=[f"probability_{name}" for name in classes])
    best = probabilities.argmax(axis=1)
    table.insert(0, "image", list(images))
    table.insert(1, "predicted", np.array(classes)[best])
    table.insert(2, "probability", probabilities[np.arange(len(best)), best])
    return table
