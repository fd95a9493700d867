"""Pictures of decisions: reliability before and after, ROC and precision–recall, risk by coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_flair.report import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fewshot_flair.experiment.decisions import DecisionFigures
    from fewshot_flair.models.decision import Decision

__all__ = ["operating_figure", "reliability_pair", "risk_figure"]

COLOUR = drawing.COLOURS[0]
PAIR = 2.75
"""Inches that two square panels side by side are high, with title and note: more would be blank."""


def reliability_pair(reliability: Mapping[str, Sequence[Sequence[float]]], title: str) -> Figure:
    """Accuracy by confidence in 15 bins, before and after calibration, side by side."""
    figure = drawing.new_figure((drawing.WIDTH, PAIR))
    for panel, (name, bins) in zip(_panels(figure), reliability.items(), strict=True):
        images, confidence, correct = np.array(bins)
        here = images > 0
        x, y = confidence[here] / images[here], correct[here] / images[here]
        panel.plot([0, 1], [0, 1], color="#9ca3af", linestyle=":", linewidth=1)
        panel.scatter(x, y, s=12 + 160 * images[here] / images.sum(), color=COLOUR, clip_on=False, zorder=3)
        panel.plot(x, y, color=COLOUR, alpha=0.5, clip_on=False)
        panel.set(xlabel="confidence", ylabel="accuracy")
        panel.set_title(f"{name} calibration", fontsize=drawing.SMALL)
    drawing.set_title(figure, title)
    drawing.note(figure, "the larger a dot, the more photographs of that confidence")
    return figure


def operating_figure(decision: Decision, figures: DecisionFigures, title: str) -> Figure:
    """ROC and precision–recall curves of the test rows, with the operating point as a dot."""
    figure = drawing.new_figure((drawing.WIDTH, PAIR))
    left, right = _panels(figure)
    left.plot([0, 1], [0, 1], color="#9ca3af", linestyle=":", linewidth=1)
    left.plot(*np.array(figures.roc).T, color=COLOUR, clip_on=False)
    left.set(xlabel="1 − specificity", ylabel="sensitivity")
    left.set_title("ROC", fontsize=drawing.SMALL)
    right.plot(*np.array(figures.precision_recall).T, color=COLOUR, clip_on=False, drawstyle="steps-pre")
    right.set(xlabel="sensitivity", ylabel="precision")
    right.set_title("precision and recall", fontsize=drawing.SMALL)
    found, spared = figures.sensitivity, figures.specificity
    if found and spared and found.value is not None and spared.value is not None:
        left.plot(1 - spared.value, found.value, "o", color=drawing.COLOURS[1], clip_on=False, zorder=3)
        note = f"dot: the operating point, called from {100 * decision.operating.threshold:.1f}% on"  # type: ignore[union-attr]
        drawing.note(figure, note)
    drawing.set_title(figure, title)
    return figure


def risk_figure(figures: DecisionFigures, title: str) -> Figure:
    """Error of the answers by how many of the photographs are answered, the surest first."""
    figure, axes = drawing.new_axes((drawing.WIDTH, 3.2))
    coverage, risk = np.array(figures.risk_coverage).T
    axes.plot(coverage, risk, color=COLOUR, drawstyle="steps-post")
    axes.set(xlabel="photographs that are answered, the surest first", ylabel="error of the answers")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(drawing.percent_axis())
    axes.grid(color="#e5e7eb")
    drawing.set_title(figure, title)
    return figure


def _panels(figure: Figure) -> list[Axes]:
    panels: Any = figure.subplots(1, 2)
    for panel in panels:
        panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(drawing.percent_axis())
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    return list(panels)
