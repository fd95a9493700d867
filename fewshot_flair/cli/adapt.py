"""``fewshot-flair adapt``: adapt a frozen encoder to a clinic's photographs and say how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fewshot_flair.cli import options


def adapt(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Manifest (CSV, TSV, Parquet), a folder with one sub-folder a class, or an .npz of features and "
            "labels as the papers' code caches them; without it the demo clinic, which is rendered.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    images: options.Images = None,
    test_on: Annotated[
        Path | None,
        typer.Option(
            "--test-on",
            help="Test on this manifest instead (its test split, or all of it where it has none).",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    test_images: Annotated[
        Path | None,
        typer.Option(
            "--test-images",
            help="Folder that the paths of --test-on are relative to.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    other_patients: Annotated[
        bool,
        typer.Option(
            "--other-patients",
            help="The patients of --test-on are other people even where identifiers agree.",
            rich_help_panel="Data",
        ),
    ] = False,
    classes: options.Classes = None,
    ordered: options.Ordered = False,
    image_column: options.ImageColumn = "image",
    label_column: options.LabelColumn = "label",
    patient_column: options.PatientColumn = "patient_id",
    encoding: options.Encoding = None,
    skip_bad: options.SkipBad = False,
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
    unlabelled: Annotated[
        int,
        typer.Option(
            "--unlabelled",
            min=0,
            help="Training images an episode to use without their labels (adapters that can: ss-text-u).",
        ),
    ] = 0,
    encoder: options.EncoderName = "mini",
    text_encoder: options.TextEncoder = None,
    cache: options.Cache = None,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    precision: options.Precision = None,
    fast: options.Fast = False,
    device: options.Device = "cpu",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for results, pictures and adapters (default: runs/ and a name made of the setting).",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON instead of tables.")
    ] = False,
) -> None:
    """Adapt a frozen encoder to a clinic's labelled photographs, and say how good it is.

    Photographs are encoded once and kept; adapters are fitted on few-shot support sets of the training
    rows and judged on the test rows, which no fit ever sees.
    """
    from rich.markup import escape

    from fewshot_flair.adapters import get_adapter_class
    from fewshot_flair.cli import show
    from fewshot_flair.cli.parsing import parse_shots, split_names
    from fewshot_flair.episodes import EpisodeSampler
    from fewshot_flair.experiment.adaptation import (
        DEFAULT_ADAPTERS,
        WITHOUT_TEXT,
        draw_supports,
        run_adaptation,
        usable_adapters,
    )
    from fewshot_flair.experiment.design import DataSet, EncoderChoice, data_name
    from fewshot_flair.experiment.encoding import prepare_clinic, read_manifests
    from fewshot_flair.experiment.folder import check_out, folder_name, write_run
    from fewshot_flair.experiment.imported import FEATURES, holds_features
    from fewshot_flair.experiment.scoring import AdapterSpec

    console = show.console(quiet=as_json)
    shot_counts = parse_shots(shots)
    specs = [AdapterSpec.parse(text) for text in adapter or DEFAULT_ADAPTERS]
    # unknown names are said before anything is rendered or encoded
    usable_adapters(specs, has_text=True)
    EpisodeSampler(shot_counts[0], scenario, protocol=protocol)
    if data and holds_features(data) and encoder == "mini":
        encoder = FEATURES
    name = data_name(str(data) if data else "demo")
    out = out or Path("runs") / folder_name(f"{name}-{encoder}-{scenario}-{shots}")
    check_out(out)
    if (out / "run.json").is_file():
        console.print(f"[yellow]the earlier run in {escape(str(out))} will be replaced[/]", soft_wrap=True)
    described = DataSet(
        name=name + (f", tested on {data_name(str(test_on))}" if test_on else ""),
        manifest=str(data) if data else "demo",
        images=str(images) if images else None,
        test_on=str(test_on) if test_on else None,
        test_images=str(test_images) if test_images else None,
        classes=split_names(classes),
        ordered=ordered,
        image_column=image_column,
        label_column=label_column,
        patient_column=patient_column,
        encoding=encoding,
        skip_bad=skip_bad,
        other_patients=other_patients,
    )
    chosen = EncoderChoice(name=encoder, text_encoder=text_encoder, precision=precision, fast=fast)
    with show.rendering(console) as progress:
        manifests = read_manifests(described, progress=progress)
    if manifests is not None:  # too few images are said before they are encoded
        train = manifests[0]
        draw_supports(
            train.y,
            train.classes,
            shot_counts,
            scenario,
            1,
            protocol=protocol,
            allow_fewer=allow_fewer,
            unlabelled=unlabelled,
        )
    with show.extraction(console, encoder) as progress:
        clinic = prepare_clinic(
            described,
            chosen,
            manifests,
            cache=cache,
            device=device,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
            before=lambda has_text: usable_adapters(specs, has_text=has_text),
        )
    usable, left_out = usable_adapters(specs, has_text=clinic.text is not None)
    if clinic.text is None and not adapter:
        usable += [AdapterSpec(name) for name in WITHOUT_TEXT]
    show.clinic(console, clinic)
    if not clinic.provenance["data"]["split_given"]:
        console.print(
            "[dim]the split was drawn here: 40 % of each class for testing, no patient parted, seed 0[/]\n"
        )
    if left_out:
        labels = ", ".join(spec.label for spec in left_out)
        console.print(f"[yellow]left out, as {encoder} has no text: {labels}[/]\n", soft_wrap=True)
    if not unlabelled:
        for spec in usable:
            if get_adapter_class(spec.name).uses_unlabeled:
                console.print(f"[yellow]{spec.label} gets no unlabelled images: give --unlabelled N[/]\n")
    with show.status(console) as tell:
        adaptation = run_adaptation(
            clinic,
            usable,
            shots=shot_counts,
            scenario=scenario,
            seeds=seeds,
            protocol=protocol,
            allow_fewer=allow_fewer,
            unlabelled=unlabelled,
            device=device,
            progress=tell,
        )
        tell("pictures and adapters")
        settings = {
            "data": described.model_dump(),
            "encoder": chosen.model_dump() | {"device": device},
            "shots": shot_counts,
            "scenario": scenario,
            "seeds": list(range(seeds)),
            "protocol": protocol,
            "allow_fewer": allow_fewer,
            "unlabelled": unlabelled,
            "adapters": [{"name": spec.name, "params": spec.params} for spec in usable],
            "left_out": [spec.label for spec in left_out],
        }
        written = write_run(adaptation, out, settings, device)
    if as_json:
        show.as_json(adaptation, out)
        return
    show.adaptation(console, adaptation)
    show.written(console, written, out)
