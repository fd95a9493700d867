"""How often each concept is met in an assembly: a table and a picture, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewshot_flair.encoders.seen import write_seen
from fewshot_flair.files import write_table
from fewshot_flair.report.drawing import COLOURS, SMALL, new_axes, note, save, set_title
from fewshot_flair.text.knowledge import category_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from fewshot_flair.pretraining.assembly import Assembly
    from fewshot_flair.pretraining.photographs import Photographs

__all__ = ["concept_frequencies", "frequency_figure", "write_frequencies"]

SHOWN = 80
"""So many concepts have a bar."""


def concept_frequencies(
    photographs: Photographs, sets: Sequence[str], weights: Sequence[float]
) -> pd.DataFrame:
    """Count the photographs of each concept.

    Returns
    -------
    DataFrame
        A row a concept, the most frequent first: ``concept``, ``photographs``, ``share`` (of all photographs),
        ``shown`` (times that one epoch shows such a photograph, by the sets' weights), ``in_dictionary``,
        and a column for each set.
    """
    import pandas as pd

    by_set = np.stack([photographs.relation[photographs.sets == place].sum(0) for place in range(len(sets))])
    table = pd.DataFrame(
        {
            "concept": photographs.categories,
            "photographs": by_set.sum(0),
            "share": by_set.sum(0) / len(photographs),
            "shown": np.asarray(weights) @ by_set,
            "in_dictionary": [category_of(name) is not None for name in photographs.categories],
            **{f"in {name}": counts for name, counts in zip(sets, by_set, strict=True)},
        }
    )
    return table.sort_values("photographs", ascending=False, kind="stable", ignore_index=True)


def frequency_figure(table: pd.DataFrame, sets: Sequence[str]) -> Figure:
    """Bars of the counts on a logarithmic axis, the most frequent concept above."""
    all_of_them, table = len(table), table.head(SHOWN)
    figure, axes = new_axes((7.0, 1.6 + 0.2 * len(table)))
    places = np.arange(len(table))
    colours = np.where(table["in_dictionary"], COLOURS[0], COLOURS[1])
    bars = axes.barh(places, table["photographs"], color=list(colours), height=0.7)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=SMALL)
    axes.set_yticks(places, table["concept"], parse_math=False)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.minorticks_off()
    axes.set_xlim(0.8, 2.0 * float(table["photographs"].max()))
    axes.set_xlabel("photographs")
    kinds = ["blue: the dictionary describes it"]
    kinds += ["orange: it does not"] * (not table["in_dictionary"].all())
    kinds += [f"the {SHOWN} most frequent of {all_of_them:,} concepts"] * (all_of_them > SHOWN)
    note(figure, "; ".join(kinds))
    n = len(sets)
    set_title(figure, f"How often each concept is met in {n} data set{'s' * (n > 1)}")
    return figure


def write_frequencies(assembly: Assembly, photographs: Photographs, out: Path) -> pd.DataFrame:
    """Write frequencies.csv, frequencies.png, duplicates.csv and trained-on.csv into a folder; gives the first."""
    out.mkdir(parents=True, exist_ok=True)
    sets = [source.name for source in assembly.sets]
    table = concept_frequencies(photographs, sets, [source.weight for source in assembly.sets])
    write_table(table, out / "frequencies.csv")
    write_table(photographs.duplicates, out / "duplicates.csv")
    write_seen(out, dict(zip(photographs.keys, (sets[i] for i in photographs.sets), strict=True)))
    save(frequency_figure(table, sets), out / "frequencies.png")
    return table
