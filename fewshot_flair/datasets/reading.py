"""The rows of a data set: from split tables of papers' repositories, or from the published layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_flair.data.checks import image_problems
from fewshot_flair.data.manifest import Manifest
from fewshot_flair.data.tables import SkippedRow
from fewshot_flair.datasets.checks import sides_told
from fewshot_flair.datasets.layouts import read_layout
from fewshot_flair.datasets.register import KnownSet, recognised
from fewshot_flair.errors import InputError
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["of_layout", "of_tables"]

NO_SIDES = (
    "the table names no sides: `adapt` draws a split of its own, and a study with folds needs none (for two tables "
    "give the other as --test-split)"
)
Found = tuple["pd.DataFrame", list[str], list[str], int]
"""Rows, photographs that were not found, what is to be said, and how many rows there are in all."""


def of_tables(known: KnownSet, root: Path, split: Path, test_split: Path | None) -> Found:
    """Read one split table, or two of which the second is of the test side."""
    import pandas as pd

    tables, missing, remarks, named = [], [], [], 0
    for table, side in ((split, "train"), (test_split, "test")):
        if table is None:
            continue
        read = _read(known, root, table)
        frame = read.frame.copy()
        frame["image"] = [below(path, root) for path in frame["path"]]
        if test_split is not None:
            frame["split"] = side
        tables.append(frame[["image", "label", "split", "patient_id"]])
        missing += [row.image for row in read.skipped if "is not there" in row.reason]
        remarks += _told(table, read)
        named += len(frame) + len(read.skipped)
    rows = pd.concat(tables, ignore_index=True)
    if test_split is not None:
        remarks += sides_told(rows, split, test_split)
    if repeats := int(rows["image"].duplicated().sum()):
        remarks.append(
            f"{counted(repeats, 'row')} kept that name a photograph again, as the table does; `adapt` leaves them out"
        )
    if not rows["split"].any():
        remarks.append(NO_SIDES)
    if other := [label for label in known.spellings if label in set(rows["label"])]:
        means = "; ".join(f"{label!r} is {known.spellings[label]!r}" for label in other)
        remarks.append(
            f"classes keep the split table's names, which are also what they say to the text tower: {means}"
        )
    return rows, missing, remarks, named


def _read(known: KnownSet, root: Path, table: Path) -> Manifest:
    other = recognised([table.stem])
    if other is not None and other is not known:
        raise InputError(
            f"{table.name} is a split table of {other.title}, not of {known.title}; "
            f"`fewshot-flair data prepare {other.name}` takes it"
        )
    try:
        return Manifest.read(
            table,
            images=root,
            classes=[*known.classes, *known.spellings] or None,
            skip_bad=True,
            keep_repeats=True,
        )
    except InputError as error:
        if "no usable row" not in str(error):
            raise
        mend = f"the classes of {known.title} are {', '.join(known.classes) or 'any'}"
        if "is not there" in str(error):
            mend = f"give the folder that holds the photographs, and not {root}"
        raise InputError(f"{error}; {mend}") from error


def _told(table: Path, read: Manifest) -> list[str]:
    """What is to be said of a table; that its paths begin above or below the folder is as it should be."""
    said = [f"{table.name}: {remark}" for remark in read.remarks if "their path says" not in remark]
    reasons: dict[str, list[SkippedRow]] = {}
    for row in read.skipped:
        if "is not there" not in row.reason:
            reasons.setdefault(row.reason, []).append(row)
    for reason, rows in reasons.items():
        first = f"row {rows[0].row}, {rows[0].image}"
        said.append(f"{table.name}: {counted(len(rows), 'row')} left out, the first {first}: {reason}")
    return said


def of_layout(known: KnownSet, root: Path) -> Found:
    """Read the published layout, or else the folder's own manifest.csv."""
    import pandas as pd

    own = root / "manifest.csv"
    try:
        if not known.parts:
            note = f" {known.note}" if known.note else ""
            raise InputError(
                f"{known.title}: its labels have no rule here; give a table (--split TABLE).{note}"
            )
        laid = read_layout(known, root)
    except InputError:
        if not own.is_file():
            raise
        rows, missing, remarks, named = of_tables(known, root, own, None)
        return (
            rows,
            missing,
            [f"not the published layout: {own} is taken as the table of labels", *remarks],
            named,
        )
    remarks = []
    broken = image_problems([row[0] for row in laid.rows])
    laid.missing += [below(row[0], root) for row, problem in zip(laid.rows, broken, strict=True) if problem]
    laid.rows = [row for row, problem in zip(laid.rows, broken, strict=True) if not problem]
    if laid.unlabelled:
        remarks.append(f"{counted(laid.unlabelled, 'photograph')} left out that no table of labels names")
    remarks += [f"{counted(n, 'row')} left out, as {why}" for why, n in laid.other.items()]
    if not laid.rows:
        raise InputError(
            f"{root}: none of the {len(laid.missing)} photographs that the tables of {known.title} name is there; "
            "give the folder that holds them"
        )
    rows = pd.DataFrame(laid.rows, columns=["image", "label", "split", "patient_id"], dtype=object)
    rows["image"] = [below(path, root) for path in rows["image"]]
    return rows, laid.missing, remarks, len(laid.rows) + len(laid.missing)


def below(path: str | Path, root: Path) -> str:
    """A path from the folder on."""
    return Path(path).relative_to(root).as_posix()
