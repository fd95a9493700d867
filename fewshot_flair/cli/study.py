"""``fewshot-flair study`` and ``fewshot-flair report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot_flair.cli import options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from fewshot_flair.experiment.design import Study


def study(
    design: Annotated[Path, typer.Argument(help="The study's TOML file (see recipes/).", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the study (default: runs/ and its name).", show_default=False),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on", help="Another manifest instead of the study's data, or demo.", show_default=False
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None, typer.Option("--encoder", help="Instead of the study's.", show_default=False)
    ] = None,
    adapter: Annotated[
        list[str] | None, typer.Option("--adapter", help="Instead of the study's.", show_default=False)
    ] = None,
    shots: Annotated[
        str | None, typer.Option("--shots", help="Instead of the study's, as 1,4.", show_default=False)
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Instead of the study's.", show_default=False)
    ] = None,
    adapters_from: options.AdaptersFrom = None,
    classes: options.Classes = None,
    ordered: options.Ordered = False,
    image_column: options.ImageColumn = "image",
    label_column: options.LabelColumn = "label",
    patient_column: options.PatientColumn = "patient_id",
    encoding: options.Encoding = None,
    cache: options.Cache = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes that compute cells.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a Dask scheduler to compute on.", show_default=False),
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report too.")] = True,
) -> None:
    """Run a grid of data sets, encoders, adapters, shots, scenarios and seeds.

    --classes, --encoding and the columns' names are of the manifests of --on; those of the study's own data stand
    in its file (classes, encoding, image_column, label_column, patient_column, ordered under [[data]]).

    With --on, --encoder, --adapter, --shots or --seeds it is the same study on other data, or a cut of it.
    Stop it at any time: finished cells are kept, and the same command goes on from there.
    """
    import shlex
    import sys

    from rich.markup import escape

    from fewshot_flair.cli import show
    from fewshot_flair.cli.parsing import parse_shots, split_names
    from fewshot_flair.cli.show_study import study_tables
    from fewshot_flair.experiment.design import Study
    from fewshot_flair.experiment.folder import folder_name
    from fewshot_flair.experiment.runner import run_study
    from fewshot_flair.report.page import write_report

    console = show.console()
    read = Study.read(design).changed(
        on=on or (),
        encoders=encoder or (),
        adapters=adapter or (),
        shots=parse_shots(shots) if shots else (),
        seeds=seeds,
        ordered=ordered,
        table={
            "classes": split_names(classes),
            "image_column": image_column,
            "label_column": label_column,
            "patient_column": patient_column,
            "encoding": encoding,
        },
    )
    folder = out or Path("runs") / folder_name(
        _run_name(read, bool(on), bool(encoder or adapter or shots or seeds))
    )
    with _Shown(console) as steps:
        results = run_study(
            read,
            folder,
            cache=cache,
            jobs=jobs,
            scheduler=scheduler,
            steps=steps,
            command=shlex.join(["fewshot-flair", *sys.argv[1:]]),
        )
    study_tables(console, results)
    where = escape(str(folder))
    console.print(f"written to [bold]{where}[/]: results.parquet, results.csv, study.json", soft_wrap=True)
    if report:
        console.print(f"report: [bold]{escape(str(write_report(folder)))}[/]", soft_wrap=True)


def _run_name(study: Study, elsewhere: bool, cut: bool) -> str:
    """The study's name; other data are named too, and a cut by a digest, so that none replaces another."""
    import hashlib

    parts = [study.name, *(data.name for data in study.data if elsewhere)]
    if cut:
        parts.append(hashlib.sha256(study.model_dump_json(exclude={"folder"}).encode()).hexdigest()[:6])
    return " ".join(parts)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder that `study` wrote.", show_default=False)],
    metric: Annotated[
        str, typer.Option("--metric", help="What tables and curves show.")
    ] = "balanced_accuracy",
) -> None:
    """Write a study's report: one HTML file, figures as PNG and SVG, tables as Markdown and LaTeX."""
    from rich.markup import escape

    from fewshot_flair.cli import show
    from fewshot_flair.errors import InputError
    from fewshot_flair.evaluation import METRICS
    from fewshot_flair.experiment.results import StudyResults
    from fewshot_flair.report.page import write_report
    from fewshot_flair.report.summary import defined_blocks

    if metric not in METRICS:
        raise InputError(f"--metric {metric!r}: there are {', '.join(METRICS)}")
    console, path = show.console(), write_report(folder, metric)
    for name, why in defined_blocks(StudyResults.read(folder), metric)[1].items():
        console.print(f"[yellow]left out, as {metric} is undefined there: {escape(name)} ({escape(why)})[/]")
    console.print(f"report: [bold]{escape(str(path))}[/]; figures/ and tables/ beside it", soft_wrap=True)


class _Shown:
    """Shows a study's steps: encoding, then one bar over all cells."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def extraction(self, name: str) -> Any:
        from fewshot_flair.cli import show

        return show.extraction(self.console, name)

    def cells(self, finished: int, total: int) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        task = self._bar.add_task("cells", total=total, completed=finished)
        bar = self._bar

        def done(finished_task: Any) -> None:
            bar.update(task, advance=1, description=finished_task.cell.adapter.label)

        return done
