"""What a study tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewshot_flair.experiment.cells import Task
    from fewshot_flair.experiment.clinic import Clinic

__all__ = ["Steps"]


class Steps:
    """What a study tells while it runs; a command shows it, and this tells nobody."""

    def rendering(self) -> AbstractContextManager[Any]:
        """Give the callback that is told how far the demo clinic's rendering is."""
        return nullcontext()

    def extraction(self, name: str) -> AbstractContextManager[Any]:
        """Give the progress callback of `extract`, for one data set and encoder."""
        return nullcontext()

    def clinic(self, clinic: Clinic) -> None:
        """Told of each data set when it is encoded."""

    def say(self, text: str) -> None:
        """Told what else a user should know."""

    def cells(self, finished: int, total: int) -> Callable[[Task], None]:
        """Told before the cells start; what it returns is called for each that is done."""
        return lambda _: None

    def training(self, text: str) -> None:
        """Told how far the training of a network is."""

    def doing(self, text: str) -> None:
        """Told what is being done after the cells."""
