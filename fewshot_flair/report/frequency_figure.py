"""The picture of recall against how often pre-training met a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.report.drawing import (
    GREY,
    WIDTH,
    Styles,
    in_order,
    legend_above,
    new_axes,
    note,
    percent_axis,
    set_title,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["frequency_figure"]

ZERO_AT = 4.0
"""A concept that pre-training never met stands at the smallest other count divided by so much."""


def frequency_figure(table: pd.DataFrame, adapters: Sequence[str], title: str, styles: Styles) -> Figure:
    """A point a class and adapter: recall against photographs in pre-training, on a logarithmic axis.

    A logarithmic axis has no 0: concepts that were never met stand to the left of a dotted line.

    Parameters
    ----------
    table : DataFrame
        Columns ``adapter``, ``class``, ``photographs`` and ``recall``, of one setting.
    adapters : sequence of str
        Those that are shown.
    """
    figure, axes = new_axes((WIDTH, 4.4))
    shown = table[table["adapter"].isin(adapters)]
    met = shown.loc[shown["photographs"] > 0, "photographs"]
    zero = (float(met.min()) if len(met) else 1.0) / ZERO_AT
    for name in in_order(adapters, styles):
        own = shown[shown["adapter"] == name]
        axes.plot(
            _places(own["photographs"].to_numpy(float), zero),
            own["recall"],
            linestyle="",
            marker=styles[name]["marker"] or "x",
            color=styles[name]["color"],
            markersize=7,
            alpha=0.8,
            label=name,
            clip_on=False,
        )
    axes.set_xscale("log")
    ticks = _ticks(met.to_numpy(float))
    names = [f"{count:,.0f}" for count in ticks]
    notes = "a mark is a class and the mean over draws"
    if (shown["photographs"] == 0).any():
        axes.axvline(zero * 2, color=GREY, linestyle=":", linewidth=1)
        ticks, names = [zero, *ticks], ["0", *names]
        notes += "; left of the dotted line: never met (0 has no place on a logarithmic axis)"
    axes.set_xticks(ticks, names)
    axes.minorticks_off()
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(percent_axis())
    axes.set_xlabel("photographs of the concept in pre-training")
    axes.set_ylabel("recall")
    axes.grid(color="#e5e7eb")
    axes.set_axisbelow(True)
    note(figure, notes)
    legend_above(figure, axes)
    set_title(figure, title)
    return figure


def _ticks(met: NDArray[np.float64]) -> list[float]:
    """1, 2 and 5 of each power of ten that the counts reach over, or the powers alone where they are many."""
    if not len(met):
        return []
    low, high = np.log10(met.min()), np.log10(met.max())
    steps = (1, 2, 5) if high - low < 2 else (1,)
    places = [step * 10.0**power for power in range(int(low), int(high) + 2) for step in steps]
    return [place for place in places if met.min() / 2.5 < place < met.max() * 2.5]


def _places(photographs: NDArray[np.float64], zero: float) -> NDArray[np.float64]:
    return np.where(photographs > 0, photographs, zero)
