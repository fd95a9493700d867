"""A terminal that shows what users wrote as text: never as markup, colours or control codes."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["console", "plain", "plain_table", "say", "stderr", "under_title", "visible", "warn"]


def console(*, quiet: bool = False) -> Console:
    """Where tables go; with `quiet` nowhere, as the answer is JSON."""
    return Console(quiet=quiet, highlight=False)


def stderr(to: Console) -> Console:
    """Where progress goes."""
    return Console(stderr=True, highlight=False, quiet=to.quiet, soft_wrap=True)


def visible(text: object) -> str:
    r"""Text with control and formatting characters as escapes, so that a name can neither colour nor hide.

    Examples
    --------
    >>> visible("eye\x1b[2J.jpg")
    'eye\\x1b[2J.jpg'
    """
    return "".join(
        char if char in "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs") else _escaped(char)
        for char in str(text)
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", errors="surrogatepass").decode()


def plain(text: object) -> str:
    """`visible` text that rich takes as it is, brackets too."""
    return escape(visible(text))


def say(to: Console, text: str, *, bold: str = "") -> None:
    """A line of text, with one part of it bold."""
    shown = Text(visible(text))
    if bold:
        shown.highlight_words([visible(bold)], "bold")
    to.print(shown, soft_wrap=True)


def warn(to: Console, text: str) -> None:
    """A line that a user should read."""
    to.print(Text(visible(text), style="yellow"), soft_wrap=True)


def plain_table() -> Table:
    """An empty table as all commands show them; its title stands above it (`under_title`)."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def under_title(to: Console, title: str, table: RenderableType) -> None:
    """Print a title on a line of its own, which rich would fold into the table's width, and the table."""
    to.print(Text(visible(title), style="bold"), soft_wrap=True)
    to.print(table)
