"""The pictures of a study: curves, recall, confusion, reliability, ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fewshot_flair.evaluation import METRICS
from fewshot_flair.evaluation.metrics import expected_calibration_error
from fewshot_flair.experiment.grid import draws_text, shots_text
from fewshot_flair.report import drawing, plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fewshot_flair.evaluation.statistics import Ranking
    from fewshot_flair.experiment.results import CellResult, StudyResults
    from fewshot_flair.report.drawing import Styles
    from fewshot_flair.report.summary import Block

__all__ = ["block_figures", "ranking_figure", "reliability_figure"]

SHOWN = 6


def block_figures(
    results: StudyResults, block: Block, metric: str, styles: Styles
) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and picture of everything there is to see of one block.

    Parameters
    ----------
    styles : mapping
        `drawing.adapter_styles` of all adapters of the study, for all of its pictures.
    """
    scenarios = list(dict.fromkeys(name for name, _ in block.columns))
    cells = {
        (cell.names["scenario"], cell.names["shots"], cell.names["adapter"]): cell
        for cell in results.cells
        if all(cell.names[key] == value for key, value in block.names.items())
    }
    draws = draws_text(block.rows)
    dashed = "; dashed: zero-shot" if "zero-shot" in block.adapters else ""
    for scenario in scenarios:
        rows = block.rows[block.rows["scenario"] == scenario]
        if rows["shots"].nunique() > 1:
            yield (
                f"shots-{scenario}",
                f"Mean {METRICS[metric].title} by shots, {scenario} scenario: over {draws}{dashed}.",
                plots.curves_figure(rows, f"{block.title}: {scenario} scenario, {draws}", metric, styles),
            )
    for scenario in scenarios:
        best, shots = block.best_adapter(scenario)
        rows = block.rows[(block.rows["scenario"] == scenario) & (block.rows["shots"] == shots)]
        cell = cells[scenario, shots, best]
        setting = f"{block.title}: {shots_text(shots)}, {scenario} scenario, {draws}"
        shown = _shown(block, scenario, shots, metric)
        yield (
            f"recall-{scenario}",
            f"Recall of every class, {scenario} scenario, {shots_text(shots)}: "
            f"{_who(shown, block, METRICS[metric].title)}.",
            plots.recall_figure(rows, cell.classes, shown, setting, styles),
        )
        yield (
            f"confusion-{scenario}",
            f"What {best} takes for what, {scenario} scenario, {shots_text(shots)}: share of the true "
            "class, and mean number of test images.",
            plots.confusion_figure(cell.confusion, cell.classes, f"{best} on {setting}"),
        )
    chosen = {}
    for scenario in scenarios:
        best, shots = block.best_adapter(scenario)
        chosen[f"{best}: {scenario}, {shots_text(shots)}"] = cells[scenario, shots, best]
    yield (
        "reliability",
        "Are probabilities to be believed? Points above the diagonal are too timid, below too sure.",
        reliability_figure(chosen, f"{block.title}: predictions of {draws} together", styles),
    )


def reliability_figure(cells: dict[str, CellResult], title: str, styles: Styles) -> Figure:
    """Accuracy by confidence in 15 bins, pooled over seeds, one panel a cell."""
    across = min(len(cells), 2)
    down = -(-len(cells) // 2)
    figure = drawing.new_figure((drawing.WIDTH, 0.8 + down * (2.75 if across == 2 else 4.2)))
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel in panels[len(cells) :]:
        panel.remove()
    for panel, (name, cell) in zip(panels, cells.items(), strict=False):
        images, confidence, correct = cell.reliability
        here = images > 0
        colour = styles[cell.names["adapter"]]["color"]
        panel.plot([0, 1], [0, 1], color="#9ca3af", linestyle=":", linewidth=1)
        x, y = confidence[here] / images[here], correct[here] / images[here]
        size = 12 + 160 * images[here] / images.sum()
        # a mark at 0 or 1 reaches over the frame
        panel.scatter(x, y, s=size, color=colour, clip_on=False, zorder=3)
        panel.plot(x, y, color=colour, alpha=0.5, clip_on=False)
        panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", aspect="equal")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(drawing.percent_axis())
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
        error = expected_calibration_error(cell.reliability)
        named = drawing.wrapped_title(name, 28 if across == 2 else 60)
        panel.set_title(f"{named}\nECE {error:.1%}", fontsize=9, parse_math=False, loc="left")
    drawing.set_title(figure, title)
    drawing.note(figure, "the larger a dot, the more predictions of that confidence")
    return figure


def ranking_figure(ranking: Ranking, metric: str, styles: Styles) -> Figure:
    """Critical-difference picture: average ranks, and bars over those that Nemenyi's test cannot tell apart.

    Demšar, JMLR 7, 2006, drawn by scikit-posthocs.
    """
    from scikit_posthocs import critical_difference_diagram

    figure, axes = drawing.new_axes((drawing.WIDTH, 2.0 + 0.24 * len(ranking.ranks)))
    critical_difference_diagram(
        ranking.ranks.to_dict(),
        ranking.p_values,
        ax=axes,
        color_palette={name: styles[name]["color"] for name in ranking.ranks.index},
        label_fmt_left="{label} ({rank:.1f})",
        label_fmt_right="({rank:.1f}) {label}",
        text_h_margin=0.05,
    )
    axes.spines["top"].set_visible(True)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("average rank (1, to the left, is best)", labelpad=8)
    title = f"Average rank by {METRICS[metric].title} over {ranking.settings} settings"
    drawing.set_title(figure, title)
    drawing.note(figure, "black bar: adapters that Nemenyi's test at 5 % does not tell apart")
    return figure


def _shown(block: Block, scenario: str, shots: int, metric: str) -> list[str]:
    sign = -1 if METRICS[metric].higher_is_better else 1
    means = {name: sign * block.entries[name, (scenario, shots)].mean for name in block.adapters}
    best = sorted(means, key=lambda name: np.nan_to_num(means[name], nan=np.inf))
    first = [name for name in ("zero-shot",) if name in means]
    return first + [name for name in best if name not in first][:SHOWN]


def _who(shown: list[str], block: Block, measure: str) -> str:
    """Which adapters a picture shows: all, or some."""
    if len(shown) == len(block.adapters):
        return "all adapters" if len(shown) > 1 else shown[0]
    others = f"the {len(shown) - ('zero-shot' in shown)} adapters of the best mean {measure}"
    return f"zero-shot and {others}" if "zero-shot" in shown else others
