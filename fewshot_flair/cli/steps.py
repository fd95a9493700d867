"""What a study's steps look like on a terminal, and in a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fewshot_flair.cli import show, terminal
from fewshot_flair.cli.progress import Bar, clock
from fewshot_flair.experiment.steps import Steps

if TYPE_CHECKING:
    from rich.console import Console

    from fewshot_flair.bank.extraction import Progress
    from fewshot_flair.experiment.cells import Task
    from fewshot_flair.experiment.clinic import Clinic

__all__ = ["Shown", "extraction"]


class Shown(Steps):
    """Shows a study's steps: tables of the data on standard output, progress on standard error.

    Parameters
    ----------
    brief : bool
        Whether a data set is told in a line, as of many, and not in a table.
    """

    def __init__(self, console: Console, *, brief: bool = False) -> None:
        self.console, self.brief = console, brief
        self.errors = terminal.stderr(console)
        self._bar: Bar | None = None
        self._spinner: Any = None
        self._training: Callable[[str], None] = lambda _: None

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @contextmanager
    def rendering(self) -> Iterator[Callable[[int, int], None]]:
        """Tells how far the rendering of the demo clinic is, the first time; nothing afterwards."""
        with Bar(self.errors, "rendering the demo clinic") as bar:
            yield bar.tell

    @contextmanager
    def extraction(self, name: str) -> Iterator[Callable[[Progress], None]]:
        """Tells how far an extraction is."""
        with extraction(self.errors, name) as tell:
            yield tell

    def clinic(self, clinic: Clinic) -> None:
        """Shows what a data set holds."""
        if not self.brief:
            show.clinic(self.console, clinic)
        show.doubts(self.console, clinic, named=self.brief)

    def say(self, text: str) -> None:
        """Says what a user should know."""
        terminal.warn(self.console, text)

    def cells(self, finished: int, total: int) -> Callable[[Task], None]:
        """A bar over all cells."""
        bar = self._bar = Bar(self.errors, "fitting")
        began, done = time.monotonic(), finished

        def tell(task: Task) -> None:
            nonlocal done
            done += 1
            left = (time.monotonic() - began) / (done - finished) * (total - done)
            bar.tell(done, total, f"{task.cell.adapter.label}, {clock(left)} left")

        self._training = lambda text: bar.tell(done, total, text)
        return tell

    def training(self, text: str) -> None:
        """Tells how far the training of a network is, beside the bar over all cells."""
        self._training(text)

    def doing(self, text: str) -> None:
        """A spinner that says what is being done."""
        self._end()
        if self.errors.is_terminal:
            self._spinner = self.errors.status(terminal.plain(text))
            self._spinner.start()

    def _end(self) -> None:
        for running in (self._bar, self._spinner):
            if running is not None:
                running.__exit__(None, None, None)
        self._bar = self._spinner = None


@contextmanager
def extraction(to: Console, name: str) -> Iterator[Callable[[Progress], None]]:
    """Show how far `extract` is; gives the callable to hand to it as ``progress``."""
    with Bar(to, f"encoding with {name}") as bar:

        def tell(state: Progress) -> None:
            rate = f"{state.rate:.1f} images/s" if state.encoded else ""
            left = f"{clock(state.seconds_left)} left" if state.seconds_left else ""
            bar.tell(state.done, state.total, ", ".join(filter(None, [rate, left])))

        yield tell
