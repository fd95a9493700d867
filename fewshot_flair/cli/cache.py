"""``fewshot-flair cache``: encode a data set's photographs and keep the features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_flair.cli import options


@options.takes(table=options.Table, encoding=options.Encoder, execution=options.Execution)
def cache(
    *,
    data: Annotated[
        Path,
        typer.Argument(
            help="Manifest (CSV, TSV, Excel, Parquet; labels may be missing), or a folder of photographs.",
            show_default=False,
        ),
    ],
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            help="Let Dask workers do it: tcp://HOST:PORT of a scheduler, or a number of processes here.",
            show_default=False,
            rich_help_panel="Encoder",
        ),
    ] = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="Keep local features too, from the same pass: the map before pooling, in half precision.",
            rich_help_panel="Encoder",
        ),
    ] = False,
    tiles: Annotated[
        str | None,
        typer.Option(
            "--tiles",
            help="Local features of overlapping tiles, each enlarged to a canvas of its own: 2x2, 3x3 (with --local).",
            show_default=False,
            rich_help_panel="Encoder",
        ),
    ] = None,
    table: dict[str, Any],
    encoding: dict[str, Any],
    execution: dict[str, Any],
) -> None:
    """Encode photographs and keep their features; nothing is encoded twice.

    Stop it at any time: what is done stays, and the same command goes on from there.
    """
    from fewshot_flair.bank import FeatureBank, extract
    from fewshot_flair.bank.extraction import told_of_damage
    from fewshot_flair.bank.local import LocalBank, LocalView
    from fewshot_flair.cli import terminal
    from fewshot_flair.cli.parsing import split_names
    from fewshot_flair.cli.steps import extraction
    from fewshot_flair.data import Manifest
    from fewshot_flair.encoders import load_encoder
    from fewshot_flair.encoders.base import Encoder
    from fewshot_flair.errors import InputError
    from fewshot_flair.images.tiles import Tiles
    from fewshot_flair.words import counted

    console = terminal.console()
    table["classes"] = split_names(table["classes"])
    manifest = Manifest.read(data, labels_required=False, **table)
    loaded = load_encoder(encoding.pop("encoder"), device=execution["device"], **encoding)
    if tiles is not None and not local:
        raise InputError("--tiles goes with --local; give both")
    source: Encoder | LocalView = LocalView(loaded, Tiles.parse(tiles or "1x1")) if local else loaded
    bank: FeatureBank
    if isinstance(source, LocalView):
        bank = LocalBank.of(execution["cache"], source)
    else:
        bank = FeatureBank.open(execution["cache"], source)
    with extraction(terminal.stderr(console), loaded.name) as tell:
        done = extract(
            manifest,
            source,
            bank,
            batch_size=execution["batch_size"],
            workers=execution["workers"],
            progress=tell,
            skip_bad=table["skip_bad"],
            scheduler=scheduler,
        )
    rate = f" in {done.seconds:.1f} s, {done.encoded / done.seconds:.1f} images/s" if done.encoded else ""
    terminal.say(
        console,
        f"{manifest.source}: {counted(len(manifest), 'image')}, {done.encoded} encoded now{rate}, {done.cached} in "
        "the bank already",
        bold=manifest.source,
    )
    if done.damaged:
        terminal.warn(console, told_of_damage(done.damaged))
    skipped = [*manifest.skipped, *done.skipped]
    for row in skipped[:20]:
        terminal.warn(console, f"skipped row {row.row}: {row.image} {row.reason}")
    if len(skipped) > 20:
        terminal.warn(console, f"and {len(skipped) - 20} more")
    if twins := done.twins:
        first, second = map(str, twins[0])
        terminal.warn(
            console,
            f"{counted(len(twins), 'photograph')} under a second name, the first as {first} and {second}; they "
            "share their features",
        )
    dims = ", ".join(f"{kind} {width}" for kind, width in bank.feature_dims.items())
    terminal.say(console, f"bank {bank.folder}: {counted(len(bank), 'image')} ({dims})")
    if isinstance(bank, LocalBank):
        terminal.say(console, bank.told())
