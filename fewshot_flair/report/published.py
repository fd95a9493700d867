"""Published numbers beside measured ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.evaluation import METRICS
from fewshot_flair.experiment.results import SETTING, StudyResults
from fewshot_flair.report.wording import unit

__all__ = ["published_table", "read_published"]


def read_published(path: Path) -> dict[str, Any]:
    """Read published numbers: ``source`` and ``rows`` of setting columns, ``metric`` and ``value``.

    Raises
    ------
    MissingFileError, InputError
        Where there is no such file, or it is not of this form.
    """
    if not path.is_file():
        raise MissingFileError(f"published numbers: no file {path}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for row in content["rows"]:
            float(row["value"])
            unknown = set(row) - {"value", "metric", "adapter", *SETTING}
            if row["metric"] not in METRICS or unknown:
                raise ValueError(f"unknown metric or column in {row}")
        str(content["source"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: needs 'source' and 'rows' with a 'value' each ({error!r})") from error
    return content


def published_table(results: StudyResults) -> dict[str, Any] | None:
    """Rows of published and measured values; None where the study names no published numbers.

    A published row that was not measured shows –; so the table also says what is still to be run.
    """
    published = results.record.get("published")
    if not published:
        return None
    keys = [key for key in published["rows"][0] if key not in ("metric", "value")]
    rows = []
    for row in published["rows"]:
        part = results.rows
        for key in keys:
            part = part[part[key] == row[key]]
        measured = part[row["metric"]].mean() if len(part) else float("nan")
        scale, digits = (100, 1) if METRICS[row["metric"]].percent else (1, 3)
        rows.append(
            [
                *(str(row[key]) for key in keys),
                unit(row["metric"]),
                f"{scale * row['value']:.{digits}f}",
                "–" if measured != measured else f"{scale * measured:.{digits}f}",
                "–" if measured != measured else f"{scale * (measured - row['value']):+.{digits}f}",
            ]
        )
    return {
        "source": published["source"],
        "columns": [*keys, "metric", "published", "measured", "difference"],
        "rows": rows,
    }
