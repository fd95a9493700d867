"""``fewshot-flair prompts``: what each class says to the text tower, and how far apart classes are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot_flair.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from fewshot_flair.text.prototypes import TextPrototypes

GRADES = tuple(
    f"{grade} diabetic retinopathy" for grade in ("no", "mild", "moderate", "severe", "proliferative")
)


@options.takes(encoding=options.Encoder)
def prompts(
    *,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", help="Classes, separated by commas (default: the five grades).", show_default=False
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--prompts",
            help=options.PROMPTS,
        ),
    ] = "expert",
    encoding: dict[str, Any],
) -> None:
    """Show what each class says, and the cosine between the classes' prototypes.

    Near prototypes cannot be told apart by zero-shot: expert descriptions or a few shots must do it.
    """
    from fewshot_flair.cli import terminal
    from fewshot_flair.cli.parsing import split_names
    from fewshot_flair.encoders import load_encoder
    from fewshot_flair.text.prompts import read_prompts

    loaded = load_encoder(encoding.pop("encoder"), **encoding)
    said = read_prompts(source, Path())
    names = split_names(classes) or (list(GRADES) if isinstance(said, str) else list(said))
    if isinstance(said, str):
        text = loaded.prototypes(names, knowledge=said == "expert")
    else:
        text = loaded.prototypes({name: said[name] for name in names})
    console = terminal.console()
    terminal.under_title(console, f"what the classes say to {loaded.name}", _descriptions(text))
    scale = f"logits are {text.scale:.1f} × cosine"
    terminal.under_title(console, f"cosine between class prototypes ({scale})", _cosines(text))


def _descriptions(text: TextPrototypes) -> Table:
    from fewshot_flair.cli import terminal

    table = terminal.plain_table()
    table.add_column("class")
    table.add_column("descriptions")
    for name in text.classes:
        table.add_row(
            terminal.plain(name), terminal.plain("\n".join(text.descriptions[name])), end_section=True
        )
    return table


def _cosines(text: TextPrototypes) -> Table:
    import numpy as np

    from fewshot_flair.cli import terminal

    prototypes = np.asarray(text.prototypes)
    unit = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    table = terminal.plain_table()
    table.add_column("class")
    for number in range(1, text.n_classes + 1):
        table.add_column(str(number), justify="right")
    for number, (name, row) in enumerate(zip(text.classes, unit @ unit.T, strict=True), 1):
        cells = [f"{value:.2f}" if column != number else "1" for column, value in enumerate(row, 1)]
        table.add_row(f"{number} {terminal.plain(name)}", *cells)
    return table
