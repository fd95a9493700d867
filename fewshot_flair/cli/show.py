"""What commands say of data: what was read, what is doubtful, what was written."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from rich.text import Text

from fewshot_flair.cli.terminal import plain, plain_table, say, under_title, warn
from fewshot_flair.data.grades import may_be_dr_grades, referable_grades
from fewshot_flair.data.labels import misspelling_hints
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from rich.console import Console

    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.provenance import Provenance
    from fewshot_flair.experiment.results import StudyResults
    from fewshot_flair.models.predictions import Predictions

__all__ = ["clinic", "decisions", "doubts", "predictions", "written"]

RENDERED = "rendered photographs, not real eyes"


def clinic(to: Console, encoded: Clinic) -> None:
    """What data and what encoder: patients, images, the tail of the classes, the fingerprint."""
    told = encoded.provenance
    note = f" [yellow]({RENDERED})[/]" if told.rendered else ""
    to.print(f"[bold]{plain(encoded.name)}[/]{note}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
    for split in ("train", "test"):
        table.add_column(split, justify="right")
    table.add_column("")
    n_classes = len(encoded.classes)
    train, test = (np.bincount(rows.y, minlength=n_classes) for rows in (encoded.train, encoded.test))
    for name, n_train, n_test in zip(encoded.classes, train, test, strict=True):
        bar = "█" * round(24 * n_train / max(1, train.max())) or "▏"
        table.add_row(plain(name), str(n_train), str(n_test), Text(bar, style="blue"))
    table.add_row("images", str(len(encoded.train)), str(len(encoded.test)), "", style="bold")
    patients = (told.train.patients, told.test.patients)
    table.add_row("patients", *("–" if n is None else str(n) for n in patients), "")
    to.print(table)
    dims = ", ".join(f"{kind} {width}" for kind, width in encoded.feature_dims.items())
    made = f"{dims}; fingerprint {told.encoder.fingerprint_id[:12]}"
    if told.brought:
        files = " and ".join(dict.fromkeys(Path(side.path).name for side in (told.train, told.test)))
        text = "with text prototypes" if encoded.text is not None else "without text prototypes"
        say(to, f"features of {files} ({made}), {text}", bold=files)
    else:
        how = f"{told.encoded} encoded now, {told.from_bank} from the bank"
        say(to, f"encoder {told.encoder.name} ({made}); features: {how}", bold=told.encoder.name)
    if not told.split_given:
        to.print(
            "[dim]the split was drawn here: 40 % of each class for testing, no patient parted, seed 0[/]"
        )


def doubts(to: Console, encoded: Clinic) -> None:
    """What may be wrong with the data, or was left out, merged or guessed."""
    told = encoded.provenance
    n_classes = len(encoded.classes)
    train, test = (np.bincount(rows.y, minlength=n_classes) for rows in (encoded.train, encoded.test))
    for text in [
        *_of_patients(told),
        *_of_classes(encoded.classes, train, test),
        *_of_twins(told),
        *told.remarks,
        *([f"{counted(len(told.skipped), 'row')} left out; run.json lists them"] if told.skipped else []),
        *_of_text(encoded),
    ]:
        warn(to, text)
    to.print()


def _of_patients(told: Provenance) -> Iterator[str]:
    if not told.names_patients:
        yield (
            "no patients are named, so each image counts as one: if both eyes of somebody are on two sides, the "
            "numbers flatter"
        )


def _of_twins(told: Provenance) -> Iterator[str]:
    if not told.twins:
        return
    n, (one, other) = len(told.twins), (Path(path).name for path in told.twins[0])
    if told.brought:
        rows = "test row is the very numbers of a training row"
        if n > 1:
            rows = "test rows are the very numbers of training rows"
        first = "" if n == 1 else "the first "
        yield f"{n} {rows}, {first}{other} of {one}: the same photograph on both sides, which flatters"
    elif n == 1:
        yield f"1 photograph is there under two names, {one} and {other}"
    else:
        yield f"{n} photographs are there under two names, the first as {one} and {other}"


def _of_text(encoded: Clinic) -> Iterator[str]:
    """What the user may not know to be so: classes that the dictionary lacks, and an order that is only A to Z."""
    told, classes = encoded.provenance, encoded.classes
    if encoded.text is not None and told.prompts == "expert":
        bare = [name for name, texts in told.descriptions.items() if len(texts) == 1]
        if bare:
            yield f"not in the expert-knowledge dictionary, so the text tower reads just the name of: {', '.join(bare)}"
    if encoded.text is not None and not told.brought and may_be_dr_grades(classes):
        yield (
            "labels 0 to 4 say nothing to the text tower; if they are grades of diabetic retinopathy, --scale dr "
            "gives them their names"
        )
    if len(classes) > 2 and not encoded.ordinal and not told.brought and classes == sorted(classes):
        yield "classes are in alphabetical order; if they are grades, give --classes in their order with --ordered"


def _of_classes(classes: Sequence[str], train: NDArray[np.int64], test: NDArray[np.int64]) -> Iterator[str]:
    """Classes that may be a slip of the pen, and classes that cannot be judged."""
    yield from misspelling_hints(dict(zip(classes, (train + test).tolist(), strict=True)))
    for name, n in zip(classes, test, strict=True):
        if not n:
            yield f"class {name!r} has no test images: nothing is said of how well it is found"


def predictions(to: Console, found: Predictions, classes: Sequence[str]) -> None:
    """How many of each class were predicted, and what could not be read."""
    counts = found.table["predicted"].value_counts()
    shown = plain_table()
    shown.add_column("predicted class", overflow="fold")
    shown.add_column("photographs", justify="right")
    for name in classes:
        shown.add_row(plain(name), str(int(counts.get(str(name), 0))))
    under_title(to, counted(int(counts.sum()), "photograph"), shown)
    decided = found.table["decision"].value_counts()
    if decided.get("refer", 0) or decided.get("answer", 0):
        referred = found.table.loc[found.table["decision"] == "refer", "reason"]
        why = referred.str.split(r"[;(]").str[0].str.strip().value_counts()
        say(to, f"{decided.get('answer', 0)} answered, {decided.get('refer', 0)} referred" + _of(why))
    told = {
        "quality": "there are no photographs",
        "typicality": "the training rows are not beside the adapter, or are all of one patient",
        "set": "there were too few training patients for folds",
    }
    for column, why_not in told.items():
        if counts.sum() and not found.table[column].replace("", None).notna().any():
            warn(to, f"{column} is empty, as {why_not}; no photograph is referred for it")
    trained = int(found.table["note"].str.startswith("was among the training").sum())
    if trained:
        warn(to, f"{trained} of them were among the training photographs; what is said of those is no test")
    for row in found.skipped:
        warn(to, f"left out {row.image}: {row.reason}")
    if found.passed_over:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(found.passed_over.items()))
        warn(to, f"passed over in the folders, as no image by their names: {kinds}")


def decisions(to: Console, results: StudyResults) -> None:
    """What the default adapter's answers are worth: operating point, and what it answers alone."""
    from fewshot_flair.report.deciding import decided

    record = results.record
    said = decided(record)
    for sentence in said:
        to.print(Text(sentence), soft_wrap=True)
    classes = list(record.clinics[0].train.counts)
    if said and not record.study["decision"]["positive"] and (names := referable_grades(classes)):
        text = f"--positive {shlex.quote(','.join(names))} measures referable diabetic retinopathy (moderate and worse)"
        to.print(Text(text, style="dim"), soft_wrap=True)
    if said:
        to.print()


def _of(counts: pd.Series) -> str:
    return f": {', '.join(f'{n} {reason}' for reason, n in counts.items())}" if len(counts) else ""


def written(to: Console, results: StudyResults, out: Path, *, report: bool = True) -> None:
    """What lies where, and the command that uses it, on one line as a shell takes it."""
    record = results.record
    names = ["results.csv", "run.json", "splits.csv"]
    names += ["report.html"] * report + ["test_predictions.csv", "adapters/"] * bool(record.saved)
    say(to, f"written to {out}: {', '.join(names)}", bold=str(out))
    if record.default_adapter is not None:
        brought = record.clinics[0].brought
        new = "FEATURES.npz" if brought else "PHOTOGRAPHS"
        command = f"fewshot-flair predict {shlex.quote(str(out))} {new} --out predictions.csv"
        of = "features of new photographs" if brought else "new photographs"
        say(to, f"on {of}: {command}", bold=command)
    to.print("[dim]A research tool, not a medical device.[/]")
