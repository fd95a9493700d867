"""Published numbers that a study's are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.grid import SETTING
from fewshot_flair.files import read_json

__all__ = ["read_published"]


def read_published(path: Path) -> dict[str, Any]:
    """Read published numbers: ``source`` and ``rows`` of setting columns, ``metric`` and ``value``.

    Raises
    ------
    MissingFileError, InputError
        Where there is no such file, or it is not of this form.
    """
    if not path.is_file():
        raise MissingFileError(f"published numbers: no file {path}")
    from fewshot_flair.evaluation import METRICS

    content = read_json(path)
    try:
        for row in content["rows"]:
            float(row["value"])
            unknown = set(row) - {"value", "metric", "adapter", *SETTING}
            if row["metric"] not in METRICS or unknown:
                raise ValueError(f"unknown metric or column in {row}")
        str(content["source"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: needs 'source' and 'rows' with a 'value' each ({error!r})") from error
    return content
