"""Which differences between adapters are more than the luck of the draw.

All adapters of a study see the same support sets, so they are compared seed by seed (paired). What these
tests speak of is the draw of the support set from this pool, on this test set; another clinic is another
question.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.intervals import interval_over_seeds

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Ranking", "average_ranks", "draw_columns", "overtakes", "paired_comparisons"]


def paired_comparisons(wide: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Compare every adapter with `reference` on the same episodes.

    Wilcoxon's signed-rank test on the paired differences (zero differences share their ranks: Pratt,
    JASA 1959), corrected for the number of comparisons by Holm's step-down method (Scandinavian Journal
    of Statistics 6, 1979).

    Parameters
    ----------
    wide : DataFrame of shape (episodes, adapters)
        One metric, a row an episode, a column an adapter.
    reference : str
        A column of `wide`.

    Returns
    -------
    DataFrame
        A row for each other adapter: ``difference`` (adapter minus reference, mean), ``low``, ``high``
        (95 % Student-t interval of it), ``p`` and ``p_holm`` (1 where the two never differ; NaN with
        fewer than two common episodes).
    """
    import pandas as pd
    from scipy.stats import wilcoxon

    if reference not in wide.columns:
        raise InputError(f"comparisons: no adapter {reference!r} among {list(wide.columns)}")
    rows = []
    for name in wide.columns.drop(reference):
        difference = (wide[name] - wide[reference]).dropna().to_numpy()
        mean, low, high = interval_over_seeds(difference)
        if len(difference) < 2:
            p = float("nan")
        elif not difference.any():
            p = 1.0
        else:
            p = float(wilcoxon(difference, zero_method="pratt").pvalue)
        rows.append({"adapter": name, "difference": mean, "low": low, "high": high, "p": p})
    table = pd.DataFrame(rows, columns=["adapter", "difference", "low", "high", "p"]).set_index("adapter")
    table["p_holm"] = _holm(table["p"].to_numpy(dtype=np.float64))
    return table


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each p-value times the tests that are left in its turn, never less than an earlier one's; NaN is no test."""
    order = p.argsort()  # NaN last
    n = np.count_nonzero(~np.isnan(p))
    corrected = np.full(len(p), np.nan)
    corrected[order[:n]] = np.maximum.accumulate(p[order[:n]] * np.arange(n, 0, -1)).clip(max=1)
    return corrected


@dataclass(frozen=True)
class Ranking:
    """Average ranks of adapters over settings, and which of them differ.

    Attributes
    ----------
    ranks : Series
        Mean rank by adapter, 1 is best, ascending.
    p_friedman : float
        Of Friedman's test that all adapters are alike; NaN with fewer than three adapters or settings.
    p_values : DataFrame
        Nemenyi's pairwise p-values.
    settings : int
        Over how many settings ranks were averaged.
    """

    ranks: pd.Series
    p_friedman: float
    p_values: pd.DataFrame
    settings: int


def average_ranks(wide: pd.DataFrame, *, higher_is_better: bool = True) -> Ranking | None:
    """Rank adapters in every setting and average (Demšar, JMLR 7, 2006).

    Parameters
    ----------
    wide : DataFrame of shape (settings, adapters)
        One metric, averaged over seeds; settings where an adapter is undefined are left out.

    Returns
    -------
    Ranking or None
        None where fewer than two settings or two adapters are left to rank.
    """
    complete = wide.dropna()
    if min(complete.shape) < 2:
        return None
    import pandas as pd
    from scikit_posthocs import posthoc_nemenyi_friedman
    from scipy.stats import friedmanchisquare

    ranks = complete.rank(axis=1, ascending=not higher_is_better).mean().sort_values()
    if min(complete.shape) < 3:
        unknown = pd.DataFrame(np.nan, index=wide.columns, columns=wide.columns)
        return Ranking(ranks, float("nan"), unknown, len(complete))
    p = float(friedmanchisquare(*(complete[name] for name in complete.columns)).pvalue)
    pairs = posthoc_nemenyi_friedman(complete.to_numpy())
    pairs.index = pairs.columns = complete.columns
    return Ranking(ranks, p, pairs, len(complete))


def draw_columns(columns: Iterable[str]) -> list[str]:
    """The column of results that tells draws apart: the seed, or the fold where there are folds.

    The draws of a fold have their test rows in common, and of all training images there is one draw: a fold counts
    once, by the mean of its draws.
    """
    return ["fold"] if "fold" in set(columns) else ["seed"]


def overtakes(results: pd.DataFrame, metric: str, reference: str = "zero-shot") -> dict[str, int | None]:
    """The fewest shots from which an adapter stays above `reference`.

    Above means that the 95 % interval of the paired difference lies above 0 at that number of shots and
    at every larger one that was studied; None where that is never so.

    Parameters
    ----------
    results : DataFrame
        Columns ``adapter``, ``shots``, ``seed`` and `metric`, of one data set and scenario.
    """
    found: dict[str, int | None] = {}
    draws = draw_columns(results.columns)
    wide = {
        shots: results[results["shots"] == shots].pivot_table(
            index=draws, columns="adapter", values=metric, sort=False
        )
        for shots in sorted(results["shots"].unique(), reverse=True)
    }
    for adapter in dict.fromkeys(results["adapter"]):
        if adapter == reference:
            continue
        found[adapter] = None
        for shots, part in wide.items():
            if reference not in part or adapter not in part:
                break
            _, low, _ = interval_over_seeds((part[adapter] - part[reference]).to_numpy(float))
            if not low > 0:
                break
            found[adapter] = int(shots)
    return found
