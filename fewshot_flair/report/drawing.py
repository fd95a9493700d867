"""What pictures share: an adapter's colour, empty axes, titles and notes, and the bytes of a file."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    *(
        "COLOURS",
        "GREY",
        "Styles",
        "WIDTH",
        "adapter_styles",
        "encoded",
        "in_order",
        "legend_above",
        "new_axes",
    ),
    *("lacking", "new_figure", "note", "percent_axis", "save", "set_title", "wrapped_title"),
]

# Okabe and Ito's palette, told apart by colour-blind readers; marker and line change when it repeats.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "-.", ":")
GREY = "#6b7280"
WIDTH = 5.2
"""Inches: on a phone of 390 pixels the smallest print of such a picture is still 8 pixels high."""
SMALL = 9

Styles = Mapping[str, Mapping[str, Any]]
"""What `adapter_styles` gives."""


def adapter_styles(adapters: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line of each adapter; zero-shot is the grey dashed reference everywhere.

    Figures that stand together share one such table, so that an adapter looks the same and has the same
    place in all of them; the first eight have a colour of their own.
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


def in_order(adapters: Sequence[str], styles: Styles) -> list[str]:
    """Adapters in the order that all pictures have."""
    return [name for name in styles if name in adapters]


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG at 150 dots an inch (or what the suffix says) and let go of it."""
    path.write_bytes(encoded(figure, path.suffix.removeprefix(".")))
    return path


def encoded(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of a file, ``png`` or ``svg``; the same figure gives the same bytes.

    The canvases are called themselves, as `savefig` draws everything twice.
    """
    from matplotlib import rc_context

    content = io.BytesIO()
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "fewshot-flair"}):
        warnings.filterwarnings("ignore", "Glyph")  # the caption says which letters there are no (`lacking`)
        if kind == "png":
            from matplotlib.backends.backend_agg import FigureCanvasAgg

            FigureCanvasAgg(figure).print_png(content)
            return content.getvalue()
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        FigureCanvasSVG(figure).print_svg(content, metadata={"Date": None})
    return content.getvalue()


def lacking(figure: Figure) -> str:
    """The letters of a picture that its font has not, each once: they are boxes in it."""
    from matplotlib.font_manager import findfont, get_font
    from matplotlib.text import Text

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    written = "".join(text.get_text() for text in figure.findobj(Text))
    return "".join(c for c in dict.fromkeys(written) if ord(c) not in known and not c.isspace())


def note(figure: Figure, text: str) -> None:
    """A line in small grey print at the foot of a picture: what marks mean."""
    width = int(13 * figure.get_figwidth())
    figure.supxlabel(textwrap.fill(text, width), fontsize=SMALL, color=GREY)


def wrapped_title(title: str, width: int) -> str:
    """A title in lines of at most `width` characters, broken between words alone and not after a number."""
    joined = re.sub(r"(?<=\d) ", "\N{NO-BREAK SPACE}", title)
    return textwrap.fill(joined, width, break_long_words=False, break_on_hyphens=False)


def set_title(figure: Figure, title: str) -> None:
    """Put a title above a picture, in lines as long as it is wide."""
    lines = wrapped_title(title, int(12 * figure.get_figwidth()))
    figure.suptitle(lines, x=0.01, ha="left", fontsize=10, parse_math=False)


def legend_above(figure: Figure, axes: Axes) -> None:
    """Name the marks between title and data, in as many columns as the longest name allows."""
    handles, names = axes.get_legend_handles_labels()
    longest = max(map(len, names), default=0)
    columns = max(1, int(67 * (figure.get_figwidth() - 1) / (34 + 5 * longest)))
    axes.legend(
        handles,
        names,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=min(columns, 4),
        fontsize=SMALL,
        columnspacing=1.2,
    )


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty picture of a size in inches that makes room for its labels, drawn without a display."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=150, facecolor="white", layout="constrained")


def new_axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """A picture with one pair of axes."""
    figure = new_figure(size)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=SMALL)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def percent_axis() -> Any:
    """A formatter of shares as percent, with the fewest decimals that tell where the ticks are."""
    from matplotlib.ticker import Formatter

    class Percent(Formatter):
        def format_ticks(self, values: Sequence[float]) -> list[str]:
            percents = [100 * float(share) for share in values]
            exact = (n for n in range(4) if all(abs(round(p, n) - p) < 1e-6 for p in percents))
            decimals = next(exact, 4)
            return [f"{percent:.{decimals}f}%" for percent in percents]

    return Percent()
