"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _use(files: list[Path] | None) -> list[Path] | None:
    if files:
        from fewshot_flair.adapters import use_adapters_from

        use_adapters_from(files)
    return files


AdaptersFrom = Annotated[
    list[Path] | None,
    typer.Option(
        "--adapters-from",
        help="Python file that registers adapters of your own (docs/adapters.md); it is run. Repeatable.",
        show_default=False,
        callback=_use,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        help="Text encoding of the manifest where it is not UTF-8 (Excel in Western Europe: cp1252).",
        show_default=False,
        rich_help_panel="Data",
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        "--images",
        help="Folder the manifest's image paths are relative to (default: the manifest's own folder).",
        show_default=False,
        rich_help_panel="Data",
    ),
]
ImageColumn = Annotated[
    str, typer.Option("--image-column", help="Column with the image's path.", rich_help_panel="Data")
]
LabelColumn = Annotated[
    str, typer.Option("--label-column", help="Column with the class.", rich_help_panel="Data")
]
PatientColumn = Annotated[
    str, typer.Option("--patient-column", help="Column with the patient.", rich_help_panel="Data")
]
Classes = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="Classes in their order, separated by commas; a name with a comma in double quotes "
        "(default: known grades, numbers, else A to Z).",
        show_default=False,
        rich_help_panel="Data",
    ),
]
Ordered = Annotated[
    bool,
    typer.Option(
        "--ordered",
        help="The order of --classes is one of grades (known for numbers and for diabetic retinopathy).",
        rich_help_panel="Data",
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Go on without bad rows; they are recorded in the results.", rich_help_panel="Data"
    ),
]
EncoderName = Annotated[
    str,
    typer.Option(
        "--encoder",
        help="mini, flair, another name of `fewshot-flair encoders`, or a folder or file with weights.",
        rich_help_panel="Encoder",
    ),
]
TextEncoder = Annotated[
    str | None,
    typer.Option(
        "--text-encoder",
        help="Hub id or folder of the text tower's tokenizer and configuration (FLAIR only).",
        show_default=False,
        rich_help_panel="Encoder",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Where features are kept (default: FEWSHOT_FLAIR_CACHE, else the user's cache folder).",
        show_default=False,
        rich_help_panel="Encoder",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Images a forward pass.",
        show_default="picked",
        rich_help_panel="Encoder",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Threads that decode and prepare.",
        show_default="picked",
        rich_help_panel="Encoder",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="float32 or bfloat16 of the network (default: float32; with --fast bfloat16 where the processor has it).",
        show_default=False,
        rich_help_panel="Encoder",
    ),
]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Decode large JPEGs at reduced size and compute in bfloat16: several times as fast, nearly the same.",
        rich_help_panel="Encoder",
    ),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.", rich_help_panel="Encoder")]
