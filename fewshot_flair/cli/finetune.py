"""``fewshot-flair finetune``: train the encoder itself, and measure it here and elsewhere."""

from __future__ import annotations

import time
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
            help="Folder for results.csv and trainings (default: runs/ and a name of the data).",
            show_default=False,
        ),
    ] = None,
    table: dict[str, Any],
    encoding: dict[str, Any],
    execution: dict[str, Any],
) -> None:
    """Train an encoder's vision tower on labelled photographs, and measure it beside frozen adapters.

    One training gives rows of the own test photographs, of every --test-on and of every --corrupt. The same command
    goes on with a run that was stopped, at the last finished epoch. Its networks are not for `predict` yet: with
    --save, `adapt --encoder FOLDER` takes their towers.
    """
    from fewshot_flair.cli import finetune_table, terminal
    from fewshot_flair.cli.parsing import command_line, parse_alphas, parse_shots, split_names
    from fewshot_flair.cli.progress import Bar
    from fewshot_flair.cli.steps import extraction
    from fewshot_flair.experiment.choices import DataSet, EncoderChoice, data_name
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.experiment.folder import folder_name
    from fewshot_flair.experiment.spec import AdapterSpec, frozen_adapters
    from fewshot_flair.finetuning import (
        TuningPlan,
        TuningSettings,
        create_finetuning,
        list_finetuning,
        run_finetuning,
    )

    table["classes"] = split_names(table["classes"])
    named = [
        AdapterSpec.parse(text, "method") for text in method or [known.name for known in list_finetuning()]
    ]
    name = data_name(data or "demo")
    plan = TuningPlan(
        data=DataSet(name=name, manifest=data or "demo", **table),
        methods=[create_finetuning(each.name, **each.params) for each in named],
        encoder=EncoderChoice(name=encoding.pop("encoder"), **encoding),
        test_on=test_on or (),
        corruptions=corrupt or (),
        adapters=frozen_adapters(adapter),
        shots=parse_shots(shots),
        scenario=scenario,
        allow_fewer=allow_fewer,
        seeds=seeds,
        alphas=parse_alphas(alphas),
        soups=soup,
        prompts=prompts,
        settings=TuningSettings(epochs=epochs, batch_size=train_batch, folds=folds, augment=augment, amp=amp),
        save=save,
    )
    out = out or Path("runs") / folder_name(f"finetune {name} {plan.encoder.name} {shots}")
    console = terminal.console()
    errors = terminal.stderr(console)
    cache = execution.pop("cache")
    left = _Left()

    def tell(training: str, done: int, total: int, text: str) -> None:
        bar.tell(done, total, f"{training}: {text}{left.told(training, total - done, text)}")

    with Bar(errors, "trainings") as bar:
        results = run_finetuning(
            plan,
            out,
            how=Encoding(cache=Path(cache) if cache else None, **execution),
            extracting=lambda side: extraction(errors, side),
            shown=tell,
            said=lambda text: terminal.warn(errors, text),
            command=command_line(),
        )
    finetune_table.show(console, results)
    terminal.say(console, f"results: {out / 'results.csv'}; trainings/ beside it")


class _Left:
    """How long all trainings will take, by those that this call trained; the others were read in no time."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.spent: list[float] = []

    def told(self, training: str, trainings: int, text: str) -> str:
        from fewshot_flair.cli.progress import clock

        if text != "measured":
            self.began.setdefault(training, time.monotonic())
        elif training in self.began:
            self.spent.append(time.monotonic() - self.began.pop(training))
        if not self.spent:
            return ""
        return f", {clock(trainings * sum(self.spent) / len(self.spent))} left in all"
