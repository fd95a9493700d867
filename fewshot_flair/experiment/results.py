"""A study's results: one table of a row a seed, and one of a row a cell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.design import CELL_FORMAT

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.experiment.cells import Task

__all__ = ["SETTING", "CellSummary", "StudyResults", "assemble"]

SETTING = ["data", "encoder", "prompts", "scenario", "label_noise", "prior", "shots"]
"""The columns that name a setting; with ``adapter`` they name a cell, with ``seed`` a row."""


@dataclass(frozen=True)
class CellSummary:
    """What a cell leaves beside its rows: see `evaluate.Outcome` for the arrays."""

    names: dict[str, Any]
    classes: list[str]
    rendered: bool
    confusion: NDArray[np.float64]
    reliability: NDArray[np.float64]
    patient_interval: tuple[float, float]
    fit_seconds: float
    notes: list[str]


@dataclass(frozen=True)
class StudyResults:
    """A finished study: rows, cell summaries, and the record of how they were made.

    Attributes
    ----------
    rows : DataFrame
        `SETTING`, ``adapter``, ``seed``, then the metrics and one column a class for recall,
        specificity and support.
    cells : list of CellSummary
        In the study's order.
    record : dict
        The content of ``study.json``.
    """

    rows: pd.DataFrame
    cells: list[CellSummary]
    record: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> StudyResults:
        """Read what `fewshot-flair study` wrote; MissingFileError where it has not finished."""
        import pandas as pd

        path = folder / "study.json"
        if not path.is_file() or not (folder / "results.parquet").is_file():
            raise MissingFileError(
                f"{folder} holds no finished study; run `fewshot-flair study STUDY.toml --out {folder}`"
            )
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("cell_format") != CELL_FORMAT:
            raise InputError(f"{folder}: this study was written by another version; run it again")
        cells = [_summary(folder / "cells" / name)[0] for name in record["cells"]]
        return cls(pd.read_parquet(folder / "results.parquet"), cells, record)


def assemble(tasks: Sequence[Task], out: Path, record: dict[str, Any]) -> StudyResults:
    """Join finished cells in the study's order; write ``results.parquet``, ``results.csv``, ``study.json``.

    The rows hold nothing that differs from run to run (fit times are in the cells' summaries), so that a
    study that was killed and went on ends in the same tables as one that was not.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = [_summary(task.path) for task in tasks]
    rows = pa.concat_tables(
        [table.replace_schema_metadata(None) for _, table in read], promote_options="permissive"
    )
    pq.write_table(rows, out / "results.parquet")
    frame = rows.to_pandas()
    frame.to_csv(out / "results.csv", index=False, float_format="%.6g")
    record = record | {"cell_format": CELL_FORMAT, "cells": [task.path.name for task in tasks]}
    text = json.dumps(record, indent=2, ensure_ascii=False, default=str)
    (out / "study.json").write_text(text + "\n", encoding="utf-8")
    seconds = pd.DataFrame([cell.names | {"fit_seconds": cell.fit_seconds} for cell, _ in read])
    seconds.to_csv(out / "fit_seconds.csv", index=False, float_format="%.3g")
    return StudyResults(frame, [cell for cell, _ in read], record)


def _summary(path: Path) -> tuple[CellSummary, Any]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    about = json.loads((table.schema.metadata or {})[b"cell"])
    cell = CellSummary(
        names=about["names"],
        classes=about["classes"],
        rendered=about["rendered"],
        confusion=np.array(about["confusion"]),
        reliability=np.array(about["reliability"]),
        patient_interval=(about["patient_interval"][0], about["patient_interval"][1]),
        fit_seconds=about["fit_seconds"],
        notes=about["notes"],
    )
    return cell, table
