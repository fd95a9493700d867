"""What adapters and networks do where they were trained and where they were not: accuracies, line, front and cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import METRICS, baseline_line, interval_over_seeds, pareto_front
from fewshot_flair.evaluation.robustness import Line
from fewshot_flair.experiment.grid import SETTING
from fewshot_flair.experiment.results import CellResult, StudyResults, by_draw

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Panel", "panels", "robustness_table"]

CHANCE = 0.02
"""Adapters whose balanced accuracy is no more than so much above chance answer one class and are left out of lines."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One setting of a study on one of its further test sides.

    Attributes
    ----------
    names : dict
        The columns of `grid.SETTING`.
    line : Line or None
        Of the frozen adapters, a point a draw; None where they are too few.
    rows : DataFrame
        A row for each adapter and network: ``adapter``, ``kind`` (frozen, fine-tuned or soup), ``method``, ``wise``,
        ``inside``, ``outside``, ``effective_robustness`` (NaN without a line), ``front`` (whether nothing else is at
        least as good on both sides and better on one), and the cost: ``seconds``, ``trainable_parameters``, ``bytes``.
    """

    names: dict[str, Any]
    line: Line | None
    rows: pd.DataFrame


def panels(results: StudyResults, metric: str = "balanced_accuracy") -> list[Panel]:
    """Every setting on every further test side, in the study's order; none where a study has no `tests`."""
    cells: dict[tuple[Any, ...], dict[str, CellResult]] = {}
    for cell in results.cells:
        cells.setdefault(tuple(cell.names[name] for name in SETTING), {})[cell.names["adapter"]] = cell
    found = []
    for key, away in cells.items():
        names = dict(zip(SETTING, key, strict=True))
        home = cells[tuple((names | {"test": names["data"]})[name] for name in SETTING)]
        if home is not away:
            found.append(_panel(names, home, away, metric))
    return found


def robustness_table(results: StudyResults) -> pd.DataFrame:
    """What stands in ``robustness.csv``: a row for each setting, test side, and adapter or network.

    Returns
    -------
    DataFrame
        `grid.SETTING` and ``distribution``, ``adapter``, ``kind``, ``method``, ``wise``, ``balanced_accuracy`` with its
        95 % interval over draws ``low`` and ``high`` (clipped to 0 and 1), ``effective_robustness`` and ``front`` (of
        further test sides, see `Panel`), ``seconds``, ``trainable_parameters`` and ``bytes``.
    """
    import pandas as pd

    judged = {
        (*(panel.names[name] for name in SETTING), row["adapter"]): row
        for panel in panels(results)
        for row in panel.rows.to_dict("records")
    }
    rows = []
    for cell in results.cells:
        own = judged.get((*(cell.names[name] for name in SETTING), cell.names["adapter"]), {})
        mean, low, high = interval_over_seeds(by_draw(cell.rows, "balanced_accuracy"))
        rows.append(
            {**cell.names, **_kind(cell), "balanced_accuracy": mean}
            | {"low": np.maximum(low, 0), "high": np.minimum(high, 1)}  # what a share can be; NaN stays
            | {name: own.get(name) for name in ("effective_robustness", "front")}
            | _cost(cell)
        )
    return pd.DataFrame(rows)


def _panel(
    names: dict[str, Any], home: Mapping[str, CellResult], away: Mapping[str, CellResult], metric: str
) -> Panel:
    import pandas as pd

    both = {name: (home[name], away[name]) for name in away if name in home}
    rows = pd.DataFrame(
        [
            {"adapter": name, **_kind(here), "inside": _mean(here, metric), "outside": _mean(there, metric)}
            | _cost(here)
            for name, (here, there) in both.items()
        ]
    )
    points = np.array(list(_points(both, metric))).reshape(-1, 2)
    try:
        line = baseline_line(points[:, 0], points[:, 1])
        effective = line.effective(rows["inside"], rows["outside"])
    except InputError:
        line, effective = None, np.full(len(rows), np.nan)
    sign = 1 if METRICS[metric].higher_is_better else -1
    rows["effective_robustness"] = sign * effective
    known = rows[["inside", "outside"]].notna().all(axis=1).to_numpy()
    front = np.zeros(len(rows), dtype=bool)
    front[known] = pareto_front(sign * rows.loc[known, ["inside", "outside"]].to_numpy(float))
    return Panel(names, line, rows.assign(front=front))


def _points(both: Mapping[str, tuple[CellResult, CellResult]], metric: str) -> Iterator[tuple[float, float]]:
    """Both figures of each draw of each frozen adapter; once of one that learns nothing, none at chance."""
    for here, there in both.values():
        chance = _mean(here, "balanced_accuracy") < 1 / len(here.classes) + CHANCE
        if here.tuned is not None or chance:
            continue
        draws = list(zip(by_draw(here.rows, metric), by_draw(there.rows, metric), strict=True))
        points = draws if here.trainable_parameters else draws[:1]
        yield from (point for point in points if not np.isnan(point).any())


def _mean(cell: CellResult, metric: str) -> float:
    return float(np.mean(by_draw(cell.rows, metric)))


def _kind(cell: CellResult) -> dict[str, Any]:
    if cell.tuned is None:
        return {"kind": "frozen", "method": "", "wise": None}
    kind = "soup" if cell.tuned["soup"] else "fine-tuned"
    return {"kind": kind, "method": cell.tuned["method"], "wise": cell.tuned["wise"]}


def _cost(cell: CellResult) -> dict[str, float]:
    return {
        "seconds": cell.fit_seconds,
        "trainable_parameters": cell.trainable_parameters,
        "bytes": cell.bytes,
    }
