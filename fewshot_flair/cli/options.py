"""Options that several commands share, each declared once; a command takes whole groups of them.

The fields of `Table`, `Sides`, `Encoder` and `Decision` are those of `DataSet`, `EncoderChoice` and
`DecisionChoice`, so that a new one is declared here and there and reaches every command.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

__all__ = [
    "PROMPTS",
    "AdaptersFrom",
    "Cache",
    "Decision",
    "Encoder",
    "EncoderNow",
    "Execution",
    "Listing",
    "Prevalence",
    "Run",
    "SavedAdapter",
    "Sides",
    "Table",
    "takes",
]


def _option(name: str, text: str, panel: str | None, **settings: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel, **({"show_default": False} | settings))


def _data(name: str, text: str, **settings: Any) -> Any:
    return _option(name, text, "Data", **settings)


def _encoder(name: str, text: str, **settings: Any) -> Any:
    return _option(name, text, "Encoder", **settings)


def _use(files: list[Path] | None) -> list[Path] | None:
    if files:
        from fewshot_flair.adapters import use_adapters_from

        use_adapters_from(files)
    return files


PROMPTS = (
    "What classes say to the text tower: expert (the dictionary), names, or a file of the descriptions of each class, "
    '"class" = ["description", ...] in TOML or the same in JSON.'
)

AdaptersFrom = Annotated[
    list[Path] | None,
    _option(
        "--adapters-from",
        "Python file that registers adapters of your own (docs/adapters.md); it is run. Repeatable.",
        None,
        callback=_use,
    ),
]

Run = Annotated[
    Path,
    typer.Argument(help="Folder that `adapt` wrote, or one adapter's folder in it.", show_default=False),
]

SavedAdapter = Annotated[
    str | None, _option("--adapter", "One of the run's adapters (default: the run's own choice).", None)
]

EncoderNow = Annotated[
    str | None,
    _option(
        "--encoder",
        "Where the encoder is now, if it has moved since; it must be the one of the run.",
        None,
    ),
]

Cache = Annotated[
    Path | None,
    _encoder(
        "--cache", "Where features are kept (default: FEWSHOT_FLAIR_CACHE, else the user's cache folder)."
    ),
]


class Listing:
    """Where a table's photographs are, and how it is read."""

    images: Annotated[
        str | None,
        _data("--images", "Folder the table's image paths are relative to (default: the table's own)."),
    ] = None
    image_column: Annotated[
        str, _data("--image-column", "Column with the image's path.", show_default=True)
    ] = "image"
    patient_column: Annotated[
        str, _data("--patient-column", "Column with the patient.", show_default=True)
    ] = "patient_id"
    encoding: Annotated[
        str | None,
        _data(
            "--encoding",
            "Text encoding of the table where it is not UTF-8 (Excel in Western Europe: cp1252).",
        ),
    ] = None
    sheet: Annotated[
        str | None, _data("--sheet", "Sheet of a workbook, where several have such columns.")
    ] = None


class Table(Listing):
    """How a table of labelled photographs is read."""

    classes: Annotated[
        str | None,
        _data(
            "--classes",
            "Classes in their order, separated by commas; a name with a comma in double quotes "
            "(default: known grades, numbers, else A to Z).",
        ),
    ] = None
    ordered: Annotated[
        bool,
        _data(
            "--ordered",
            "The order of --classes is one of grades (known for numbers and for diabetic retinopathy).",
        ),
    ] = False
    label_column: Annotated[str, _data("--label-column", "Column with the class.", show_default=True)] = (
        "label"
    )
    scale: Annotated[
        str | None,
        _data(
            "--scale",
            "dr: labels 0 to 4 are grades of the International Clinical Diabetic Retinopathy scale, by whose names "
            "the text tower knows them.",
        ),
    ] = None
    skip_bad: Annotated[
        bool, _data("--skip-bad", "Go on without bad rows; they are recorded in the results.")
    ] = False


class Sides:
    """Where photographs to test on and photographs without labels are."""

    test_on: Annotated[
        str | None,
        _data("--test-on", "Test on this manifest instead (its test split, or all where it has none)."),
    ] = None
    test_images: Annotated[
        str | None, _data("--test-images", "Folder that the paths of --test-on are relative to.")
    ] = None
    other_patients: Annotated[
        bool,
        _data("--other-patients", "The patients of --test-on are other people even where identifiers agree."),
    ] = False
    pool: Annotated[
        str | None,
        _data(
            "--pool",
            "Photographs without labels to learn from (a manifest or a folder), beside the rows without a label; "
            "for adapters that can, as ss-text-u.",
        ),
    ] = None
    pool_images: Annotated[
        str | None, _data("--pool-images", "Folder that the paths of --pool are relative to.")
    ] = None
    transductive: Annotated[
        bool,
        _data(
            "--transductive",
            "Learn from the test photographs too, without their labels: they are the pool. Results say so.",
        ),
    ] = False
    on_leak: Annotated[
        str,
        _data(
            "--on-leak",
            "Where a photograph is on both sides: refuse, or drop-train to go on without the training one.",
            show_default=True,
        ),
    ] = "refuse"


class Encoder:
    """Which encoder, and how it computes."""

    encoder: Annotated[
        str,
        _encoder(
            "--encoder",
            "mini, flair, another name of `fewshot-flair encoders`, or a folder or file with weights.",
            show_default=True,
        ),
    ] = "mini"
    text_encoder: Annotated[
        str | None,
        _encoder(
            "--text-encoder",
            "Hub id or folder of the text tower's tokenizer and configuration (FLAIR only).",
        ),
    ] = None
    precision: Annotated[
        str | None,
        _encoder(
            "--precision",
            "float32 or bfloat16 of the network (default: float32; with --fast bfloat16 where the processor has it).",
        ),
    ] = None
    engine: Annotated[
        str,
        _encoder(
            "--engine",
            "torch, or onnxruntime or openvino, which compute in float32 on the processor (need an extra).",
            show_default=True,
        ),
    ] = "torch"
    fast: Annotated[
        bool,
        _encoder(
            "--fast",
            "Decode large JPEGs at reduced size and compute in bfloat16: several times as fast, nearly the same.",
        ),
    ] = False


def _decision(name: str, text: str, **settings: Any) -> Any:
    return _option(name, text, "Decision", **settings)


Prevalence = Annotated[
    str | None,
    _decision(
        "--prevalence",
        "The classes' shares where photographs come from, as a=0.7,b=0.3, or estimate: from the photographs at hand. "
        "Probabilities are moved to it.",
    ),
]


class Decision:
    """What is made of the probabilities of saved adapters."""

    positive: Annotated[
        str | None,
        _decision(
            "--positive",
            "Classes that are positive together, separated by commas, as the referable grades (default: of two "
            "classes the second).",
        ),
    ] = None
    operating_point: Annotated[
        str | None,
        _decision(
            "--operating-point",
            "sensitivity=0.9 or specificity=0.95: the threshold that reaches it on training rows, out of fold.",
        ),
    ] = None
    prevalence: Prevalence = None
    max_error: Annotated[
        float,
        _decision(
            "--max-error",
            "Error of the answers that nobody need look at; the less sure are referred.",
            show_default=True,
        ),
    ] = 0.05
    alpha: Annotated[
        float,
        _decision(
            "--alpha",
            "Share of true classes that the sets of predict may miss (conformal sets, cross).",
            show_default=True,
        ),
    ] = 0.1
    calibration: Annotated[
        str,
        _decision(
            "--calibration",
            "temperature, which never changes the likeliest class; class-wise, which leans to common classes; none.",
            show_default=True,
        ),
    ] = "temperature"


class Execution:
    """Where and with what the work is done, which changes no result."""

    cache: Cache = None
    batch_size: Annotated[
        int | None, _encoder("--batch-size", "Images a forward pass.", min=1, max=4096, show_default="picked")
    ] = None
    workers: Annotated[
        int | None,
        _encoder("--workers", "Threads that decode and prepare.", min=1, max=1024, show_default="picked"),
    ] = None
    device: Annotated[str, _encoder("--device", "cpu, cuda or cuda:N.", show_default=True)] = "cpu"


def takes(**groups: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of groups; each group comes to it as one dict, under the group's keyword."""

    def give(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command).parameters
        hints = {name: hint for name, hint in _hints(command).items() if name in own and name not in groups}
        defaults = {name: own[name].default for name in hints}
        names = {key: list(_hints(group)) for key, group in groups.items()}
        for group in groups.values():
            hints |= _hints(group)
            defaults |= {name: getattr(group, name) for name in _hints(group)}

        @functools.wraps(command)
        def run(**given: Any) -> Any:
            parts = {key: {name: given.pop(name) for name in listed} for key, listed in names.items()}
            return command(**given, **parts)

        run.__annotations__ = hints
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=hint
                )
                for name, hint in hints.items()
            ]
        )
        return run

    return give


def _hints(thing: Any) -> dict[str, Any]:
    return {k: v for k, v in get_type_hints(thing, include_extras=True).items() if k != "return"}
