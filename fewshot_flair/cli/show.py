"""What commands print, with rich: what was read, how it went, how good it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from fewshot_flair.studies.adaptation import Adaptation
    from fewshot_flair.studies.clinic import EncodedClinic
    from fewshot_flair.studies.evaluate import Outcome
    from fewshot_flair.studies.summary import Entry
    from fewshot_flair.studies.tables import StudyResults

__all__ = [
    *("adaptation", "as_json", "clinic", "console", "extraction"),
    *("predictions", "rendering", "status", "study", "written"),
]

RENDERED = "rendered photographs, not real eyes"
SHORT_NAME = 8
"""Class names of at most so many characters head the columns of a confusion matrix themselves."""


def console(*, quiet: bool = False) -> Console:
    """Where tables go; with `quiet` nowhere, as the answer is JSON."""
    return Console(quiet=quiet, highlight=False)


@contextmanager
def rendering(to: Console) -> Iterator[Any]:
    """Tells how far the rendering of the demo clinic is, the first time; nothing afterwards."""
    from rich.progress import Progress

    bar = Progress(console=_stderr(to), transient=True)
    task: Any = None

    def tell(done: int, total: int) -> None:
        nonlocal task
        if task is None:
            bar.start()
            task = bar.add_task("rendering the demo clinic", total=total)
        bar.update(task, completed=done)

    try:
        yield tell
    finally:
        if task is not None:
            bar.stop()


def extraction(to: Console, name: str) -> AbstractContextManager[Any]:
    """The progress bar of an extraction, on standard error."""
    from fewshot_flair.cli import progress

    return progress.extraction(_stderr(to), name)


@contextmanager
def status(to: Console) -> Iterator[Callable[[str], None]]:
    """A spinner on standard error that tells what is being done."""
    with _stderr(to).status("fitting") as spinner:
        yield lambda text: spinner.update(f"fitting {escape(text)}")


def _stderr(to: Console) -> Console:
    return Console(stderr=True, highlight=False, quiet=to.quiet)


def clinic(to: Console, encoded: EncodedClinic) -> None:
    """What data and what encoder: patients, images, the tail of the classes, the fingerprint."""
    from fewshot_flair.studies.imported import FEATURES

    data, encoder = encoded.provenance["data"], encoded.provenance["encoder"]
    extraction, skipped = encoded.provenance["extraction"], encoded.provenance["skipped"]
    note = f" [yellow]({RENDERED})[/]" if data["rendered"] else ""
    to.print(f"[bold]{escape(encoded.name)}[/]{note}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class")
    for split in ("train", "test"):
        table.add_column(split, justify="right")
    table.add_column("")
    n_classes = len(encoded.classes)
    train, test = (np.bincount(rows.y, minlength=n_classes) for rows in (encoded.train, encoded.test))
    for name, n_train, n_test in zip(encoded.classes, train, test, strict=True):
        bar = "█" * round(24 * n_train / max(1, train.max())) or "▏"
        table.add_row(escape(name), str(n_train), str(n_test), Text(bar, style="blue"))
    table.add_row("images", str(len(encoded.train)), str(len(encoded.test)), "", style="bold")
    patients = [data[split]["patients"] for split in ("train", "test")]
    table.add_row("patients", *("–" if n is None else str(n) for n in patients), "")
    to.print(table)
    dims = ", ".join(f"{kind} {width}" for kind, width in encoded.feature_dims.items())
    made = f"{dims}; fingerprint {encoder['fingerprint_id'][:12]}"
    if encoder["name"] == FEATURES:
        files = dict.fromkeys(Path(data[split]["path"]).name for split in ("train", "test"))
        text = "with text prototypes" if encoded.text is not None else "without text prototypes"
        to.print(f"features of [bold]{escape(' and '.join(files))}[/] ({made}), {text}", soft_wrap=True)
    else:
        how = f"{extraction['encoded']} encoded now, {extraction['from_bank']} from the bank"
        to.print(f"encoder [bold]{escape(encoder['name'])}[/] ({made}); features: {how}", soft_wrap=True)
    if None in patients:
        to.print(
            "[yellow]no patients are named, so each image counts as one: if both eyes of somebody are on two "
            "sides, the numbers flatter[/]",
            soft_wrap=True,
        )
    for warning in _doubts(encoded.classes, train, test):
        to.print(f"[yellow]{escape(warning)}[/]")
    if twins := encoded.provenance["twins"]:
        one, other = (escape(Path(path).name) for path in twins[0])
        if encoder["name"] == FEATURES:
            said = f"{len(twins)} test rows are the very numbers of training rows, the first {other} of {one}: the "
            said += "same photograph on both sides, which flatters"
        else:
            said = f"{len(twins)} photographs are there under two names, the first as {one} and {other}"
        to.print(f"[yellow]{said}[/]", soft_wrap=True)
    if skipped:
        to.print(f"[yellow]{len(skipped)} bad rows skipped; run.json lists them[/]")
    to.print()


def _doubts(classes: Sequence[str], train: NDArray[np.int64], test: NDArray[np.int64]) -> Iterator[str]:
    """Classes that may be a slip of the pen, and classes that cannot be judged."""
    from difflib import get_close_matches

    for i, name in enumerate(classes):
        larger = [other for j, other in enumerate(classes) if train[j] + test[j] > 5 * (train[i] + test[i])]
        near = get_close_matches(name, larger, n=1, cutoff=0.93)
        if near and train[i] + test[i] < 4:
            yield f"class {name!r} has {train[i] + test[i]} images; is it {near[0]!r}, misspelt?"
        elif not test[i]:
            yield f"class {name!r} has no test images: nothing is said of how well it is found"


def adaptation(to: Console, done: Adaptation) -> None:
    """The main table, the curve where there are several shots, and what the best gets wrong."""
    for shots in done.shots:
        _main_table(to, done, shots)
    if len(done.shots) > 1:
        _curve_table(to, done)
    for note in dict.fromkeys(note for outcome in done.outcomes.values() for note in outcome.notes):
        to.print(f"[yellow]{escape(note)}[/]")
    best = done.best()
    _recall_table(to, done, best)
    _confusion_table(to, done, best)


def predictions(to: Console, table: pd.DataFrame, classes: Sequence[str], skipped: Sequence[Any]) -> None:
    """How many of each class were predicted, and what could not be read."""
    counts = table["predicted"].value_counts()
    shown = titled(f"{len(table)} photographs")
    shown.add_column("predicted class")
    shown.add_column("photographs", justify="right")
    for name in classes:
        shown.add_row(escape(str(name)), str(int(counts.get(str(name), 0))))
    to.print(shown)
    for row in skipped:
        to.print(f"[yellow]left out[/] {escape(row.image)}: {escape(row.reason)}")


def written(to: Console, paths: Sequence[Path], out: Path) -> None:
    """What lies where, and the command that uses it."""
    to.print(
        f"written to [bold]{escape(str(out))}[/]: results.csv, run.json, "
        f"{', '.join(path.name for path in paths if path.suffix == '.png')}, adapters/"
    )
    command = f"fewshot-flair predict {out} PHOTOGRAPHS --out predictions.csv"
    to.print(f"on new photographs: [bold]{escape(command)}[/]")
    to.print("[dim]A research tool, not a medical device.[/]")


def as_json(done: Adaptation, out: Path) -> None:
    """The summary as JSON on standard output."""
    best = done.best()
    summary = {
        **{key: done.clinic.provenance[key] for key in ("data", "extraction", "skipped")},
        "encoder": {k: done.clinic.provenance["encoder"][k] for k in ("name", "fingerprint_id")},
        "classes": done.clinic.classes,
        "scenario": done.scenario,
        "results": [_summary_row(outcome, shots) for (shots, _), outcome in done.outcomes.items()],
        "best_adapter": best.adapter.label,
        "confusion_of_best": best.confusion.tolist(),
        "out": str(out),
    }
    Console(highlight=False).print_json(json.dumps(summary, allow_nan=False, ensure_ascii=False))


def _summary_row(outcome: Outcome, shots: int) -> dict[str, Any]:
    from fewshot_flair.evaluation import METRICS

    row: dict[str, Any] = {"adapter": outcome.adapter.label, "shots": shots, "seeds": len(outcome.rows)}
    for key in METRICS:
        mean, low, high = _interval(outcome, key)
        row[key] = {"mean": _known(mean), "low": _known(low), "high": _known(high)}
    row["balanced_accuracy_over_patients"] = list(outcome.patient_interval)
    row["recall"] = {
        key.removeprefix("recall_"): _known(_interval(outcome, key)[0])
        for key in outcome.rows[0]
        if key.startswith("recall_")
    }
    row["fit_seconds"] = outcome.fit_seconds
    return row


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _interval(outcome: Outcome, key: str) -> tuple[float, float, float]:
    from fewshot_flair.evaluation import interval_over_seeds

    return interval_over_seeds([row[key] for row in outcome.rows])


def _main_table(to: Console, done: Adaptation, shots: int) -> None:
    counts = [str(a) if a == b else f"{a}–{b}" for a, b in done.support[shots]]
    first = next(outcome for (k, _), outcome in done.outcomes.items() if k == shots)
    table = titled(
        f"{shots} shots, {done.scenario} scenario: {' '.join(counts)} images per class, "
        f"{len(first.rows)} draws"
    )
    table.add_column("adapter")
    table.add_column("balanced accuracy\n(95 % over seeds)", justify="right")
    unit = "images" if done.clinic.provenance["data"]["test"]["patients"] is None else "patients"
    table.add_column(f"95 % over\ntest {unit}", justify="right")
    table.add_column("accuracy", justify="right")
    if done.clinic.ordinal:
        table.add_column("quadratic\nkappa", justify="right")
    table.add_column("ms a fit", justify="right")
    best = done.best().adapter.label
    for (k, label), outcome in done.outcomes.items():
        if k != shots:
            continue
        low, high = outcome.patient_interval
        cells = [
            escape(label),
            _percent_interval(*_interval(outcome, "balanced_accuracy")),
            f"{100 * low:.1f} to {100 * high:.1f}",
            f"{100 * _interval(outcome, 'accuracy')[0]:.1f}",
        ]
        if done.clinic.ordinal:
            cells.append(_number(_interval(outcome, "quadratic_kappa")[0]))
        cells.append(f"{1000 * outcome.fit_seconds:.2f}")
        table.add_row(*cells, style="bold green" if label == best and k == done.shots[-1] else None)
    to.print(table)


def _curve_table(to: Console, done: Adaptation) -> None:
    table = titled("balanced accuracy by shots")
    table.add_column("adapter")
    for shots in done.shots:
        table.add_column(str(shots), justify="right")
    for label in dict.fromkeys(label for _, label in done.outcomes):
        means = [_interval(done.outcomes[shots, label], "balanced_accuracy")[0] for shots in done.shots]
        table.add_row(escape(label), *(f"{100 * mean:.1f}" for mean in means))
    to.print(table)


def _recall_table(to: Console, done: Adaptation, best: Outcome) -> None:
    table = titled(f"what {escape(best.adapter.label)} finds ({done.shots[-1]} shots)")
    table.add_column("class")
    for column in ("test images", "recall", "middle 90 % of draws", "specificity"):
        table.add_column(column, justify="right")
    n_test = np.bincount(done.clinic.test.y, minlength=len(done.clinic.classes))
    for name, n in zip(done.clinic.classes, n_test, strict=True):
        recall = np.array([row[f"recall_{name}"] for row in best.rows])
        if not n:
            table.add_row(escape(name), "0", "–", "–", "–")
            continue
        low, high = np.quantile(recall, [0.05, 0.95])
        specificity = _interval(best, f"specificity_{name}")[0]
        table.add_row(
            escape(name),
            str(n),
            f"{recall.mean():.0%}",
            f"{low:.0%} to {high:.0%}",
            "–" if np.isnan(specificity) else f"{specificity:.0%}",
        )
    to.print(table)


def _confusion_table(to: Console, done: Adaptation, best: Outcome) -> None:
    classes = done.clinic.classes
    if len(classes) > 10:
        return
    table = titled("confusion matrix: share of each true class (row) predicted as (column)")
    table.add_column("true \\ predicted")
    short = all(len(name) <= SHORT_NAME for name in classes)
    for number, name in enumerate(classes, 1):
        table.add_column(escape(name) if short else str(number), justify="right")
    for number, (name, row) in enumerate(zip(classes, best.confusion, strict=True), 1):
        total = row.sum()
        cells = []
        for column, value in enumerate(row, 1):
            share = value / total if total else float("nan")
            style = "bold green" if column == number else ("red" if share >= 0.2 else "dim")
            cells.append(Text("–" if not total else f"{share:.0%}", style=style))
        table.add_row(escape(name if short else f"{number} {name}"), *cells)
    to.print(table)


def titled(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _percent_interval(mean: float, low: float, high: float) -> str:
    if np.isnan(low) or high == low:
        return f"{100 * mean:.1f}"
    return f"{100 * mean:.1f} ± {100 * (high - low) / 2:.1f}"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def study(to: Console, results: StudyResults) -> None:
    """The study's main tables: balanced accuracy by shots; green is best, bold is not told from it."""
    from fewshot_flair.studies.summary import blocks

    for block in blocks(results):
        for scenario in dict.fromkeys(name for name, _ in block.columns):
            table = titled(f"{escape(block.title)}, {escape(scenario)}: balanced accuracy, %, by shots")
            table.add_column("adapter")
            columns = [column for column in block.columns if column[0] == scenario]
            for _, shots in columns:
                table.add_column(str(shots), justify="right")
            for adapter in block.adapters:
                table.add_row(
                    escape(adapter), *(_entry(block.entries[adapter, column]) for column in columns)
                )
            to.print(table)


def _entry(entry: Entry) -> Text:
    style = "bold green" if entry.best else "bold" if entry.tied else ""
    return Text("–" if np.isnan(entry.mean) else f"{100 * entry.mean:.1f}", style=style)
