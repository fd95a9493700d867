"""``fewshot-flair pretrain``: a FLAIR of one's own from an assembly of data sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from fewshot_flair.pretraining.assembly import Assembly
    from fewshot_flair.pretraining.photographs import Photographs


def pretrain(
    *,
    assembly: Annotated[
        Path,
        typer.Argument(help="The assembly's TOML file (docs/pretraining.md).", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder of the model, its checkpoints and its tables.", show_default=False
        ),
    ],
    only_frequencies: Annotated[
        bool,
        typer.Option(
            "--only-frequencies", help="Write the tables of concepts and duplicates, and train nothing."
        ),
    ] = False,
    nproc: Annotated[
        int, typer.Option("--nproc", min=1, help="Processes on this machine that train together, one a GPU.")
    ] = 1,
    restarts: Annotated[
        int,
        typer.Option(
            "--restarts", min=0, help="With --nproc: new starts from the last checkpoint if one dies."
        ),
    ] = 3,
    device: Annotated[
        str | None,
        typer.Option("--device", help="cuda or cpu (default: cuda where there is one).", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            help="Processes that decode photographs, for each that trains (default: as many as there are cores for).",
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", min=1, help="Steps from one checkpoint to the next.")
    ] = 500,
) -> None:
    """Pre-train an image and a text tower on an assembly of data sets, as FLAIR was, and write the model.

    Counts the concepts first and finds photographs that are there twice. Stop it at any time: the same command goes
    on from the last checkpoint. On several machines: torchrun ... -m fewshot_flair.pretraining ASSEMBLY --out MODEL.
    """
    from fewshot_flair.cli import terminal
    from fewshot_flair.pretraining.assembly import Assembly

    read = Assembly.read(assembly)
    first = os.environ.get("RANK", "0") == "0"
    console = terminal.console(quiet=not first)
    if nproc > 1 and not only_frequencies:
        from fewshot_flair.pretraining.launching import launch

        _read(console, read)  # a mistake in the tables is said here and once; the rest by the first process
        settings = ["--checkpoint-every", str(checkpoint_every), *(["--device", device] if device else [])]
        settings += [] if workers is None else ["--workers", str(workers)]
        launch(nproc, restarts, [str(assembly), "--out", str(out), *settings])
        return
    if only_frequencies:
        _assembled(console, read, out)
        return
    _train(console, read, out, device, workers=workers, checkpoint_every=checkpoint_every)


def _assembled(console: Console, assembly: Assembly, out: Path) -> Photographs:
    """Read the tables, write those of concepts and duplicates, and show them."""
    from fewshot_flair.cli import terminal
    from fewshot_flair.files import replace_file
    from fewshot_flair.pretraining.frequencies import write_frequencies
    from fewshot_flair.words import counted

    photographs = _read(console, assembly)
    table = write_frequencies(assembly, photographs, out)
    replace_file(out / "assembly.toml", [assembly.text.encode()])
    for text in photographs.said:
        terminal.warn(console, text)
    terminal.say(
        console,
        f"{counted(len(photographs), 'photograph')} of {counted(len(assembly.sets), 'set')}, "
        f"{counted(len(table), 'concept')}; the most frequent is {table['concept'][0]} "
        f"({table['photographs'][0]:,}), the rarest {table['concept'].iloc[-1]} ({table['photographs'].iloc[-1]:,})",
    )
    terminal.say(console, f"frequencies.csv, frequencies.png and duplicates.csv are in {out}")
    return photographs


def _read(console: Console, assembly: Assembly) -> Photographs:
    from fewshot_flair.cli import terminal
    from fewshot_flair.cli.progress import Bar
    from fewshot_flair.pretraining.photographs import assemble

    with Bar(terminal.stderr(console), "photographs") as bar:
        return assemble(assembly, lambda what, done, total: bar.tell(done, total, what))


def _train(console: Console, assembly: Assembly, out: Path, device: str | None, **options: Any) -> None:
    from fewshot_flair.cli import terminal
    from fewshot_flair.cli.progress import Bar
    from fewshot_flair.pretraining.assembled import pretrain_assembly
    from fewshot_flair.pretraining.parallel import joined

    with joined(device) as ranks:
        photographs = ranks.from_first(lambda: _assembled(console, assembly, out))
        with Bar(terminal.stderr(console), "steps") as bar:
            began = False

            def tell(record: dict[str, Any]) -> None:
                nonlocal began
                if not began and record["step"] > 1:
                    terminal.say(
                        console, f"going on after step {record['step'] - 1:,} of {record['steps']:,}"
                    )
                began = True
                bar.tell(
                    record["step"], record["steps"], f"epoch {record['epoch']}, loss {record['loss']:.4f}"
                )

            done = pretrain_assembly(assembly, photographs, out, ranks=ranks, progress=tell, **options)
    for row in done.figures[-len(assembly.held_out) :] if assembly.held_out else []:
        terminal.say(
            console,
            f"zero-shot on {row['data']} after epoch {row['epoch']}: balanced accuracy "
            f"{100 * row['balanced_accuracy']:.1f} % of {row['images']:,} photographs",
        )
    terminal.say(
        console,
        f"the model is in {out}, in both published layouts; use it with --encoder {out}. A research tool, not a "
        "medical device.",
        bold=str(out),
    )
