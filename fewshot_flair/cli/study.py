"""``fewshot-flair study`` and ``fewshot-flair report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_flair.cli import options


@options.takes(table=options.Table, execution=options.Execution)
def study(
    *,
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
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompts", help=f"Instead of the study's. {options.PROMPTS}", show_default=False),
    ] = None,
    adapters_from: options.AdaptersFrom = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes that compute cells.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a Dask scheduler to compute on.", show_default=False),
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report too.")] = True,
    table: dict[str, Any],
    execution: dict[str, Any],
) -> None:
    """Run a grid of data sets, encoders, adapters, shots, scenarios and seeds.

    The options under Data are of the manifests of --on; for the study's own data they stand in its file, by the
    same names with underscores, under [[data]].

    With --on, --encoder, --adapter, --shots, --seeds or --prompts it is the same study on other data, or a cut of it.
    Stop it at any time: finished cells are kept, and the same command goes on from there.
    """
    from fewshot_flair.cli import show, tables, terminal
    from fewshot_flair.cli.parsing import command_line, parse_shots, run_name, split_names
    from fewshot_flair.cli.steps import Shown
    from fewshot_flair.experiment.design import Study
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.experiment.runner import run_study
    from fewshot_flair.models.mistakes import worst_mistakes
    from fewshot_flair.report.page import write_report

    console = terminal.console()
    table["classes"] = split_names(table["classes"])
    read = Study.read(design).changed(
        on=on or (),
        encoders=encoder or (),
        adapters=adapter or (),
        shots=parse_shots(shots) if shots else (),
        seeds=seeds,
        prompts=prompts or (),
        table=table,
    )
    folder = out or Path("runs") / run_name(
        read, bool(on), bool(encoder or adapter or shots or seeds or prompts)
    )
    how = Encoding(**execution)
    with Shown(console, brief=True) as steps:
        results = run_study(
            read, folder, jobs=jobs, scheduler=scheduler, steps=steps, command=command_line(), how=how
        )
        if report:
            steps.doing("the report")
            write_report(results, folder=folder, mistakes=worst_mistakes(folder, how, steps=steps))
    tables.study(console, results)
    show.written(console, results, folder, report=report)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder that `adapt` or `study` wrote.", show_default=False)],
    metric: Annotated[
        str, typer.Option("--metric", help="What tables and curves show.")
    ] = "balanced_accuracy",
    adapters_from: options.AdaptersFrom = None,
) -> None:
    """Write a run's report: one HTML file, figures as PNG and SVG, tables as Markdown and LaTeX."""
    from fewshot_flair.cli import terminal
    from fewshot_flair.cli.steps import Shown
    from fewshot_flair.errors import InputError
    from fewshot_flair.evaluation import METRICS
    from fewshot_flair.experiment.results import StudyResults
    from fewshot_flair.models.mistakes import worst_mistakes
    from fewshot_flair.report.page import write_report
    from fewshot_flair.report.summary import defined_blocks

    if metric not in METRICS:
        raise InputError(f"--metric {metric!r}: there are {', '.join(METRICS)}")
    results = StudyResults.read(folder)
    console = terminal.console()
    with Shown(console, brief=True) as steps:
        path = write_report(results, metric, folder=folder, mistakes=worst_mistakes(folder, steps=steps))
    for name, why in defined_blocks(results, metric)[1].items():
        terminal.warn(console, f"left out, as {metric} is undefined there: {name} ({why})")
    terminal.say(console, f"report: {path}; figures/ and tables/ beside it")
