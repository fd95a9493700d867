"""How far long work is: a bar on a terminal, now and then a line where the output goes to a file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Bar", "clock"]

LINE_SECONDS = 10.0
"""A file gets a line about the work this often, and one when it is done."""


class Bar:
    """Progress of one piece of work, shown on standard error.

    Parameters
    ----------
    to : Console
    title : str
        What is being done.
    """

    def __init__(self, to: Console, title: str) -> None:
        self.to, self.title = to, title
        self._bar: Any = None
        self._told = time.monotonic()
        self._last = -1

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def tell(self, done: int, total: int, note: str = "") -> None:
        """Say how much is done; the first call makes the bar appear."""
        if self.to.is_terminal:
            self._on_terminal(done, total, note)
            return
        now = time.monotonic()
        first, changed = self._last < 0, done != self._last
        if first:  # what is done at once needs no word
            self._last = done
        if first or not changed or (done < total and now - self._told < LINE_SECONDS):
            return
        self._told, self._last = now, done
        self.to.print(f"{self.title}: {done} of {total}{', ' if note else ''}{note}", markup=False)

    def _on_terminal(self, done: int, total: int, note: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self._bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
            )
            self._bar = Progress(*columns, console=self.to, transient=True)
            self._task = self._bar.add_task(self.title, total=total, note="")
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total, note=note)


def clock(seconds: float) -> str:
    """Seconds as minutes and hours.

    Examples
    --------
    >>> clock(75), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
