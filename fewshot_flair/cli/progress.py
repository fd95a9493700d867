"""The progress bar of an extraction: images a second and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from fewshot_flair.bank.extraction import Progress

__all__ = ["extraction"]


@contextmanager
def extraction(to: Console, name: str) -> Iterator[Callable[[Progress], None]]:
    """Show how far `extract` is; gives the callable to hand to it as ``progress``."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("encoding with {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=to, transient=True) as bar:
        task = bar.add_task(name, total=None, rate="", left="")

        def tell(state: Progress) -> None:
            rate = f"{state.rate:.1f} images/s" if state.encoded else ""
            left = f"{_clock(state.seconds_left)} left" if state.seconds_left else ""
            bar.update(task, total=state.total, completed=state.done, rate=rate, left=left)

        yield tell


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
