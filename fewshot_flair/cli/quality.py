"""``fewshot-flair quality``: is it a retina, is it fit to grade."""

from __future__ import annotations

from collections import Counter
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
    from fewshot_flair.cli import terminal
    from fewshot_flair.files import write_table
    from fewshot_flair.models.photographs import find_photographs
    from fewshot_flair.models.predictions import check_table
    from fewshot_flair.models.qualities import COLUMNS, quality_table, word_of
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
    counts = Counter(word_of(one) for one in found)
    table = terminal.plain_table()
    table.add_column("quality")
    table.add_column("photographs", justify="right")
    for word in ("good", "poor", "no retina", "unreadable"):
        table.add_row(word, str(counts[word]))
    terminal.under_title(console, counted(len(found), "photograph"), table)
    if passed_over:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(passed_over.items()))
        terminal.warn(console, f"passed over in the folders, as no image by their names: {kinds}")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_table(quality_table(paths, found), out)
    terminal.say(console, f"written to {out}. A research tool, not a medical device.", bold=str(out))
