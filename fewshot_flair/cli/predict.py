"""``fewshot-flair predict``: a saved adapter on new photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_flair.cli import options


@options.takes(execution=options.Execution)
def predict(
    *,
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
    out: Annotated[
        Path,
        typer.Option("--out", help="Table to write (.csv, .tsv, .parquet): image, class, probabilities."),
    ],
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter", help="One of the run's adapters (default: the run's own choice).", show_default=False
        ),
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
    text_encoder: Annotated[
        str | None,
        typer.Option(
            "--text-encoder", help="Where its text tower's files are now (FLAIR only).", show_default=False
        ),
    ] = None,
    prevalence: options.Prevalence = None,
    execution: dict[str, Any],
) -> None:
    """Classify new photographs with an adapter of an earlier run.

    Photographs that cannot be read are listed and left out; the exit status is then 1.
    """
    from fewshot_flair.cli import show, terminal
    from fewshot_flair.cli.parsing import parse_prevalence
    from fewshot_flair.cli.steps import Shown
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.files import write_table
    from fewshot_flair.models.predictions import check_table
    from fewshot_flair.models.run import SavedModel

    console = terminal.console()
    model = SavedModel.open(run, adapter)
    check_table(out)
    with Shown(console) as steps:
        found = model.predict(
            photographs,
            Encoding(**execution),
            encoder=encoder,
            text_encoder=text_encoder,
            prevalence=parse_prevalence(prevalence),
            steps=steps,
        )
    say = f"adapter {model.name}, fitted on {model.training_images} training images of {model.data}"
    terminal.say(console, say, bold=model.name)
    show.predictions(console, found, list(model.adapter.columns_))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_table(found.table, out, "%.6f")
    terminal.say(console, f"written to {out}. A research tool, not a medical device.", bold=str(out))
    if found.skipped or found.passed_over:
        raise typer.Exit(1)
