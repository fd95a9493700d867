"""What a study's table says: means and intervals, the best and its ties, ranks, crossings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import METRICS, interval_over_seeds
from fewshot_flair.evaluation.statistics import average_ranks, draw_columns, overtakes, paired_comparisons
from fewshot_flair.experiment.grid import SETTING
from fewshot_flair.experiment.results import StudyResults

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.evaluation.statistics import Ranking

__all__ = ["Block", "Entry", "blocks", "defined_blocks", "ranking"]

BLOCK = ["data", "test", "encoder", "prompts", "label_noise", "prior"]
"""What is the same within one table and one row of pictures; scenario and shots are its columns."""
ALPHA = 0.05


@dataclass(frozen=True)
class Entry:
    """One cell of the main table.

    Attributes
    ----------
    mean, low, high : float
        Over seeds (95 % Student-t interval).
    best : bool
        The highest mean of its column (the lowest, for losses).
    tied : bool
        Not told from the best by the paired test at 5 %, corrected for the column's comparisons; the best
        too, and nothing that has no mean.
    patient_interval : (float, float)
        Over test patients, of balanced accuracy.
    """

    mean: float
    low: float
    high: float
    best: bool
    tied: bool
    patient_interval: tuple[float, float]


@dataclass(frozen=True)
class Block:
    """The results of one data set, encoder and way of labelling: adapters by (scenario, shots).

    Attributes
    ----------
    columns : list of (scenario, shots)
    entries : dict of (adapter, column) to Entry
    mean_ranks : dict of adapter to float
        Mean over the columns of its rank by mean.
    overtakes : dict of scenario to (dict of adapter to shots or None)
        The fewest shots from which the adapter stays better than zero-shot.
    """

    names: dict[str, Any]
    rendered: bool
    rows: pd.DataFrame
    adapters: list[str]
    columns: list[tuple[str, int]]
    entries: dict[tuple[str, tuple[str, int]], Entry]
    mean_ranks: dict[str, float]
    overtakes: dict[str, dict[str, int | None]]

    @property
    def title(self) -> str:
        """Data set and encoder, and whatever else is not the usual."""
        extra = [] if self.names["prompts"] == "expert" else [f"prompts: {self.names['prompts']}"]
        if self.names["label_noise"]:
            extra.append(f"{self.names['label_noise']:.0%} label noise")
        if self.names["prior"] != "none":
            extra.append(f"prior {self.names['prior']}")
        data = f"{self.names['data']} (rendered photographs)" if self.rendered else self.names["data"]
        return ", ".join([data, f"{self.names['encoder']} encoder", *extra])

    def best_adapter(self, scenario: str) -> tuple[str, int]:
        """The adapter of the best mean at the most shots of a scenario, and these shots."""
        shots = max(k for name, k in self.columns if name == scenario)
        column = (scenario, shots)
        return next(a for a in self.adapters if self.entries[a, column].best), shots


_BLOCKS: WeakKeyDictionary[StudyResults, dict[str, list[Block]]] = WeakKeyDictionary()


def blocks(results: StudyResults, metric: str = "balanced_accuracy") -> list[Block]:
    """The study's tables on its own test rows, in its order; also those whose every mean is NaN (see `defined_blocks`).

    They are computed once for each results and metric: the terminal and the report show the same.
    """
    kept = _BLOCKS.setdefault(results, {})
    if metric not in kept:
        kept[metric] = list(_blocks(results.home, metric))
    return kept[metric]


def _blocks(results: StudyResults, metric: str) -> Iterator[Block]:
    intervals = {
        tuple(cell.names[name] for name in [*SETTING, "adapter"]): cell.patient_interval
        for cell in results.cells
    }
    for key, rows in results.rows.groupby(BLOCK, sort=False, dropna=False):
        names = dict(zip(BLOCK, key, strict=True))
        adapters = list(dict.fromkeys(rows["adapter"]))
        columns = list(dict.fromkeys(zip(rows["scenario"], rows["shots"], strict=True)))
        entries: dict[tuple[str, tuple[str, int]], Entry] = {}
        for column in columns:
            part = rows[(rows["scenario"] == column[0]) & (rows["shots"] == column[1])]
            wide = _wide(part, metric).reindex(columns=adapters)
            setting = names | {"scenario": column[0], "shots": column[1]}
            for adapter, (mean, low, high, best, tied) in _column(wide, metric).items():
                where = tuple((setting | {"adapter": adapter})[name] for name in [*SETTING, "adapter"])
                entries[adapter, column] = Entry(mean, low, high, best, tied, intervals[where])
        means = {c: [entries[a, c].mean for a in adapters] for c in columns}
        ranks = _mean_ranks(means, METRICS[metric].higher_is_better)
        # of losses the lower is better, and `overtakes` asks for the higher
        gains = rows if METRICS[metric].higher_is_better else rows.assign(**{metric: -rows[metric]})
        crossing = {
            scenario: overtakes(gains[gains["scenario"] == scenario], metric)
            for scenario in dict.fromkeys(name for name, _ in columns)
        }
        yield Block(
            names,
            any(c.rendered for c in results.record.clinics if c.data == names["data"]),
            rows,
            adapters,
            columns,
            entries,
            dict(zip(adapters, ranks, strict=True)),
            crossing,
        )


def defined_blocks(
    results: StudyResults, metric: str = "balanced_accuracy"
) -> tuple[list[Block], dict[str, str]]:
    """The tables that have a number of this metric, and why the other data sets have none, by their name.

    Raises
    ------
    InputError
        If no table has one.
    """
    every = blocks(results, metric)
    defined = [block for block in every if any(not np.isnan(e.mean) for e in block.entries.values())]
    known = {block.names["data"] for block in defined}
    missing = [name for name in dict.fromkeys(block.names["data"] for block in every) if name not in known]
    why = {name: _why_undefined(results, metric, name) for name in missing}
    if not defined:
        told = "; ".join(f"{name}: {reason}" for name, reason in why.items())
        raise InputError(
            f"{metric} is undefined on all data of this study, so there is nothing to show ({told})"
        )
    return defined, why


def _why_undefined(results: StudyResults, metric: str, data: str) -> str:
    counts = [c.test.counts for c in results.record.clinics if c.data == data]
    if any(sum(n > 0 for n in each.values()) < 2 for each in counts):
        return "its test images are of one class alone"
    if metric == "quadratic_kappa":
        return (
            "its classes have no order that is known, and kappa weighs how far grades are apart; where they are "
            "grades, say so with `ordered = true` beside `classes` under [[data]] of the study (`--ordered` of "
            "adapt), and run it again"
        )
    return "no adapter has a value there"


def ranking(results: StudyResults, metric: str = "balanced_accuracy") -> Ranking | None:
    """Average ranks over all settings of the study; None where there is too little to rank."""
    wide = results.home.rows.pivot_table(index=SETTING, columns="adapter", values=metric, sort=False)
    return average_ranks(wide, higher_is_better=METRICS[metric].higher_is_better)


def _wide(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row a draw, a column an adapter."""
    import pandas as pd

    draws = draw_columns(rows.columns)
    means = rows.groupby([*draws, "adapter"], sort=False)[metric].mean()
    return pd.DataFrame(means.unstack("adapter"))


def _column(wide: pd.DataFrame, metric: str) -> dict[str, tuple[float, float, float, bool, bool]]:
    means = wide.mean()
    if means.isna().all():
        nan = float("nan")
        return {str(name): (nan, nan, nan, False, False) for name in wide.columns}
    best = str(means.idxmax() if METRICS[metric].higher_is_better else means.idxmin())
    p = paired_comparisons(wide, best)["p_holm"]
    return {
        str(name): (
            *interval_over_seeds(wide[name].to_numpy(float)),
            name == best,
            name == best or not (np.isnan(means[name]) or p[name] < ALPHA),
        )
        for name in wide.columns
    }


def _mean_ranks(means: dict[tuple[str, int], list[float]], higher_is_better: bool) -> list[float]:
    import pandas as pd

    ranks = pd.DataFrame(means).rank(ascending=not higher_is_better)
    return [float(rank) for rank in ranks.mean(axis=1)]
