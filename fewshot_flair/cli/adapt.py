"""``fewshot-flair adapt``: a study of one data set, whose adapters are kept for new photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_flair.cli import options


@options.takes(
    table=options.Table,
    sides=options.Sides,
    encoding=options.Encoder,
    decision=options.Decision,
    execution=options.Execution,
)
def adapt(
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Manifest (CSV, TSV, Excel, Parquet), a folder with one sub-folder a class, or an .npz of features "
            "and labels as the papers' code caches them; without it the demo clinic, which is rendered.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    shots: Annotated[
        str, typer.Option("--shots", help="Shots per class; several, as 1,2,4,8,16, give the curve.")
    ] = "16",
    scenario: Annotated[
        str,
        typer.Option(
            "--scenario",
            help="standard: shots of every class; relaxed: in the clinic's proportions, at least one; "
            "realistic: in the clinic's proportions, a class may have none.",
        ),
    ] = "standard",
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter",
            help="Adapter, as name or name:parameter=value; repeat for several "
            "(default: zero-shot, lp, logistic, clip-adapter, ss-text, ss-text+).",
            show_default=False,
        ),
    ] = None,
    adapters_from: options.AdaptersFrom = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Support sets drawn at each shots.")] = 20,
    protocol: Annotated[
        str,
        typer.Option("--protocol", help="fewshot-flair, or sstext-2025 to repeat that paper's draws."),
    ] = "fewshot-flair",
    allow_fewer: Annotated[
        bool,
        typer.Option("--allow-fewer", help="Take what there is where a class has fewer images than shots."),
    ] = False,
    prompts: Annotated[
        str,
        typer.Option(
            "--prompts",
            help=options.PROMPTS,
        ),
    ] = "expert",
    unlabelled: Annotated[
        int | None,
        typer.Option(
            "--unlabelled",
            min=0,
            help="Images without labels an episode, for adapters that use them (ss-text-u, transclip, …): of the pool, "
            "or where there is none of the training images left over (default: the whole pool, or none).",
            show_default=False,
        ),
    ] = None,
    conformal: Annotated[
        list[str] | None,
        typer.Option(
            "--conformal",
            help="Measure conformal sets on the same draws: METHOD:SCORE:ALPHA, such as full:lac:0.1 (repeatable).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for results, report and adapters (default: runs/ and a name made of the setting).",
            show_default=False,
        ),
    ] = None,
    tiles: Annotated[
        str,
        typer.Option(
            "--tiles",
            help="Where local-… adapters look: 1x1, the whole; 2x2, overlapping tiles, each enlarged.",
            rich_help_panel="Encoder",
        ),
    ] = "1x1",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON instead of tables.")
    ] = False,
    table: dict[str, Any],
    sides: dict[str, Any],
    encoding: dict[str, Any],
    decision: dict[str, Any],
    execution: dict[str, Any],
) -> None:
    """Adapt a frozen encoder to a clinic's labelled photographs, and say how good it is.

    Photographs are encoded once and kept; adapters are fitted on few-shot support sets of the training
    rows and judged on the test rows, which no fit ever sees (but for --transductive, without labels). Then each
    is fitted on all training rows, tested and saved for `predict`.
    """
    from fewshot_flair.cli import show, tables, terminal
    from fewshot_flair.cli.parsing import command_line, parse_prevalence, parse_shots, split_names
    from fewshot_flair.cli.steps import Shown
    from fewshot_flair.experiment.choices import data_name
    from fewshot_flair.experiment.design import Study
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.experiment.folder import folder_name
    from fewshot_flair.experiment.runner import run_study
    from fewshot_flair.experiment.sources import FEATURES, holds_features
    from fewshot_flair.experiment.spec import DEFAULT_ADAPTERS
    from fewshot_flair.models.mistakes import worst_mistakes
    from fewshot_flair.report.page import write_report

    if data and holds_features(data) and encoding["encoder"] == "mini":
        encoding["encoder"] = FEATURES
    name = data_name(data or "demo")
    out = out or Path("runs") / folder_name(f"{name}-{encoding['encoder']}-{scenario}-{shots}")
    if sides["test_on"]:
        name += f", tested on {data_name(sides['test_on'])}"
    table["classes"] = split_names(table["classes"])
    decision["positive"] = split_names(decision["positive"])
    decision["prevalence"] = parse_prevalence(decision["prevalence"])
    study = Study.from_dict(
        {
            "name": name,
            "question": "How good is an adapter of a few labelled photographs here, and which should be used?",
            "data": [{"name": name, "manifest": data or "demo", **table, **sides}],
            "encoders": [{"name": encoding.pop("encoder"), **encoding, "tiles": tiles}],
            "adapters": adapter or DEFAULT_ADAPTERS,
            "shots": parse_shots(shots),
            "scenarios": [scenario],
            "seeds": seeds,
            "protocol": protocol,
            "allow_fewer": allow_fewer,
            "prompts": [prompts],
            "unlabelled": unlabelled,
            "conformal": conformal or [],
            "save": True,
            "decision": decision,
        },
        "adapt",
        options=True,
    )
    console = terminal.console(quiet=as_json)
    how = Encoding(**execution)
    with Shown(console) as steps:
        results = run_study(study, out, steps=steps, command=command_line(), how=how)
        steps.doing("the report")
        write_report(results, folder=out, mistakes=worst_mistakes(out, how, steps=steps))
    if as_json:
        tables.as_json(results, out)
        return
    tables.adaptation(console, results)
    show.decisions(console, results)
    show.written(console, results, out)
