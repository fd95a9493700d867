"""``fewshot-flair predict``: a saved adapter on new photographs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot_flair.cli import options

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.adapters import Adapter
    from fewshot_flair.data.tables import SkippedRow
    from fewshot_flair.encoders.base import Encoder


def predict(
    run: Annotated[
        Path,
        typer.Argument(help="Folder that `adapt` wrote, or one adapter's folder in it.", show_default=False),
    ],
    photographs: Annotated[
        list[Path],
        typer.Argument(
            help="Image files, or folders of them; or .npz files of features of the run's encoder.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Table to write: image, class, probabilities.")],
    adapter: Annotated[
        str | None,
        typer.Option("--adapter", help="One of the run's adapters (default: its best).", show_default=False),
    ] = None,
    adapters_from: options.AdaptersFrom = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="Where the encoder is now, if it has moved since; it must be the one of the run.",
            show_default=False,
        ),
    ] = None,
    text_encoder: options.TextEncoder = None,
    cache: options.Cache = None,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    device: options.Device = "cpu",
) -> None:
    """Classify new photographs with an adapter of an earlier run.

    Photographs that cannot be read are listed and left out; the exit status is then 1.
    """
    from fewshot_flair.bank import FeatureBank, extract
    from fewshot_flair.cli import show
    from fewshot_flair.errors import InputError
    from fewshot_flair.experiment.imported import holds_features
    from fewshot_flair.models import load_adapter
    from fewshot_flair.models.predictions import (
        check_table,
        find_photographs,
        predict_table,
        printable,
        with_skipped,
    )

    console = show.console()
    folder = _adapter_folder(run, adapter)
    fitted, extra = load_adapter(folder)
    brought = [path for path in photographs if holds_features(path)]
    if 0 < len(brought) < len(photographs):
        raise InputError(f"{brought[0]} holds features and others are photographs; give one kind at a time")
    check_table(out)
    skipped: list[SkippedRow] = []
    if brought:
        table = _predict_features(fitted, extra["encoder"], photographs, cache)
    else:
        paths = [str(path) for path in find_photographs(photographs)]
        loaded = _same_encoder(extra["encoder"], encoder, text_encoder, device)
        bank = FeatureBank.open(cache, loaded)
        with show.extraction(console, loaded.name) as progress:
            extracted = extract(
                paths, loaded, bank, batch_size=batch_size, workers=workers, progress=progress, skip_bad=True
            )
        skipped = extracted.skipped
        readable = [path for path in paths if path in extracted.keys]
        table = predict_table(fitted, readable, [extracted.keys[path] for path in readable], bank)
    console.print(
        f"adapter [bold]{folder.name}[/], fitted on {extra['training_images']} training images of {extra['data']}",
        soft_wrap=True,
    )
    show.predictions(console, table, list(fitted.columns_), skipped)
    table = with_skipped(table, skipped)
    table["image"] = [printable(name) for name in table["image"]]
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".parquet":
        table.to_parquet(out, index=False)
    else:
        separator = "\t" if out.suffix.lower() == ".tsv" else ","
        table.to_csv(out, index=False, sep=separator, float_format="%.6f")
    console.print(f"written to [bold]{out}[/]. A research tool, not a medical device.")
    if skipped:
        raise typer.Exit(1)


def _adapter_folder(run: Path, name: str | None) -> Path:
    from fewshot_flair.errors import InputError
    from fewshot_flair.experiment.folder import folder_name, read_run

    if (run / "adapter.json").is_file() and name is None:
        return run
    record = read_run(run)
    chosen = record["best_adapter"] if name is None else name
    folder = record["adapters"].get(chosen) or f"adapters/{folder_name(chosen)}"
    if not (run / folder / "adapter.json").is_file():
        raise InputError(f"{run} has no adapter {chosen!r}; it has {', '.join(record['adapters'])}")
    return run / folder


def _predict_features(
    fitted: Adapter, recorded: dict[str, Any], files: list[Path], cache: Path | None
) -> pd.DataFrame:
    """Classify the rows of files of features; refuse those of another model."""
    import pandas as pd

    from fewshot_flair.bank.imports import import_features
    from fewshot_flair.errors import InputError
    from fewshot_flair.experiment.imported import made_by, row_names
    from fewshot_flair.models.predictions import predict_table

    tables = []
    for path in files:
        found = import_features(path, cache, text=fitted.text)
        source = made_by(found)
        if source.fingerprint_id != recorded["fingerprint_id"]:
            raise InputError(
                f"{path.name} holds features of another model than this adapter was fitted on "
                f"({recorded['name']}){_difference(recorded, source.fingerprint)}"
            )
        tables.append(predict_table(fitted, row_names(path, found), found.keys, found.bank))
    return pd.concat(tables, ignore_index=True)


def _difference(recorded: dict[str, Any], fingerprint: Mapping[str, Any]) -> str:
    """In what two fingerprints differ, where the run recorded its own."""
    from fewshot_flair.bank.source import differences

    return f": {differences(recorded['fingerprint'], fingerprint)}" if "fingerprint" in recorded else ""


def _same_encoder(recorded: dict[str, Any], name: str | None, text: str | None, device: str) -> Encoder:
    """Load the run's encoder; refuse another, whose features the adapter would misread."""
    from fewshot_flair.encoders import list_encoders, load_encoder
    from fewshot_flair.errors import InputError
    from fewshot_flair.experiment.imported import FEATURES

    how = recorded["load"]
    if how["name"] == FEATURES:
        raise InputError(
            "this adapter was fitted on features that came without their model; give it an .npz of the new "
            "photographs' features instead of photographs"
        )
    known = [about.name for about in list_encoders()]
    if name in known and how["name"] in known and name != how["name"]:
        raise InputError(
            f"this adapter was fitted with the encoder {how['name']!r}; leave --encoder {name} out"
        )
    loaded = load_encoder(
        name or how["name"],
        text_encoder=text or how["text_encoder"],
        device=device,
        precision=how["precision"],
        fast=how["fast"],
    )
    if loaded.fingerprint_id != recorded["fingerprint_id"]:
        raise InputError(
            f"encoder {name or how['name']!r} is not the one this adapter was fitted with "
            f"({recorded['name']}, fingerprint {recorded['fingerprint_id'][:12]}; this one has "
            f"{loaded.fingerprint_id[:12]}){_difference(recorded, loaded.fingerprint)}; give the same weights, "
            "preparation and precision with --encoder, or adapt again"
        )
    return loaded
