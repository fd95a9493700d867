"""``fewshot-flair data``: public data sets, and the prompts of papers' repositories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from fewshot_flair.datasets.prepare import Prepared

__all__ = ["app"]

app = typer.Typer(
    name="data",
    help="Public data sets: what is known of each, and from a folder that holds one to a checked manifest.",
    no_args_is_help=True,
)
_SHOWN = 10
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the data sets of the register."""
    from fewshot_flair.cli import terminal
    from fewshot_flair.datasets import list_sets

    found = list_sets()
    if as_json:
        typer.echo(json.dumps([known.model_dump() for known in found], indent=2, ensure_ascii=False))
        return
    console = terminal.console()
    table = terminal.plain_table()
    for heading in ("name", "task", "photographs", "FLAIR trained on it"):
        table.add_column(heading, justify="right" if heading == "photographs" else "left", overflow="fold")
    for known in found:
        n = max((sum(counts.classes.values()) for counts in known.counts), default=0)
        trained = known.pretrained.get("flair", "not known")
        table.add_row(*map(terminal.plain, (known.name, known.task, f"{n:,}" if n else "", trained)))
    console.print(table)
    terminal.say(
        console,
        "`fewshot-flair data show NAME` tells all that is known of one; `data prepare NAME FOLDER` makes its manifest",
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name of `data list`.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show what is known of a data set: source, licence, citation, classes, layout, patients, pre-training."""
    from fewshot_flair.cli import terminal
    from fewshot_flair.datasets import get_set

    known = get_set(name)
    if as_json:
        typer.echo(json.dumps(known.model_dump(), indent=2, ensure_ascii=False))
        return
    console = terminal.console()
    terminal.say(console, f"{known.title} ({known.name}): {known.task}", bold=known.title)
    facts = [
        ("source", known.source),
        ("licence", known.licence),
        ("cite", known.citation),
        ("classes", ", ".join(known.classes) or "no rule here; a table must name them (--split)"),
        ("patients", known.patients),
        (
            "pre-trained on it",
            "; ".join(f"{who}: {what}" for who, what in known.pretrained.items()) or "not known",
        ),
        ("other names", ", ".join(known.also)),
        ("note", known.note),
    ]
    facts += [
        (
            "published",
            f"{counts.source}: {sum(counts.classes.values()):,} photographs ("
            + ", ".join(f"{label} {n:,}" for label, n in counts.classes.items())
            + ")",
        )
        for counts in known.counts
    ]
    facts += [
        (
            "layout",
            (f"{part.split}: " if part.split else "")
            + part.images
            + (f", labels in {part.table}, column {part.label}" if part.table else ""),
        )
        for part in known.parts
    ] or [("layout", "none known; give the split table of a paper's repository (--split)")]
    for what, text in facts:
        if text:
            terminal.say(console, f"  {what}: {text}")


@app.command()
def prepare(
    *,
    name: Annotated[str, typer.Argument(help="A name of `data list`.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Folder that holds the data set.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Manifest to write, a .csv (default: NAME.csv).", show_default=False),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(
            "--split",
            help="Split table of a paper's repository, as it is; without it labels come from the published layout.",
            show_default=False,
        ),
    ] = None,
    test_split: Annotated[
        Path | None,
        typer.Option(
            "--test-split", help="Table of the test side; --split is then training.", show_default=False
        ),
    ] = None,
    near: Annotated[
        bool,
        typer.Option(
            "--near/--no-near", help="Look for photographs that are nearly the same, which decodes each."
        ),
    ] = True,
) -> None:
    """Write a data set's manifest, and check it: files, counts, photographs that are there twice.

    What differs from what was published is a warning. Paths in the manifest are relative to FOLDER, and a card beside
    it (.json) names that folder, so that `adapt --data MANIFEST` finds the photographs.
    """
    from fewshot_flair.cli import terminal
    from fewshot_flair.cli.progress import Bar
    from fewshot_flair.datasets import get_set, prepare_set
    from fewshot_flair.words import counted

    console = terminal.console()
    known = get_set(name)
    with Bar(terminal.stderr(console), f"looking at {known.title}") as bar:
        made = prepare_set(
            name,
            folder,
            out or Path(f"{known.name}.csv"),
            split=split,
            test_split=test_split,
            near=near,
            told=bar.tell,
        )
    terminal.under_title(console, f"{known.title}: photographs by class", _counts(made))
    found = sum(n for sides in made.counts.values() for n in sides.values())
    others = made.named - found - len(made.missing)
    terminal.say(
        console,
        f"{counted(found, 'row')} of {made.named:,} that are named; not found: {len(made.missing)}"
        + (f"; left out for another reason: {others}" if others else ""),
        bold=f"{found:,}",
    )
    if made.missing:
        shown = ", ".join(made.missing[:_SHOWN]) + (
            f" and {len(made.missing) - _SHOWN} more" if len(made.missing) > _SHOWN else ""
        )
        terminal.warn(console, f"not found and left out: {shown}")
    for remark in made.remarks:
        terminal.warn(console, remark)
    for encoder in known.pretrained:
        if trained := known.trained_on(encoder):
            terminal.warn(
                console,
                f"{encoder} was pre-trained on it ({trained}): on photographs that it has seen figures are too good",
            )
    card = made.manifest.with_suffix(".json").name
    terminal.say(console, f"manifest: {made.manifest}; {card} beside it names the folder of photographs")
    if len(made.pairs):
        terminal.say(
            console,
            f"photographs that are alike: {made.manifest.with_name(made.manifest.stem + '-pairs.csv')}",
        )


def _counts(made: Prepared) -> Table:
    from fewshot_flair.cli import terminal

    sides = list(dict.fromkeys(side for counts in made.counts.values() for side in counts))
    table = terminal.plain_table()
    table.add_column("class")
    for side in sides:
        table.add_column(side or "no side", justify="right")
    for label, counts in made.counts.items():
        table.add_row(terminal.plain(label), *(f"{counts.get(side, 0):,}" for side in sides))
    return table


@app.command()
def prompts(
    *,
    clone: Annotated[Path, typer.Argument(help="Clone of the authors' repository.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="File to write: .toml or .json, for --prompts.")] = Path(
        "prompts.toml"
    ),
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            help="The file in the clone that is meant, where several have descriptions.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the descriptions of classes that a paper's code uses into a file that `--prompts` takes.

    The clone's Python files are read, not run.
    """
    from fewshot_flair.cli import terminal
    from fewshot_flair.datasets.clone import fundus_prompts, write_prompts

    found = fundus_prompts(clone, file)
    write_prompts(found, out, clone)
    console = terminal.console()
    n = sum(map(len, found.descriptions.values()))
    terminal.say(
        console,
        f"{out}: {len(found.descriptions)} classes, {n} descriptions, from {found.file}, {found.where}"
        + (f" (template {found.template!r})" if found.template else ""),
        bold=str(out),
    )
