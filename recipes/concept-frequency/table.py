"""What a doubling of a concept's photographs does: tables and picture of results/cells.csv.

    python recipes/concept-frequency/table.py

Writes ``results/table.md`` and ``docs/images/concept-frequency.png``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from design import Effect, doubling_effect

from fewshot_flair.evaluation import spearman_with_interval
from fewshot_flair.report.drawing import (
    COLOURS,
    GREY,
    new_figure,
    note,
    percent_axis,
    save,
    set_title,
)

HERE = Path(__file__).parent
FIGURES = {
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "auroc": "AUROC",
    "answered": "share of answers",
}
"""All shares; of one concept against the rest."""


def settings(cells: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The cells of zero-shot and of each number of shots."""
    return {
        "zero-shot" if adapter == "zero-shot" else f"probe, {shots} shots": own
        for (adapter, shots), own in cells.groupby(["adapter", "shots"], sort=False)
    }


def effect(own: pd.DataFrame, figure: str) -> Effect:
    """What a doubling does to a figure, in percentage points."""
    wide = own.pivot(index="model", columns="concept", values=figure)
    counts = own.pivot(index="model", columns="concept", values="photographs")
    ladder = np.unique(counts)
    return doubling_effect(100 * wide, np.searchsorted(ladder, counts), ladder)


def tables(cells: pd.DataFrame) -> str:
    """Slopes, means along the ladder, and slopes of each concept, as Markdown."""
    found = settings(cells)
    head = f"| {' | '.join(found)} |\n"
    lines = [f"| percentage points by doubling {head}| --- |{' --- |' * len(found)}\n"]
    for figure, title in FIGURES.items():
        effects = [effect(own, figure) for own in found.values()]
        lines.append(f"| {title} | {' | '.join(map(effect_text, effects))} |\n")
    lines.append("\nMean slope, 95 % interval over the concepts, and p of the randomisation test.\n\n")
    lines += [
        more_for_zero_shot(found),
        as_a_study_sees_it(found["zero-shot"]),
        "\nMeans over the concepts:\n\n",
    ]
    pairs = [(name, figure) for name in found for figure in ("recall", "auroc")]
    heads = " | ".join(f"{name}: {FIGURES[figure]}" for name, figure in pairs)
    lines.append(f"| photographs | {heads} |\n| ---: |{' ---: |' * len(pairs)}\n")
    for count in sorted(cells["photographs"].unique()):
        means = [
            found[name].loc[found[name]["photographs"] == count, figure].mean() for name, figure in pairs
        ]
        lines.append(f"| {count} | {' | '.join(f'{100 * mean:.1f}' for mean in means)} |\n")
    lines.append(f"\n| recall, percentage points by doubling {head}| --- |{' ---: |' * len(found)}\n")
    slopes = [effect(own, "recall").by_concept for own in found.values()]
    for i, concept in enumerate(sorted(cells["concept"].unique())):
        lines.append(f"| {concept} | {' | '.join(f'{each[i]:+.1f}' for each in slopes)} |\n")
    return "".join(lines)


def more_for_zero_shot(found: dict[str, pd.DataFrame]) -> str:
    """How much more a doubling does for zero-shot than for the probe, in the same models and concepts."""
    keys = ["model", "concept", "photographs"]
    zero, *probes = (own.set_index(keys)["recall"] for own in found.values())
    texts = [
        f"{effect_text(effect((zero - probe).reset_index(), 'recall'))} than for the {name.replace(',', ' of')}"
        for name, probe in zip(list(found)[1:], probes, strict=True)
    ]
    return f"More for zero-shot recall: {'; '.join(texts)}.\n\n"


def as_a_study_sees_it(own: pd.DataFrame) -> str:
    """The rank correlation of counts and recall within each model, without the others."""
    estimates = [
        spearman_with_interval(each["photographs"], each["recall"]) for _, each in own.groupby("model")
    ]
    values = [f"{value:.2f}" for value in sorted(estimate.value for estimate in estimates)]
    clear = sum(estimate.low > 0 for estimate in estimates)
    return (
        f"A study of one model alone sees Spearman's rho of zero-shot recall and count: {', '.join(values)} in the six "
        f"models; the interval lies above 0 in {clear} of them.\n"
    )


def effect_text(found: Effect) -> str:
    """A slope, its interval and its p-value."""
    return f"{slope_text(found)[:-1]}; p {p_text(found.p)})"


def p_text(p: float) -> str:
    """A p-value with the digits it deserves."""
    return f"{p:.4f}" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def draw(cells: pd.DataFrame, path: Path) -> None:
    """Recall and AUROC by photographs: a thin line a concept, a thick one their mean."""
    found = settings(cells)
    figure = new_figure((8.6, 4.4))
    colours = dict(zip(found, (GREY, COLOURS[4], COLOURS[0]), strict=False))
    panels = figure.subplots(1, 2)
    for panel, key in zip(panels, ("recall", "auroc"), strict=True):
        for name, own in found.items():
            wide = own.pivot(index="photographs", columns="concept", values=key)
            panel.plot(wide.index, wide, color=colours[name], linewidth=0.6, alpha=0.45)
            label = f"{name}: {slope_text(effect(own, key))}"
            panel.plot(
                wide.index, wide.mean(axis=1), color=colours[name], linewidth=2.4, marker="o", label=label
            )
        ticks = np.unique(cells["photographs"])
        panel.set_xscale("log", base=2)
        panel.set_xticks(ticks, [str(n) for n in ticks])
        panel.minorticks_off()
        panel.set_ylim(0 if key == "recall" else 0.6, 1.01)
        panel.yaxis.set_major_formatter(percent_axis())
        panel.set_xlabel("photographs of the concept in pre-training")
        panel.set_ylabel(FIGURES[key])
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
        panel.grid(color="#e5e7eb")
        panel.legend(
            loc="lower right", fontsize=8, frameon=False, title="by doubling (95 %)", title_fontsize=8
        )
    note(
        figure,
        "thin: one concept; thick: their mean; legend: percentage points by doubling and 95 % interval over concepts",
    )
    set_title(figure, "Six models, each concept with each frequency once")
    save(figure, path)


def slope_text(found: Effect) -> str:
    """A slope and its interval."""
    return f"{found.slope:+.1f} ({found.low:+.1f} to {found.high:+.1f})"


def main() -> None:
    """Read, compute, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=Path, default=HERE / "results" / "cells.csv")
    parser.add_argument("--picture", type=Path, default=Path("docs/images/concept-frequency.png"))
    options = parser.parse_args()
    cells = pd.read_csv(options.cells)
    text = tables(cells)
    (options.cells.parent / "table.md").write_text(text, encoding="utf-8")
    draw(cells, options.picture)
    print(text)


if __name__ == "__main__":
    main()
