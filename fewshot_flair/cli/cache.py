"""``fewshot-flair cache``: encode a data set's photographs and keep the features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fewshot_flair.cli import options


def cache(
    data: Annotated[
        Path,
        typer.Argument(
            help="Manifest (CSV, TSV, Parquet; labels may be missing), or a folder of photographs.",
            show_default=False,
        ),
    ],
    images: options.Images = None,
    image_column: options.ImageColumn = "image",
    label_column: options.LabelColumn = "label",
    patient_column: options.PatientColumn = "patient_id",
    encoding: options.Encoding = None,
    skip_bad: options.SkipBad = False,
    encoder: options.EncoderName = "mini",
    text_encoder: options.TextEncoder = None,
    cache: options.Cache = None,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    precision: options.Precision = None,
    fast: options.Fast = False,
    device: options.Device = "cpu",
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            help="Let Dask workers do it: tcp://HOST:PORT of a scheduler, or a number of processes here.",
            show_default=False,
            rich_help_panel="Encoder",
        ),
    ] = None,
) -> None:
    """Encode photographs and keep their features; nothing is encoded twice.

    Stop it at any time: what is done stays, and the same command goes on from there.
    """
    from rich.console import Console
    from rich.markup import escape

    from fewshot_flair.bank import FeatureBank, extract
    from fewshot_flair.cli.progress import extraction
    from fewshot_flair.data import Manifest
    from fewshot_flair.encoders import load_encoder
    from fewshot_flair.report.wording import counted

    console = Console(highlight=False)
    manifest = Manifest.read(
        data,
        images=images,
        image_column=image_column,
        label_column=label_column,
        patient_column=patient_column,
        encoding=encoding,
        skip_bad=skip_bad,
        labels_required=False,
    )
    loaded = load_encoder(encoder, text_encoder=text_encoder, device=device, precision=precision, fast=fast)
    bank = FeatureBank.open(cache, loaded)
    with extraction(Console(stderr=True), loaded.name) as tell:
        done = extract(
            manifest,
            loaded,
            bank,
            batch_size=batch_size,
            workers=workers,
            progress=tell,
            skip_bad=skip_bad,
            scheduler=scheduler,
        )
    rate = f" in {done.seconds:.1f} s, {done.encoded / done.seconds:.1f} images/s" if done.encoded else ""
    console.print(
        f"[bold]{escape(manifest.source)}[/]: {counted(len(manifest), 'image')}, {done.encoded} encoded now{rate}, "
        f"{done.cached} in the bank already",
        soft_wrap=True,
    )
    for row in [*manifest.skipped, *done.skipped][:20]:
        console.print(f"[yellow]skipped[/] row {row.row}: {escape(row.image)} {escape(row.reason)}")
    if (skipped := len(manifest.skipped) + len(done.skipped)) > 20:
        console.print(f"[yellow]and {skipped - 20} more[/]")
    if twins := done.twins:
        first, second = map(str, twins[0])
        console.print(
            f"[yellow]{counted(len(twins), 'photograph')} under a second name[/], the first as {escape(first)} "
            f"and {escape(second)}; they share their features",
            soft_wrap=True,
        )
    dims = ", ".join(f"{kind} {width}" for kind, width in bank.feature_dims.items())
    console.print(f"bank {escape(str(bank.folder))}: {counted(len(bank), 'image')} ({dims})", soft_wrap=True)
