"""``fewshot-flair finetune``: train the encoder itself, and measure it here and elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_flair.cli import options


@options.takes(table=options.Table, encoding=options.Encoder, execution=options.Execution)
def finetune(
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Manifest, or a folder with one sub-folder a class; without it the demo clinic.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    test_on: Annotated[
        list[str] | None,
        typer.Option(
            "--test-on",
            help="Test on this manifest too (its test split, or all where it has none); its patients are other people. "
            "Repeatable.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    corrupt: Annotated[
        list[str] | None,
        typer.Option(
            "--corrupt",
            help="Test on the own test photographs spoilt by illumination, blur, colour, jpeg, artefacts or field, "
            "with a strength of 1 to 5: blur:3. Repeatable.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="full, lp-ft, last-stage, bn-bias or lora, as name or name:parameter=value (rate, start; lora also "
            "rank, alpha); repeat for several (default: all).",
            show_default=False,
        ),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter",
            help="Frozen adapter to compare with, on the same photographs; repeatable; all for every one that learns "
            "from labelled photographs alone (default: those of adapt).",
            show_default=False,
        ),
    ] = None,
    adapters_from: options.AdaptersFrom = None,
    shots: Annotated[
        str, typer.Option("--shots", help="Photographs a class, as 4,16, or all; several as 16,all.")
    ] = "16",
    scenario: Annotated[str, typer.Option("--scenario", help="As in adapt.")] = "standard",
    allow_fewer: Annotated[
        bool,
        typer.Option("--allow-fewer", help="Take what there is where a class has fewer images than shots."),
    ] = False,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each method and shots.")] = 3,
    alphas: Annotated[
        str,
        typer.Option(
            "--alphas",
            help="Places on the straight path from the start (0) to the fine-tuned network (1) that are measured.",
        ),
    ] = "0,0.25,0.5,0.75,1",
    soup: Annotated[
        bool, typer.Option("--soup", help="Measure the mean of the seeds' networks, too.")
    ] = False,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="At most.")] = 20,
    train_batch: Annotated[int, typer.Option("--train-batch", min=1, help="Photographs a step.")] = 16,
    folds: Annotated[
        int,
        typer.Option(
            "--folds",
            help="One of so many folds of patients of the training rows is held out to choose the number of epochs; 0 "
            "trains for all.",
        ),
    ] = 5,
    augment: Annotated[
        bool, typer.Option("--augment/--no-augment", help="FLAIR's published augmentation.")
    ] = True,
    amp: Annotated[
        bool | None,
        typer.Option(
            "--amp/--no-amp",
            help="Train in bfloat16 (default: where the device has it). Measuring is in float32.",
            show_default=False,
        ),
    ] = None,
    prompts: Annotated[str, typer.Option("--prompts", help=options.PROMPTS)] = "expert",
    save: Annotated[
        bool,
        typer.Option("--save", help="Save each network's tower as a folder for --encoder, and its head."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for results, report and trainings (default: runs/ and a name of the data).",
            show_default=False,
        ),
    ] = None,
    table: dict[str, Any],
    encoding: dict[str, Any],
    execution: dict[str, Any],
) -> None:
    """Train an encoder's vision tower on labelled photographs, and measure it beside frozen adapters.

    It is a study (`study FILE` takes the same as methods, tests and [tuning]): one training gives rows of the own test
    photographs, of every --test-on and of every --corrupt. The same command goes on with a run that was stopped, at the
    last finished epoch. Its networks are not for `predict`: with --save, `adapt --encoder FOLDER` takes their towers.
    """
    from fewshot_flair.cli import show, tables, terminal
    from fewshot_flair.cli.parsing import command_line, parse_alphas, parse_shots, split_names
    from fewshot_flair.cli.steps import Shown
    from fewshot_flair.experiment.choices import data_name
    from fewshot_flair.experiment.design import Study
    from fewshot_flair.experiment.folder import folder_name
    from fewshot_flair.experiment.runner import run_study
    from fewshot_flair.experiment.spec import frozen_adapters
    from fewshot_flair.finetuning import list_finetuning
    from fewshot_flair.report.page import write_report

    table["classes"] = split_names(table["classes"])
    name = data_name(data or "demo")
    chosen = encoding.pop("encoder")
    study = Study.from_dict(
        {
            "name": f"fine-tuning on {name}",
            "question": "Is a fine-tuned encoder better than frozen adapters, where it was trained and elsewhere?",
            "data": [{"name": name, "manifest": data or "demo", **table}],
            "tests": [*(test_on or ()), *(corrupt or ())],
            "encoders": [{"name": chosen, **encoding}],
            "adapters": frozen_adapters(adapter),
            "methods": method or [known.name for known in list_finetuning()],
            "alphas": parse_alphas(alphas),
            "soup": soup,
            "shots": parse_shots(shots),
            "scenarios": [scenario],
            "seeds": seeds,
            "allow_fewer": allow_fewer,
            "prompts": [prompts],
            "tuning": {
                "epochs": epochs, "batch_size": train_batch, "folds": folds, "augment": augment, "amp": amp,
            },
            "save_networks": save,
        },
        "finetune",
    )  # fmt: skip
    out = out or Path("runs") / folder_name(f"finetune {name} {chosen} {shots}")
    console = terminal.console()
    with Shown(console, brief=True) as steps:
        results = run_study(study, out, steps=steps, command=command_line(), **execution)
        steps.doing("the report")
        write_report(results, folder=out)
    tables.elsewhere(console, results)
    show.written(console, results, out)
