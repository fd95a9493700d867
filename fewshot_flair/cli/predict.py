"""``fewshot-flair predict``: a saved adapter on new photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_flair.cli import options


@options.takes(listing=options.Listing, execution=options.Execution)
def predict(
    *,
    run: options.Run,
    photographs: Annotated[
        list[Path],
        typer.Argument(
            help="Image files, folders of them, or tables with the column image (and patient_id); or .npz files of "
            "features of the run's encoder.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Table to write (.csv, .tsv, .parquet, .xlsx): image, class, probabilities, decision …",
        ),
    ],
    adapter: options.SavedAdapter = None,
    adapters_from: options.AdaptersFrom = None,
    encoder: options.EncoderNow = None,
    text_encoder: Annotated[
        str | None,
        typer.Option(
            "--text-encoder", help="Where its text tower's files are now (FLAIR only).", show_default=False
        ),
    ] = None,
    prevalence: options.Prevalence = None,
    decide: Annotated[
        bool,
        typer.Option(
            help="Say for each photograph whether its answer stands (answer) or a person decides (refer)."
        ),
    ] = True,
    patients: Annotated[
        Path | None,
        typer.Option(
            "--patients",
            help="Second table, a row a patient; needs a table of photographs with the column patient_id.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", help="Page with small pictures, first what a person should look at.", show_default=False
        ),
    ] = None,
    maps: Annotated[
        bool,
        typer.Option(
            help="On the page, a second picture of each photograph: what spoke for its class (five passes more)."
        ),
    ] = True,
    listing: dict[str, Any],
    execution: dict[str, Any],
) -> None:
    """Classify new photographs with an adapter of an earlier run.

    Photographs that cannot be read are listed and left out; the exit status is then 1.
    """
    from dataclasses import replace

    from fewshot_flair.cli import show, terminal
    from fewshot_flair.cli.parsing import parse_prevalence
    from fewshot_flair.cli.steps import Shown
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.files import write_table
    from fewshot_flair.models.answers import patient_table
    from fewshot_flair.models.predictions import check_table
    from fewshot_flair.models.run import SavedModel
    from fewshot_flair.report.answers import check_page, shown_rows, write_answers
    from fewshot_flair.report.thumbnails import SIDE
    from fewshot_flair.words import counted

    console = terminal.console()
    model = SavedModel.open(run, adapter)
    check_table(out)
    check_page(html)
    if patients is not None:
        check_table(patients, ["patient", "photographs"], "a table of patients", option="--patients")
    how = Encoding(**execution)
    with Shown(console) as steps:
        found = model.predict(
            photographs,
            how,
            encoder=encoder,
            text_encoder=text_encoder,
            prevalence=parse_prevalence(prevalence),
            by_patient=patients is not None,
            listing=listing,
            steps=steps,
        )
    about = model.told(moved=prevalence is not None)
    terminal.say(console, about[0], bold=model.name)
    for sentence in about[1:]:
        terminal.say(console, sentence)
    show.predictions(console, found, model.classes)
    answered = found.table
    if not decide:
        found = replace(found, table=found.table.drop(columns=["decision", "reason"]))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_table(found.table, out, "%.6f", sheet="predictions")
    written = [out]
    if patients is not None and model.decision is not None:
        write_table(
            patient_table(replace(found, table=answered), model.decision), patients, "%.6f", sheet="patients"
        )
        written.append(patients)
    if html is not None:
        title = counted(len(found.table) - len(found.passed_over), "photograph")
        looked: dict[int, bytes] = {}
        if maps:
            from fewshot_flair.models.map_thumbnails import map_thumbnails

            moved = {"encoder": encoder, "text_encoder": text_encoder}
            shown = shown_rows(found.table)
            with Shown(console) as steps:
                looked, sentence = map_thumbnails(model, found, how, shown, side=SIDE, steps=steps, **moved)
            about += [sentence] * bool(sentence)
        written.append(write_answers(html, found.table, found.paths, title=title, told=about, maps=looked))
    names = ", ".join(map(str, written))
    terminal.say(console, f"written to {names}. A research tool, not a medical device.", bold=names)
    if found.skipped or found.passed_over:
        raise typer.Exit(1)
