"""Here against elsewhere: what a panel's table says, as text and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fewshot_flair.evaluation import METRICS
from fewshot_flair.experiment.grid import shots_text
from fewshot_flair.report import drawing
from fewshot_flair.report.wording import unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fewshot_flair.experiment.elsewhere import Panel

__all__ = ["line_text", "markdown", "panel_rows", "panel_title", "robustness_figure"]

SHOWN = ("zero-shot", "lp", "logistic", "ss-text+")
"""Frozen adapters that a long table has beside those on the front; robustness.csv and pictures have all."""
MOST = 8
"""Frozen adapters that a table has all of."""
COLUMNS = ("here", "elsewhere", "effective", "seconds", "numbers trained", "KiB")


def panel_title(panel: Panel, varied: Sequence[str] = ()) -> str:
    """Training data, shots, and whatever else a study varies."""
    more = [str(panel.names[name]) for name in varied]
    return ", ".join([panel.names["data"], *more, shots_text(panel.names["shots"])])


def panel_rows(panel: Panel, metric: str = "balanced_accuracy") -> list[list[str]]:
    """Rows of the table: the name, with a star where it is on the Pareto front, and a figure for each of `COLUMNS`.

    Starts of paths are left out: they are the frozen adapters that training starts from.
    """
    scale, digits = (100, 1) if METRICS[metric].percent else (1, 3)
    frozen = (panel.rows["kind"] == "frozen").sum()
    found = []
    for row in panel.rows.to_dict("records"):
        rare = row["kind"] == "frozen" and frozen > MOST and row["adapter"] not in SHOWN and not row["front"]
        if row["wise"] == 0 or rare:
            continue
        effective = round(scale * row["effective_robustness"], digits) + 0.0  # no −0.0
        found.append(
            [
                f"{_name(row)}{' *' * row['front']}",
                *(f"{scale * row[side]:.{digits}f}" for side in ("inside", "outside")),
                "–" if effective != effective else f"{effective:+.{digits}f}",
                f"{row['seconds']:.3g}",
                f"{row['trainable_parameters']:,}",
                f"{row['bytes'] / 1024:,.0f}",
            ]
        )
    return found


def line_text(panel: Panel, metric: str = "balanced_accuracy") -> str:
    """The line of the frozen adapters in words, or why there is none."""
    line = panel.line
    if line is None:
        return (
            "There is no line, and so no effective robustness: that takes three frozen adapters above chance"
        )
    scale, digits = (100, 1) if METRICS[metric].percent else (1, 3)
    sign = "-" if line.slope < 0 else "+"
    return (
        f"The line of {line.n} frozen fits: elsewhere = {scale * line.intercept:.{digits}f} {sign} "
        f"{abs(line.slope):.2f} · here (R² {line.r2:.2f})"
    )


def markdown(panels: Sequence[Panel], metric: str = "balanced_accuracy") -> str:
    """The tables of all panels in Markdown."""
    parts = []
    for panel in panels:
        head = [panel_title(panel), "here", panel.names["test"], *COLUMNS[2:]]
        lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * len(COLUMNS)}"]
        for name, *figures in panel_rows(panel, metric):
            starred = name.replace(" *", " \\*")
            lines.append(f"| {' | '.join([starred, *figures])} |")
        parts.append("\n".join([*lines, "", f"{line_text(panel, metric)}."]))
    return "\n\n".join(parts) + "\n"


def robustness_figure(
    panels: Sequence[Panel], title: str, metric: str = "balanced_accuracy", across: int = 2
) -> Figure:
    """Accuracy here against elsewhere: frozen adapters and their line, and each method's path from start to end."""
    across = min(len(panels), across)
    down = -(-len(panels) // across)
    size = (drawing.WIDTH * max(1.0, 0.8 * across), 1.3 + 3.6 * down)
    figure = drawing.new_figure(size)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    methods = dict.fromkeys(m for panel in panels for m in panel.rows["method"] if m)
    styles = drawing.adapter_styles(list(methods))
    for axis in axes[len(panels) :]:
        axis.remove()
    for axis, panel in zip(axes, panels, strict=False):
        _draw(axis, panel, styles, metric)
        if len(panels) > 1:
            name = f"{panel_title(panel)}: {panel.names['test']}"
            axis.set_title(name, fontsize=drawing.SMALL, parse_math=False, loc="left")
    named = {
        text: mark for axis in axes for mark, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        named.values(),
        named.keys(),
        loc="outside lower center",
        ncols=3,
        fontsize=drawing.SMALL,
        frameon=False,
    )
    drawing.set_title(figure, title)
    return figure


def _draw(axis: Axes, panel: Panel, styles: drawing.Styles, metric: str) -> None:
    rows = panel.rows
    frozen = rows[rows["kind"] == "frozen"]
    axis.scatter(frozen["inside"], frozen["outside"], c="#9ca3af", s=22, label="frozen adapters")
    if panel.line is not None:
        ends = [rows["inside"].min(), rows["inside"].max()]
        y = [panel.line.intercept + panel.line.slope * x for x in ends]
        axis.plot(ends, y, c="#9ca3af", lw=1, ls="--", label="their line")
    for method, path in rows[rows["kind"] == "fine-tuned"].groupby("method", sort=False):
        colour, path = styles[str(method)]["color"], path.sort_values("wise")
        axis.plot(path["inside"], path["outside"], c=colour, lw=1.2, marker="o", ms=3)
        end = path[path["wise"] == path["wise"].max()]
        axis.scatter(end["inside"], end["outside"], c=colour, s=55, zorder=3, label=str(method))
    for method, soup in rows[rows["kind"] == "soup"].groupby("method", sort=False):
        axis.scatter(
            soup["inside"], soup["outside"], c=styles[str(method)]["color"], s=70, marker="*", zorder=3
        )
    if (rows["kind"] == "soup").any():
        axis.scatter([], [], c="k", s=60, marker="*", label="soup of its seeds")
    front = rows[rows["front"]].sort_values("inside")
    axis.plot(
        front["inside"], front["outside"], c="k", lw=0.6, ls=":", drawstyle="steps-pre", label="Pareto front"
    )
    name = unit(metric).removesuffix(", %")
    axis.set_xlabel(f"{name} here", fontsize=drawing.SMALL)
    axis.set_ylabel(f"on {panel.names['test']}", fontsize=drawing.SMALL, parse_math=False)
    axis.tick_params(labelsize=drawing.SMALL)
    axis.locator_params(nbins=6)
    if METRICS[metric].percent:
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter(drawing.percent_axis())
    for spine in ("top", "right"):
        axis.spines[spine].set_visible(False)


def _name(row: Mapping[Any, Any]) -> str:
    return f"{row['adapter']}, frozen" if row["kind"] == "frozen" else str(row["adapter"])
