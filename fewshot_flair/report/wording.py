"""How results are worded: counts with their noun, means with their interval, what bold means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewshot_flair.experiment.grid import shots_text
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.experiment.results import CellResult

__all__ = ["MINI", "bold_means", "percent_range", "percentage", "setting_of", "unit", "with_interval"]

MINI = (
    "The mini encoder was trained on rendered photographs only. On real eyes it is a way to learn the tool and to "
    "compare adapters, not a good model of the retina."
)
FEWEST_TOLD_APART = 6
"""With fewer draws no difference has p below 5 % by the exact signed-rank test: 2 / 2⁵ is 6 %."""

LIMITS = {"quadratic_kappa": (-1.0, 1.0), "macro_auroc": (0.0, 1.0), "brier_score": (0.0, 2.0)}
"""What a metric can be, of those that are no shares."""


def unit(metric: str) -> str:
    """A metric's name and what it is counted in, as heads of tables have it.

    Examples
    --------
    >>> unit("balanced_accuracy"), unit("log_loss")
    ('balanced accuracy, %', 'log loss')
    """
    from fewshot_flair.evaluation import METRICS  # brings scikit-learn, which counting needs not wait for

    about = METRICS[metric]
    return f"{about.title}, %" if about.percent else about.title


def with_interval(mean: float, low: float, high: float, metric: str = "balanced_accuracy") -> str:
    """A mean and half its interval; both ends, clipped, where the interval leaves what the metric can be.

    Parameters
    ----------
    mean, low, high : float
        As in the results, so shares between 0 and 1. Without an interval (NaN, or one that rounds to
        nothing) the mean stands alone.

    Examples
    --------
    >>> with_interval(0.844, 0.823, 0.865), with_interval(0.562, -0.1, 1.2), with_interval(0.4, 0.4, 0.4)
    ('84.4 ± 2.1', '56.2 (0 to 100)', '40.0')
    """
    from fewshot_flair.evaluation import METRICS

    if math.isnan(mean):
        return "–"
    percent = METRICS[metric].percent
    scale, digits = (100, 1) if percent else (1, 3)
    lowest, highest = (0.0, 1.0) if percent else LIMITS.get(metric, (0.0, math.inf))
    text = f"{scale * mean:.{digits}f}"
    half = f"{scale * (high - low) / 2:.{digits}f}"
    if math.isnan(low) or float(half) == 0:
        return text
    if low < lowest or high > highest:
        ends = [
            f"{scale * limit:.0f}" if outside else f"{scale * end:.{digits}f}"
            for end, limit, outside in ((low, lowest, low < lowest), (high, highest, high > highest))
        ]
        return f"{text} ({ends[0]} to {ends[1]})"
    return f"{text} ± {half}"


def percentage(share: float | None, digits: int = 1) -> str:
    """A share in percent, or a dash where it is unknown.

    Examples
    --------
    >>> percentage(0.4251), percentage(None)
    ('42.5', '–')
    """
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{digits}f}"


def percent_range(low: float | None, high: float | None) -> str:
    """Both ends of an interval in percent, or a dash where it has none, as of one patient.

    Examples
    --------
    >>> percent_range(0.479, 0.6), percent_range(0.479, 0.479)
    ('47.9 to 60.0', '–')
    """
    if low is None or high is None or math.isnan(low) or low == high:
        return "–"
    return f"{100 * low:.1f} to {100 * high:.1f}"


def bold_means(n_draws: int, n_adapters: int) -> str:
    """What bold says in a table of so many draws and adapters, in one or two sentences."""
    said = (
        "bold: the best of its column, and what is not told from it on the same draws (Wilcoxon's signed-rank "
        "test, Holm's correction, 5 %)."
    )
    if n_adapters < 2:
        return said
    if n_draws < FEWEST_TOLD_APART:
        return (
            f"{said} With {counted(n_draws, 'draw')} this test can tell nothing apart (it takes at least "
            f"{FEWEST_TOLD_APART}), so everything is bold."
        )
    if (n_adapters - 1) * 2 / 2**n_draws >= 0.05:
        return f"{said} With so few draws it can hardly tell any two apart."
    return said


def setting_of(cell: CellResult, cells: Sequence[CellResult]) -> str:
    """What a table of a cell's setting is called: whatever the cells of a study vary, the scenario and the shots."""
    varied = [
        name
        for name in ("data", "encoder", "prompts", "label_noise", "prior")
        if len({each.names[name] for each in cells}) > 1
    ]
    named = [str(cell.names[name]) for name in varied]
    return ", ".join([*named, cell.names["scenario"], shots_text(cell.names["shots"])])
