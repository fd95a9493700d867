"""What ``fewshot-flair study`` prints of its results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.text import Text

from fewshot_flair.cli.show import plain_table, under_title
from fewshot_flair.report.wording import bold_means, with_interval

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fewshot_flair.experiment.results import StudyResults
    from fewshot_flair.report.summary import Block, Entry

__all__ = ["study_tables"]


def study_tables(to: Console, results: StudyResults) -> None:
    """The study's main tables: balanced accuracy by shots; green is best, bold is not told from it."""
    from fewshot_flair.report.summary import blocks

    n_draws = results.rows["seed"].nunique()
    found = list(blocks(results))
    over = ""
    unbounded = to.options.update(width=10_000)
    for block in found:
        for scenario in dict.fromkeys(name for name, _ in block.columns):
            table = _study_table(block, scenario, intervals=True)
            if to.measure(table, options=unbounded).maximum > to.width:
                table = _study_table(block, scenario, intervals=False)
            elif n_draws > 1:
                over = f"±: 95 % interval over {n_draws} draws; "
            under_title(to, f"{block.title}, {scenario}: balanced accuracy, %, by shots", table)
    said = bold_means(n_draws, max(len(block.adapters) for block in found))
    to.print(f"[dim]{over}green: the best mean of its column; {escape(said)}[/]", soft_wrap=True)


def _study_table(block: Block, scenario: str, *, intervals: bool) -> Table:
    table = plain_table()
    table.add_column("adapter", overflow="fold")
    columns = [column for column in block.columns if column[0] == scenario]
    for _, shots in columns:
        table.add_column(str(shots), justify="right")
    for adapter in block.adapters:
        entries = [block.entries[adapter, column] for column in columns]
        table.add_row(escape(adapter), *(_entry(entry, intervals) for entry in entries))
    return table


def _entry(entry: Entry, interval: bool) -> Text:
    style = "bold green" if entry.best else "bold" if entry.tied else ""
    ends = (entry.low, entry.high) if interval else (entry.mean, entry.mean)
    return Text(with_interval(entry.mean, *ends), style=style)
