"""What is checked of a data set that is prepared, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_flair.data.cards import card_path, read_card
from fewshot_flair.datasets.register import KnownSet
from fewshot_flair.errors import InputError
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_out", "classes_told", "counts_told", "in_order", "sides_told"]


def check_out(out: Path, tables: Sequence[Path]) -> None:
    """Raise where `out` is a table that is read, or a file that was not written here."""
    if out.resolve() in {table.resolve() for table in tables}:
        raise InputError(f"--out {out}: this is the split table; give the manifest another name")
    for path in (out, card_path(out)):
        if path.exists() and read_card(out) is None:
            raise InputError(
                f"--out {out}: {path} is there and was not written by data prepare; give another name, or move it away"
            )


def sides_told(rows: pd.DataFrame, split: Path, test_split: Path) -> list[str]:
    """Whether the two tables look swapped; InputError where photographs are in both."""
    sides = {side: set(part["image"]) for side, part in rows.groupby("split")}
    if both := sorted(sides.get("train", set()) & sides.get("test", set())):
        raise InputError(
            f"{counted(len(both), 'photograph')} of {split.name} are in {test_split.name} too, the first {both[0]}; "
            "the two tables must name different ones"
        )
    if "test" in split.stem.lower() and "train" in test_split.stem.lower():
        return [f"{split.name} was taken for training and {test_split.name} for testing: are they swapped?"]
    return []


def classes_told(known: KnownSet, rows: pd.DataFrame) -> list[str]:
    """Which of the classes have no photograph."""
    there = {known.spellings.get(label, label) for label in rows["label"]}
    if len(there) == 1:
        return [f"there is only one class, {next(iter(there))}: adapters need two"]
    absent = [each for each in known.classes if each not in there]
    return [f"no photograph of {', '.join(absent)}"] if absent else []


def in_order(known: KnownSet, rows: pd.DataFrame) -> list[str]:
    """The labels that are there, as they are written, in the order of the set's classes."""
    written: list[str] = sorted(set(map(str, rows["label"])))
    place = {name: i for i, name in enumerate(known.classes)}
    place |= {other: place[name] for other, name in known.spellings.items()}
    return sorted(written, key=lambda label: place.get(label, len(place)))


def counts_told(known: KnownSet, rows: pd.DataFrame, named: int) -> list[str]:
    """How the counts differ from what was published; of several that were, from the nearest."""
    if not known.counts:
        return ["no published count is known here to check against"]
    found = Counter(known.spellings.get(label, label) for label in rows["label"])
    by_distance = sorted(
        known.counts,
        key=lambda counts: sum(abs(found[each] - counts.classes.get(each, 0)) for each in known.classes),
    )
    published = by_distance[0]
    total = sum(published.classes.values())
    said = []
    if named != total and dict(found) == published.classes:
        said.append(f"{named:,} photographs are named where {published.source} has {total:,}")
    differ = [
        f"{each} {found[each]:,}, not {n:,}"
        for each in known.classes
        if found[each] != (n := published.classes.get(each, 0))
    ]
    if not differ:
        said.append(f"the count of every class is that of {published.source}")
    else:
        said.append(
            f"counts differ from {published.source}: {len(rows):,} photographs, not {total:,} ({'; '.join(differ)})"
        )
    return said
