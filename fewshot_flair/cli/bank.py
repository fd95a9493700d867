"""``fewshot-flair bank``: look at feature banks, check, join and move them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_flair.cli.options import Cache
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.bank import FeatureBank

app = typer.Typer(name="bank", help="Look at feature banks, check, join and move them.", no_args_is_help=True)

_SHOWN = 20
Banks = Annotated[
    list[Path] | None,
    typer.Argument(help="Folders of banks (default: all in the cache folder).", show_default=False),
]
OneBank = Annotated[Path, typer.Argument(help="Folder of a bank.", show_default=False)]


@app.command()
def info(banks: Banks = None, cache: Cache = None) -> None:
    """Say what banks there are, what made them, and how large they are."""
    from rich.console import Console

    from fewshot_flair.cli.terminal import plain

    console = Console(highlight=False, soft_wrap=True)
    for bank in _open(banks, cache):
        size = sum(path.stat().st_size for path in bank.folder.rglob("*") if path.is_file())
        dims = ", ".join(f"{kind} {width}" for kind, width in bank.feature_dims.items())
        texts = len(list((bank.folder / "text").glob("*.safetensors")))
        damaged = sum(len(shard.damaged) for shard in bank.shards) + len(bank.unreadable)
        console.print(f"[bold]{plain(str(bank.folder))}[/]")
        console.print(
            f"  {plain(bank.source.name)}{_how(bank)}: {counted(len(bank), 'image')} ({dims}), {_size(size)} in "
            f"{counted(len(bank.shards), 'shard')}, {counted(texts, 'set')} of text prototypes"
            + (f", [bold red]{damaged} damaged[/]" if damaged else "")
        )


def _how(bank: FeatureBank) -> str:
    """How the features were made, as far as that is not the usual way."""
    made = bank.source.fingerprint
    fast = ["--fast"] if made.get("preparation", {}).get("fast") else []
    precision = [made["precision"]] if made.get("precision", "float32") != "float32" else []
    said = [*fast, *precision, *([made["engine"]] if "engine" in made else [])]
    if "local" in made:
        said.append(f"local features of the {made['local']['space']}, half precision")
        said += [f"tiles {made['local']['tiles']}"] * ("tiles" in made["local"])
    return f" ({', '.join(said)})" if said else ""


@app.command()
def verify(banks: Banks = None, cache: Cache = None) -> None:
    """Check every byte; what is damaged is marked, and ``cache`` encodes just that again.

    The exit status is 1 if anything is damaged.
    """
    from rich.console import Console

    from fewshot_flair.bank.verify import verify as check
    from fewshot_flair.cli.terminal import plain

    console = Console(highlight=False, soft_wrap=True)
    damaged = False
    for bank in _open(banks, cache):
        with console.status(f"{plain(bank.folder.name)}"):
            found = check(bank)
        name = plain(str(bank.folder))
        if not found:
            console.print(f"{name}: {counted(len(bank), 'image')}, every byte as it was written")
            continue
        damaged = True
        console.print(f"[bold red]{name}: {len(found)} damaged[/]; `fewshot-flair cache` mends just these")
        paths = _remembered(bank, [item.key for item in found[:_SHOWN] if item.key])
        for item in found:
            image = paths.get(item.key, f"with key {item.key}")
            row = f" row {item.row}, image {image}" if item.row is not None else ""
            console.print(f"  {plain(item.file)}{plain(row)}: {item.what}")
    if damaged:
        raise typer.Exit(1)


@app.command()
def compare(
    bank: OneBank,
    other: Annotated[Path, typer.Argument(help="Another bank of the same images.", show_default=False)],
) -> None:
    """Print the cosine between two banks' features of the same images: how near fast ones are to exact ones."""
    import numpy as np
    from rich.console import Console

    from fewshot_flair.bank.compare import compare as cosines

    first, second = _open([bank, other], None)
    console = Console(highlight=False, soft_wrap=True)
    for column, values in cosines(first, second).items():
        console.print(
            f"{column}: cosine min {values.min():.6f}, median {np.median(values):.6f} over "
            f"{counted(len(values), 'image')}"
        )


@app.command()
def merge(
    bank: OneBank,
    others: Annotated[
        list[Path], typer.Argument(help="Banks of the same fingerprint to take from.", show_default=False)
    ],
) -> None:
    """Copy to a bank the rows that only others have; it is made if it isn't there."""
    from rich.console import Console

    from fewshot_flair.bank.transfer import merge as join
    from fewshot_flair.bank.transfer import new_bank
    from fewshot_flair.cli.terminal import plain

    target = new_bank(bank, others[0])
    for other in _open(others, None):
        added = join(target, other)
        Console(highlight=False, soft_wrap=True).print(
            f"{plain(other.folder)}: {counted(added, 'image')} added"
        )
    Console(highlight=False, soft_wrap=True).print(f"{plain(target.folder)}: {counted(len(target), 'image')}")


@app.command()
def export(
    bank: OneBank,
    out: Annotated[Path, typer.Argument(help="The .npz file to write.", show_default=False)],
) -> None:
    """Write a bank to one .npz file of plain arrays: keys, features, and what made them."""
    from rich.console import Console

    from fewshot_flair.bank.transfer import export_bank
    from fewshot_flair.cli.terminal import plain
    from fewshot_flair.errors import InputError

    if out.suffix.lower() != ".npz":
        raise InputError(f"{out}: give a name that ends in .npz")
    (opened,) = _open([bank], None)
    n = export_bank(opened, out)
    Console(highlight=False, soft_wrap=True).print(
        f"{plain(out)}: {counted(n, 'image')}, {_size(out.stat().st_size)}"
    )


@app.command(name="import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="An .npz file: an exported bank, or a feature cache of the papers' code (feats_ds, refs_ds, …).",
            show_default=False,
        ),
    ],
    cache: Cache = None,
) -> None:
    """Read features from an .npz file into a bank, without unpickling anything."""
    from rich.console import Console

    from fewshot_flair.bank.imports import import_features
    from fewshot_flair.cli.terminal import plain

    found = import_features(file, cache)
    dims = ", ".join(f"{kind} {width}" for kind, width in found.bank.feature_dims.items())
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{plain(found.bank.folder)}: {counted(len(found.keys), 'row')} ({dims})")
    if found.labels:
        console.print(
            f"keys and labels are in {plain(found.labels)}; fit on them: fewshot-flair adapt --data {plain(file)}"
        )


def _open(banks: list[Path] | None, cache: Path | None) -> list[FeatureBank]:
    from fewshot_flair.bank import FeatureBank
    from fewshot_flair.cache import cache_folder
    from fewshot_flair.errors import MissingFileError

    if banks:
        return [FeatureBank.open(path) for path in banks]
    root = cache or cache_folder()
    folders = [path.parent for path in sorted((root / "banks").glob("*/bank.json"))]
    if not folders:
        raise MissingFileError(f"{root} holds no feature banks; `fewshot-flair cache DATA` makes one")
    return [FeatureBank.open(path) for path in folders]


def _remembered(bank: FeatureBank, keys: list[str]) -> dict[str, str]:
    from fewshot_flair.bank.memo import KeyMemo, memo_file

    memo = KeyMemo(memo_file(bank.folder))
    found = memo.paths(keys)
    memo.close()
    return found


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
