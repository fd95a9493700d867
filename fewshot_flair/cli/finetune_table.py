"""The table that ``fewshot-flair finetune`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewshot_flair.cli import terminal
from fewshot_flair.experiment.grid import shots_text
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = ["show"]


def show(console: Console, results: pd.DataFrame) -> None:
    """A table for each number of shots: balanced accuracy on each test side, means over seeds, and the cost."""
    tests = list(results["test"].unique())
    for shots in sorted(results["shots"].unique()):
        own = results[results["shots"] == shots]
        table = terminal.plain_table()
        for name in ("method", "alpha"):
            table.add_column(name)
        for name in (*tests, "seconds", "parameters"):
            table.add_column(terminal.plain(name), justify="right")
        groups = own.groupby(["method", "kind", "alpha"], sort=False, dropna=False)
        for (method, kind, alpha), rows in groups:
            means = rows.groupby("test")["balanced_accuracy"].mean()
            cost = rows[["seconds", "trainable_parameters"]].mean() if kind != "soup" else None
            table.add_row(
                terminal.plain(f"soup of {method}" if kind == "soup" else method),
                "" if kind == "frozen" else f"{alpha:g}",
                *(f"{100 * means[name]:.1f}" for name in tests),
                "" if cost is None else f"{cost['seconds']:.3g}",
                "" if cost is None else f"{cost['trainable_parameters']:,.0f}",
            )
        seeds = counted(own["seed"].nunique(), "seed")
        title = f"balanced accuracy in %, {shots_text(int(shots))}, means over {seeds}; tested on:"
        terminal.under_title(console, title, table)
