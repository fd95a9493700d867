"""What commands say of data: what was read, what is doubtful, what was written."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from rich.text import Text

from fewshot_flair.cli.terminal import plain, plain_table, say, under_title, warn
from fewshot_flair.data.grades import may_be_dr_grades, referable_grades
from fewshot_flair.data.labels import misspelling_hints
from fewshot_flair.experiment.folder import OF_SOME_RUNS
from fewshot_flair.words import agreeing, counted

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from rich.console import Console

    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.provenance import Provenance
    from fewshot_flair.experiment.results import StudyResults
    from fewshot_flair.images.quality.assessment import Quality
    from fewshot_flair.models.predictions import Predictions

__all__ = ["clinic", "decisions", "doubts", "passed_over", "predictions", "quality", "written"]

NAMED = 20
"""Bad photographs that are named on the screen."""
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


def doubts(to: Console, encoded: Clinic, *, named: bool = False) -> None:
    """What may be wrong with the data, or was left out, merged or guessed; with `named` by the data set's name."""
    before = f"{encoded.name}: " if named else ""
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
        warn(to, before + text)
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
        rows = agreeing(
            n, "is the very numbers of a training row,", "are the very numbers of training rows, the first"
        )
        yield f"{counted(n, 'test row')} {rows} {other} of {one}: the same photograph on both sides, which flatters"
    else:
        names = agreeing(n, "under two names,", "under two names, the first as")
        yield f"{counted(n, 'photograph', 'is', 'are')} there {names} {one} and {other}"


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
    kinds = len(found.passed_over)
    unanswered = len(found.table) - kinds - int(counts.sum())
    for reason, n in (
        ("no retina", unanswered - len(found.skipped)),
        ("left out", len(found.skipped)),
    ):
        if n:
            shown.add_row(f"none: {reason}", str(n), style="yellow")
    under_title(to, counted(len(found.table) - kinds, "photograph"), shown)
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
        was, those = agreeing(trained, "was", "were"), agreeing(trained, "it", "those")
        warn(
            to, f"{trained} of them {was} among the training photographs; what is said of {those} is no test"
        )
    for row in found.skipped:
        warn(to, f"left out {row.image}: {row.reason}")
    passed_over(to, found.passed_over)


def passed_over(to: Console, kinds: Mapping[str, int]) -> None:
    """Which other files the folders hold, by kind; nothing where there are none."""
    if kinds:
        named = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        names = agreeing(sum(kinds.values()), "its name", "their names")
        warn(to, f"passed over in the folders, as no image by {names}: {named}")


def quality(to: Console, paths: Sequence[Path], found: Sequence[Quality | str]) -> None:
    """How many photographs are good, and the others by name with what is wrong with them, the worst first."""
    from fewshot_flair.models.qualities import WORDS, note_of, word_of

    counts = Counter(map(word_of, found))
    table = plain_table()
    table.add_column("quality")
    table.add_column("photographs", justify="right")
    for word in WORDS:
        table.add_row(word, str(counts[word]))
    under_title(to, counted(len(found), "photograph"), table)
    bad = [(path, one) for path, one in zip(paths, found, strict=True) if word_of(one) != "good"]
    bad.sort(key=lambda pair: -WORDS.index(word_of(pair[1])))
    for path, one in bad[:NAMED]:
        warn(to, f"{word_of(one)}: {path}: {note_of(one)}")
    if len(bad) > NAMED:
        warn(to, f"and {len(bad) - NAMED:,} more; the table has all")


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
    names = [
        "results.csv",
        "run.json",
        "splits.csv",
        *(name for name in OF_SOME_RUNS if (out / name).is_file()),
    ]
    names += ["report.html"] * report + ["adapters/"] * bool(record.saved)
    say(to, f"written to {out}: {', '.join(names)}", bold=str(out))
    if record.study.get("save_networks") and (towers := sorted(out.glob("trainings/*/model/encoder"))):
        say(to, f"towers of networks, for --encoder: {', '.join(map(str, towers))}")
    if record.default_adapter is not None:
        brought = record.clinics[0].brought
        new = "FEATURES.npz" if brought else "PHOTOGRAPHS"
        command = f"fewshot-flair predict {shlex.quote(str(out))} {new} --out predictions.csv"
        of = "features of new photographs" if brought else "new photographs"
        say(to, f"on {of}: {command}", bold=command)
    to.print("[dim]A research tool, not a medical device.[/]")
