"""``fewshot-flair explain``: where a saved adapter looked, as maps over photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_flair.cli import options


@options.takes(listing=options.Listing, execution=options.Execution)
def explain(
    *,
    run: options.Run,
    photographs: Annotated[
        list[Path],
        typer.Argument(
            help="Image files, folders of them, or tables with the column image.", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder to write to: STEM.png, STEM_overlay.jpg, and explain.csv."),
    ],
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Class to show (default: the one predicted for each photograph).",
            show_default=False,
        ),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(
            "--query",
            help='Text to show too, as "small red dots". Repeatable; a map each.',
            show_default=False,
        ),
    ] = None,
    tiles: Annotated[
        str,
        typer.Option(
            "--tiles",
            help="Look at overlapping tiles, each enlarged: the more, the sharper. 1x1 is the whole alone.",
        ),
    ] = "3x3",
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="cells: of the map before pooling. occlusion: cover parts (slow, any encoder). auto: cells if any.",
        ),
    ] = "auto",
    check: Annotated[
        bool, typer.Option("--check", help="Say how well each map agrees with plain occlusion (slow).")
    ] = False,
    adapter: options.SavedAdapter = None,
    adapters_from: options.AdaptersFrom = None,
    encoder: options.EncoderNow = None,
    listing: dict[str, Any],
    execution: dict[str, Any],
) -> None:
    """Show where an adapter looked: a map for each photograph, at its own size.

    STEM.png holds grey levels of 16 bits, STEM_overlay.jpg colours over the photograph: what speaks for the class,
    relative to the strongest place of the same photograph. Photographs that cannot be read are listed and left out;
    the exit status is then 1.
    """
    from fewshot_flair.cli import terminal
    from fewshot_flair.cli.steps import Shown
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.models.explain import Asked, check_folder
    from fewshot_flair.models.explain import explain as write_maps
    from fewshot_flair.models.run import SavedModel
    from fewshot_flair.words import counted

    console = terminal.console()
    check_folder(out)
    model = SavedModel.open(run, adapter)
    asked = Asked(class_name, query or (), tiles, method, check)
    with Shown(console) as steps:
        found = write_maps(
            model,
            photographs,
            out,
            asked,
            Encoding(**execution),
            encoder=encoder,
            listing=listing,
            steps=steps,
        )
    for sentence in [*model.told(), *found.said]:
        terminal.say(console, sentence)
    made = found.table[found.table["map"].fillna("") != ""]
    shown = terminal.plain_table()
    for name, right in (("map", "left"), ("shown", "left"), ("predicted", "left"), ("probability", "right")):
        shown.add_column(name, justify=right)  # type: ignore[arg-type]
    if check:
        shown.add_column("agreement", justify="right")
    for row in made.head(20).to_dict("records"):
        told = [
            *(terminal.plain(row[name]) for name in ("map", "shown", "predicted")),
            f"{row['probability']:.0%}",
        ]
        shown.add_row(*told, *([f"{row['agreement']:.2f}".replace("nan", "")] if check else []))
    console.print(shown)
    if len(made) > 20:
        terminal.say(console, f"and {len(made) - 20} more, in explain.csv")
    for left in found.skipped[:20]:
        terminal.warn(console, f"left out: {left.image} {left.reason}")
    if len(found.skipped) > 20:
        terminal.warn(console, f"and {len(found.skipped) - 20} more left out, with reasons in explain.csv")
    if found.passed_over:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(found.passed_over.items()))
        terminal.warn(console, f"passed over in the folders, as no image by their names: {kinds}")
    terminal.say(
        console,
        f"{counted(len(made), 'map')} written to {out}. A map shows what moved the answer, not that there is a "
        "lesion. A research tool, not a medical device.",
        bold=str(out),
    )
    if found.skipped or found.passed_over:
        raise typer.Exit(1)
