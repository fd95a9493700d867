"""What pictures share: an adapter's colour, empty axes, titles and notes, and the bytes of a file."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    *("COLOURS", "GREY", "Styles", "adapter_styles", "encoded", "new_axes", "note", "percent_axis"),
    *("save", "set_title", "wrapped_title"),
]

# Okabe and Ito's palette, told apart by colour-blind readers; marker and line change when it repeats.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "-.", ":")
GREY = "#6b7280"

Styles = Mapping[str, Mapping[str, Any]]
"""What `adapter_styles` gives."""


def adapter_styles(adapters: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line of each adapter; zero-shot is the grey dashed reference everywhere.

    Figures that stand together share one such table, so that an adapter looks the same in all of them;
    the first eight have a colour of their own.
    """
    styles: dict[str, dict[str, Any]] = {"zero-shot": {"color": GREY, "marker": "", "linestyle": "--"}}
    others = [name for name in adapters if name != "zero-shot"]
    for i, name in enumerate(others):
        styles[name] = {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i // len(COLOURS) % len(MARKERS)],
            "linestyle": LINES[i // len(COLOURS) % len(LINES)],
        }
    return styles


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG at 150 dots an inch (or what the suffix says) and let go of it."""
    path.write_bytes(encoded(figure, path.suffix.removeprefix(".")))
    return path


def encoded(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of a file, ``png`` or ``svg``; the same figure gives the same bytes."""
    from matplotlib import rc_context

    content = io.BytesIO()
    undated = {"Date": None} if kind == "svg" else None
    with rc_context({"svg.hashsalt": "fewshot-flair"}):
        figure.savefig(
            content, format=kind, dpi=150, bbox_inches="tight", facecolor="white", metadata=undated
        )
    return content.getvalue()


def note(axes: Axes, text: str) -> None:
    """A line in small grey print below the axis' name: what marks mean."""
    axes.annotate(
        text,
        (0.5, 0),
        xycoords=axes.xaxis.label,
        xytext=(0, -4),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=8.5,
        color=GREY,
        annotation_clip=False,
    )


def wrapped_title(title: str, width: int) -> str:
    """A title in lines of at most `width` characters, broken between words alone and not after a number."""
    joined = re.sub(r"(?<=\d) ", "\N{NO-BREAK SPACE}", title)
    return textwrap.fill(joined, width, break_long_words=False, break_on_hyphens=False)


def set_title(axes: Axes, title: str, width: int = 88) -> None:
    """Put a title above the left edge, in lines of at most `width` characters."""
    axes.set_title(wrapped_title(title, width), loc="left", fontsize=11, parse_math=False)


def new_axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """An empty picture of a size in inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def percent_axis() -> Any:
    """A formatter of shares as whole percent."""
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0, decimals=0)
