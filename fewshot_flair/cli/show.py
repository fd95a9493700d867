"""What commands print, with rich: what was read, how it went, how good it is."""

from __future__ import annotations

import json
import shlex
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

from fewshot_flair.report.wording import counted, with_interval

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from fewshot_flair.experiment.adaptation import Adaptation
    from fewshot_flair.experiment.clinic import EncodedClinic
    from fewshot_flair.experiment.scoring import Outcome

__all__ = [
    *("adaptation", "as_json", "clinic", "console", "extraction"),
    *("plain_table", "predictions", "rendering", "status", "under_title", "written"),
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
    from fewshot_flair.experiment.imported import FEATURES

    data, encoder = encoded.provenance["data"], encoded.provenance["encoder"]
    extraction, skipped = encoded.provenance["extraction"], encoded.provenance["skipped"]
    note = f" [yellow]({RENDERED})[/]" if data["rendered"] else ""
    to.print(f"[bold]{escape(encoded.name)}[/]{note}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
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
        to.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)
    if twins := encoded.provenance["twins"]:
        one, other = (Path(path).name for path in twins[0])
        to.print(
            f"[yellow]{escape(_twins(len(twins), one, other, encoder['name'] == FEATURES))}[/]",
            soft_wrap=True,
        )
    if skipped:
        to.print(
            f"[yellow]{counted(len(skipped), 'bad row')} skipped; run.json lists them[/]", soft_wrap=True
        )
    for hint in _hints(encoded):
        to.print(f"[yellow]{escape(hint)}[/]", soft_wrap=True)
    to.print()


def _twins(n: int, one: str, other: str, brought: bool) -> str:
    if brought:
        rows = (
            "test row is the very numbers of a training row"
            if n == 1
            else ("test rows are the very numbers of training rows")
        )
        first = f"{other} of {one}" if n == 1 else f"the first {other} of {one}"
        return f"{n} {rows}, {first}: the same photograph on both sides, which flatters"
    if n == 1:
        return f"1 photograph is there under two names, {one} and {other}"
    return f"{n} photographs are there under two names, the first as {one} and {other}"


def _hints(encoded: EncodedClinic) -> Iterator[str]:
    """What the user may not know to be so: classes that the dictionary lacks, and an order that is only A to Z."""
    from fewshot_flair.experiment.imported import FEATURES
    from fewshot_flair.text.knowledge import descriptions

    classes = encoded.classes
    if encoded.text is not None and encoded.provenance["prompts"] == "expert":
        bare = [name for name in classes if len(descriptions(name)) == 1]
        if bare:
            yield f"not in the expert-knowledge dictionary, so the text tower reads just the name of: {', '.join(bare)}"
    brought = encoded.provenance["encoder"]["name"] == FEATURES
    if len(classes) > 2 and not encoded.ordinal and not brought and classes == sorted(classes):
        yield "classes are in alphabetical order; if they are grades, give --classes in their order with --ordered"


def _doubts(classes: Sequence[str], train: NDArray[np.int64], test: NDArray[np.int64]) -> Iterator[str]:
    """Classes that may be a slip of the pen, and classes that cannot be judged."""
    from difflib import get_close_matches

    for i, name in enumerate(classes):
        larger = [other for j, other in enumerate(classes) if train[j] + test[j] > 5 * (train[i] + test[i])]
        near = get_close_matches(name, larger, n=1, cutoff=0.93)
        if near and train[i] + test[i] < 4:
            yield f"class {name!r} has {counted(int(train[i] + test[i]), 'image')}; is it {near[0]!r}, misspelt?"
        elif not test[i]:
            yield f"class {name!r} has no test images: nothing is said of how well it is found"


def adaptation(to: Console, done: Adaptation) -> None:
    """The main table, the curve where there are several shots, and what the best gets wrong."""
    for shots in done.shots:
        _main_table(to, done, shots)
    if len(done.shots) > 1:
        _curve_table(to, done)
    for note in dict.fromkeys(note for outcome in done.outcomes.values() for note in outcome.notes):
        to.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)
    best = done.best()
    _recall_table(to, done, best)
    _confusion_table(to, done, best)


def predictions(to: Console, table: pd.DataFrame, classes: Sequence[str], skipped: Sequence[Any]) -> None:
    """How many of each class were predicted, and what could not be read."""
    counts = table["predicted"].value_counts()
    shown = plain_table()
    shown.add_column("predicted class", overflow="fold")
    shown.add_column("photographs", justify="right")
    for name in classes:
        shown.add_row(escape(str(name)), str(int(counts.get(str(name), 0))))
    under_title(to, counted(len(table), "photograph"), shown)
    for row in skipped:
        to.print(f"[yellow]left out[/] {escape(row.image)}: {escape(row.reason)}", soft_wrap=True)


def written(to: Console, paths: Sequence[Path], out: Path) -> None:
    """What lies where, and the command that uses it, on one line as a shell takes it."""
    from fewshot_flair.experiment.folder import read_run
    from fewshot_flair.experiment.imported import FEATURES

    brought = read_run(out)["encoder"]["name"] == FEATURES
    to.print(
        f"written to [bold]{escape(str(out))}[/]: results.csv, run.json, "
        f"{', '.join(path.name for path in paths if path.suffix == '.png')}, adapters/",
        soft_wrap=True,
    )
    new = "FEATURES.npz" if brought else "PHOTOGRAPHS"
    command = f"fewshot-flair predict {shlex.quote(str(out))} {new} --out predictions.csv"
    of = "features of new photographs" if brought else "new photographs"
    to.print(f"on {of}: [bold]{escape(command)}[/]", soft_wrap=True)
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
    first = next(outcome for (k, _), outcome in done.outcomes.items() if k == shots)
    table = plain_table()
    table.add_column("adapter", overflow="fold")
    table.add_column("balanced\naccuracy\n(95 % over\nseeds)", justify="right")
    unit = "images" if done.clinic.provenance["data"]["test"]["patients"] is None else "patients"
    table.add_column(f"95 % over\ntest\n{unit}", justify="right")
    table.add_column("accuracy", justify="right")
    if done.clinic.ordinal:
        table.add_column("quadratic\nkappa", justify="right")
    table.add_column("ms a\nfit", justify="right")
    best = done.best().adapter.label
    for (k, label), outcome in done.outcomes.items():
        if k != shots:
            continue
        low, high = outcome.patient_interval
        cells = [
            escape(label),
            with_interval(*_interval(outcome, "balanced_accuracy")),
            f"{100 * low:.1f} to {100 * high:.1f}",
            f"{100 * _interval(outcome, 'accuracy')[0]:.1f}",
        ]
        if done.clinic.ordinal:
            cells.append(_number(_interval(outcome, "quadratic_kappa")[0]))
        cells.append(f"{1000 * outcome.fit_seconds:.2f}")
        table.add_row(*cells, style="bold green" if label == best and k == done.shots[-1] else None)
    counts = done.support[shots]
    each = " ".join(str(a) if a == b else f"{a}–{b}" for a, b in counts)
    noun = "image" if set(counts) == {(1, 1)} else "images"
    draws = counted(len(first.rows), "draw")
    title = f"{counted(shots, 'shot')}, {done.scenario} scenario: {each} {noun} per class, {draws} (%)"
    under_title(to, title, table)


def _curve_table(to: Console, done: Adaptation) -> None:
    table = plain_table()
    table.add_column("adapter", overflow="fold")
    for shots in done.shots:
        table.add_column(str(shots), justify="right")
    for label in dict.fromkeys(label for _, label in done.outcomes):
        means = [_interval(done.outcomes[shots, label], "balanced_accuracy")[0] for shots in done.shots]
        table.add_row(escape(label), *(f"{100 * mean:.1f}" for mean in means))
    under_title(to, "balanced accuracy, %, by shots", table)


def _recall_table(to: Console, done: Adaptation, best: Outcome) -> None:
    table = plain_table()
    table.add_column("class", overflow="fold")
    for column in ("test images", "recall", "middle 90 %\nof draws", "specificity"):
        table.add_column(column, justify="right", overflow="fold")
    n_test = np.bincount(done.clinic.test.y, minlength=len(done.clinic.classes))
    for name, n in zip(done.clinic.classes, n_test, strict=True):
        recall = np.array([row[f"recall_{name}"] for row in best.rows])
        found = ["–", "–"]
        if n:
            low, high = np.quantile(recall, [0.05, 0.95])
            found = [f"{recall.mean():.0%}", f"{low:.0%} to {high:.0%}"]
        specificity = _interval(best, f"specificity_{name}")[0]
        table.add_row(escape(name), str(n), *found, "–" if np.isnan(specificity) else f"{specificity:.0%}")
    under_title(to, f"what {best.adapter.label} finds ({counted(done.shots[-1], 'shot')})", table)


def _confusion_table(to: Console, done: Adaptation, best: Outcome) -> None:
    classes = done.clinic.classes
    if len(classes) > 10:
        return
    table = plain_table()
    table.add_column("true \\ predicted", overflow="fold")
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
    under_title(to, "confusion matrix: share of each true class (row) predicted as (column)", table)


def plain_table() -> Table:
    """An empty table as all commands show them; its title stands above it (`under_title`)."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def under_title(to: Console, title: str, table: Table) -> None:
    """Print a title on a line of its own, which rich would fold into the table's width, and the table."""
    to.print(Text(title, style="bold"), soft_wrap=True)
    to.print(table)


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
