"""``fewshot-flair quality``: is it a retina, is it fit to grade."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fewshot_flair.cli import options


def quality(
    *,
    photographs: Annotated[
        list[Path], typer.Argument(help="Image files, or folders of them.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Table to write (.csv, .tsv, .parquet, .xlsx): image, retina, gradable, why."
        ),
    ],
    all_measures: Annotated[
        bool,
        typer.Option(
            "--all-measures",
            help="A column for every measure, not only for those that have a limit (docs/quality.md).",
        ),
    ] = False,
    cache: options.Cache = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Threads (default: one a processor).", show_default=False),
    ] = None,
) -> None:
    """Say of each photograph whether it shows a retina, whether it can be graded, and why not.

    No model is asked. The exit status is 0 whatever is found; a file that cannot be read has a row that says why.
    """
    from fewshot_flair.bank.qualities import assess_files
    from fewshot_flair.cli import show, terminal
    from fewshot_flair.files import write_table
    from fewshot_flair.models.photographs import find_photographs
    from fewshot_flair.models.predictions import check_table
    from fewshot_flair.models.qualities import COLUMNS, quality_table
    from fewshot_flair.words import counted

    console = terminal.console()
    check_table(out, COLUMNS, "a table of quality")
    paths, passed_over = find_photographs(photographs)
    with terminal.stderr(console).status("looking at the photographs") as shown:
        found = assess_files(
            paths,
            cache,
            workers=workers,
            progress=lambda done: shown.update(f"looked at {done:,} of {counted(len(paths), 'photograph')}"),
        )
    show.quality(console, paths, found)
    show.passed_over(console, passed_over)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_table(quality_table(paths, found, passed_over, every=all_measures), out, sheet="quality")
    terminal.say(console, f"written to {out}. A research tool, not a medical device.", bold=str(out))
