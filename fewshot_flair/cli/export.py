"""``fewshot-flair export``: a saved adapter with its encoder as one ONNX graph, and its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fewshot_flair.cli import options


def export(
    run: options.Run,
    photographs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Photographs to check the graph on, or folders of them (default: test photographs of the run).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write to (default: RUN/export/ADAPTER).", show_default=False),
    ] = None,
    adapter: options.SavedAdapter = None,
    adapters_from: options.AdaptersFrom = None,
    encoder: options.EncoderNow = None,
) -> None:
    """Write an adapter and its encoder's image tower as one ONNX graph, with a model card beside it.

    The graph is compared with our own logits on photographs by ONNX Runtime; where they differ by more than 1e-4,
    nothing is written. Needs the extra `onnx`.
    """
    from fewshot_flair.cli import terminal
    from fewshot_flair.cli.steps import Shown
    from fewshot_flair.models.export import export_model

    console = terminal.console()
    with Shown(console) as steps:
        found = export_model(
            run, out, adapter=adapter, encoder=encoder, photographs=photographs or (), progress=steps.doing
        )
    say = (
        f"adapter {found.model}: logits differ from ours by at most {found.difference:.2g} on "
        f"{found.photographs} photographs (the largest logit is {found.largest_logit:.3g})"
    )
    terminal.say(console, say, bold=found.model)
    terminal.say(
        console,
        f"written to {found.folder}: model.onnx, model.json, card.html, card.json. "
        "A research tool, not a medical device.",
        bold=str(found.folder),
    )
