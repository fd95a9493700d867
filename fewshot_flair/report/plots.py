"""Pictures of results: drawn with matplotlib, without a display, from tables alone."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.evaluation import METRICS, interval_over_seeds
from fewshot_flair.experiment.grid import ALL_SHOTS, shots_text
from fewshot_flair.report.drawing import (
    COLOURS,
    GREY,
    SMALL,
    WIDTH,
    Styles,
    adapter_styles,
    in_order,
    legend_above,
    new_axes,
    note,
    percent_axis,
    save,
    set_title,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["confusion_figure", "curves_figure", "recall_figure", "save"]

BARS = "bar: 95 % interval of the mean over draws; the test patients' own uncertainty is not in it"


def confusion_figure(confusion: NDArray[np.float64], classes: Sequence[str], title: str) -> Figure:
    """The confusion matrix: shade and percentage by row (recall), mean number of images below it.

    Numbers of images have one decimal, or none where all of them are whole.
    """
    rows = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, rows, out=np.zeros_like(confusion, dtype=float), where=rows > 0)
    width = max(WIDTH, 1.8 + 0.55 * len(classes))
    figure, axes = new_axes((width, width))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    digits = 0 if np.equal(confusion, np.round(confusion)).all() else 1
    if len(classes) <= 12:
        for i, j in np.ndindex(*share.shape):
            text = f"{share[i, j]:.0%}\n{confusion[i, j]:.{digits}f}" if rows[i] else "–"
            shade = "white" if share[i, j] > 0.5 else "#222222"
            axes.text(j, i, text, ha="center", va="center", fontsize=SMALL, color=shade)
    axes.set_xticks(
        range(len(classes)),
        _wrapped(classes),
        rotation=50,
        ha="right",
        rotation_mode="anchor",
        parse_math=False,
    )
    axes.set_yticks(range(len(classes)), _wrapped(classes), parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    note(figure, "share of the true class; below it images, mean over draws")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    set_title(figure, title)
    return figure


def recall_figure(
    results: pd.DataFrame,
    classes: Sequence[str],
    adapters: Sequence[str],
    title: str,
    styles: Styles | None = None,
) -> Figure:
    """Recall of every class by adapter: mean over seeds, whiskers for the middle 90 % of the draws.

    Parameters
    ----------
    styles : optional
        What `adapter_styles` gave for figures that stand beside this one (default: of `adapters`).
    """
    lanes = 0.36 * len(classes) * max(1.6, 0.42 * len(adapters))
    figure, axes = new_axes((WIDTH, 1.9 + lanes))
    styles = styles or adapter_styles(adapters)
    adapters = in_order(adapters, styles)
    offsets = np.linspace(-0.32, 0.32, len(adapters)) if len(adapters) > 1 else np.zeros(1)
    seen = np.zeros(len(classes), dtype=bool)
    for offset, adapter in zip(offsets, adapters, strict=True):
        values = results.loc[results["adapter"] == adapter, [f"recall_{c}" for c in classes]].to_numpy(float)
        here = ~np.isnan(values).all(axis=0)
        seen |= here
        if not here.any():
            continue
        y = np.arange(len(classes))[here] + offset
        mean = np.nanmean(values[:, here], axis=0)
        low, high = np.nanquantile(values[:, here], [0.05, 0.95], axis=0)
        colour, marker = styles[adapter]["color"], styles[adapter]["marker"]
        axes.hlines(y, low, high, color=colour, alpha=0.45, linewidth=2)
        size = 7 if marker else 11
        axes.plot(
            *(mean, y, marker or "|"), color=colour, markersize=size, mew=1.5, label=adapter, clip_on=False
        )
    for number, tested in enumerate(seen):
        if number % 2 == 0:
            axes.axhspan(number - 0.5, number + 0.5, color="#f3f4f6", zorder=0, linewidth=0)
        if not tested:
            axes.text(0.01, number, "no test images", va="center", color=GREY, style="italic", fontsize=SMALL)
    axes.set_yticks(range(len(classes)), _wrapped(classes), parse_math=False)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(percent_axis())
    axes.set_xlabel("recall: share of the class's test images found")
    zero_shot = "; grey |: zero-shot" if "zero-shot" in adapters else ""
    note(figure, f"mark: mean over draws; bar: middle 90 % of draws{zero_shot}")
    axes.grid(axis="x", color="#d1d5db")
    axes.set_axisbelow(True)
    legend_above(figure, axes)
    set_title(figure, title)
    return figure


def curves_figure(
    results: pd.DataFrame,
    title: str,
    metric: str = "balanced_accuracy",
    styles: Styles | None = None,
) -> Figure:
    """A metric by shots, one line an adapter, with the 95 % interval over seeds and zero-shot's line.

    Where there are many adapters, the best at the most shots are coloured and the others thin and grey.

    Parameters
    ----------
    results : DataFrame
        Columns ``adapter``, ``shots``, ``scenario``, the metric and one ``support_…`` a class, of one
        scenario.
    styles : optional
        What `adapter_styles` gave for figures that stand beside this one (default: of all adapters here).
    """
    about = METRICS[metric]
    figure, axes = new_axes((WIDTH, 4.6))
    shots = sorted(results["shots"].unique())
    # all images stand one step after the largest number that was asked for
    at = [k if k != ALL_SHOTS else 2 * max([n for n in shots if n != ALL_SHOTS], default=1) for k in shots]
    curves = {}
    for adapter, part in results.groupby("adapter", sort=False):
        values = [_draws(part[part["shots"] == k], metric) for k in shots]
        curves[str(adapter)] = np.array([interval_over_seeds(v) for v in values]).T
    styles = styles or adapter_styles(list(curves))
    last = {name: curves[name][0][-1] for name in in_order(list(curves), styles)}
    told = _told_apart(last, about.higher_is_better)
    for number, name in enumerate(name for name in curves if name not in told):
        label = None if number else "others"
        axes.plot(at, curves[name][0], color="#c4c9d1", linewidth=0.9, label=label, zorder=1)
    for name, shift in zip(told, _shifts(told, at), strict=True):
        mean, low, high = curves[name]
        x = np.array(at) * 2.0**shift
        axes.plot(x, mean, label=name, linewidth=1.5, markersize=5, **styles[name])
        if name != "zero-shot":
            if about.percent:  # the interval of a few draws can leave what a share can be
                low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
            axes.vlines(x, low, high, color=styles[name]["color"], linewidth=1.5, alpha=0.6)
    axes.set_xscale("log", base=2)
    axes.set_xticks(at, [shots_text(int(k), alone=True) for k in shots])
    axes.minorticks_off()
    if about.percent:
        axes.yaxis.set_major_formatter(percent_axis())
    axes.set_xlabel(_shots_label(results), parse_math=False)
    axes.set_ylabel(about.title if about.higher_is_better else f"{about.title} (lower is better)")
    if any(not np.isnan(curves[name][1]).all() for name in told if name != "zero-shot"):
        note(figure, BARS)
    axes.grid(color="#e5e7eb")
    axes.set_axisbelow(True)
    legend_above(figure, axes)
    set_title(figure, title)
    return figure


def _draws(rows: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """A metric of each draw; of folds the mean over a fold's draws (see `draw_columns`)."""
    found = rows.groupby("fold")[metric].mean() if "fold" in rows else rows[metric]
    return found.to_numpy(float)


def _shifts(adapters: Sequence[str], shots: Sequence[int]) -> list[float]:
    """Steps in log2 of shots that keep the bars of one number of shots apart; none for zero-shot's line."""
    closest = float(np.diff(np.log2(shots)).min(initial=1.0))
    drawn = [name for name in adapters if name != "zero-shot"]
    half = 0.035 * closest * (len(drawn) - 1)
    steps = dict(zip(drawn, np.linspace(-half, half, len(drawn)), strict=True))
    return [steps.get(name, 0.0) for name in adapters]


def _shots_label(results: pd.DataFrame) -> str:
    """What a number of shots means in the scenario: that many of each class, or a budget to share out."""
    scenario = str(results["scenario"].iloc[0]) if "scenario" in results else "standard"
    if scenario == "standard":
        return "shots per class"
    columns = [name for name in results.columns if str(name).startswith("support_")]
    n_classes = int(results[columns].notna().any().sum())
    shares = {
        "realistic": "in the clinic's proportions",
        "relaxed": "in the clinic's proportions, at least one per class",
    }
    return f"shots (budget: shots × {n_classes} classes,\n{shares.get(scenario, f'shared out: {scenario}')})"


def _told_apart(last: dict[str, float], higher_is_better: bool) -> list[str]:
    """The adapters that get a colour: all where they are few, else zero-shot and the best."""
    if len(last) <= len(COLOURS) + 1:
        return list(last)
    sign = -1 if higher_is_better else 1
    known = [name for name in last if name != "zero-shot" and not np.isnan(last[name])]
    best = set(sorted(known, key=lambda name: sign * last[name])[: len(COLOURS) - 2])
    return [name for name in last if name in best or name == "zero-shot"]


def _wrapped(names: Sequence[str]) -> list[str]:
    return ["\n".join(textwrap.wrap(name, 18)) or name for name in names]
