"""From a folder that holds a public data set to a checked manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_flair.data.cards import ManifestCard, write_card
from fewshot_flair.data.checks import image_folder
from fewshot_flair.data.manifest import Manifest
from fewshot_flair.datasets.layouts import patient_of, read_layout
from fewshot_flair.datasets.pairs import find_pairs, pairs_told
from fewshot_flair.datasets.register import KnownSet, get_set
from fewshot_flair.errors import InputError
from fewshot_flair.files import sha256, write_table
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Prepared", "prepare_set"]

SIDES = ("train", "val", "test", "pool", "")
NO_SIDES = (
    "the split table names no sides: `adapt` draws a split of its own, and a study with folds needs none (for two "
    "tables give the other as --test-split)"
)


@dataclass
class Prepared:
    """What was prepared, and what the check found.

    Attributes
    ----------
    manifest : Path
        The table that was written: ``image`` (relative to `folder`), ``label``, ``split``, ``patient_id``.
    counts : dict of str to dict of str to int
        Photographs by class and side.
    missing : list of str
        Photographs that are named and were not found.
    pairs : DataFrame
        Photographs that are the same or nearly the same: ``image``, ``other``, ``likeness`` (1 for the same bytes),
        ``same_bytes``, ``labels_differ``, ``sides_differ``.
    remarks : list of str
        What was left out, guessed, or differs from what was published.
    """

    known: KnownSet
    folder: Path
    manifest: Path
    counts: dict[str, dict[str, int]]
    named: int
    missing: list[str]
    pairs: pd.DataFrame
    remarks: list[str] = field(default_factory=list)


def prepare_set(
    name: str,
    folder: str | Path,
    out: str | Path,
    *,
    split: str | Path | None = None,
    test_split: str | Path | None = None,
    near: bool = True,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Write the manifest of a public data set, and check it against what was published.

    Parameters
    ----------
    name : str
        As in the register (see `list_sets`).
    folder : path
        Holds the data set, with or without the leading folder that a split table's paths begin with.
    out : path
        The manifest to write (.csv); beside it a card (.json), which says where the photographs are, and where there
        are any a table of photographs that are alike (``-pairs.csv``).
    split, test_split : path, optional
        Split tables of papers' repositories, as they are; the second is of the test side, and the first then of the
        training side. By default the published layout says labels and sides.
    near : bool
        Whether photographs that are nearly the same are looked for, which decodes each.
    told : callable
        Told how many of how many photographs have been looked at.

    Raises
    ------
    InputError
        If the register has no such set, no photograph is found, or the set's labels have no rule here and no table
        was given.
    """
    known = get_set(name)
    out = Path(out)
    if out.suffix.lower() != ".csv":
        raise InputError(f"--out {out}: give the name of a CSV file, such as {known.name}.csv")
    root = image_folder(folder)
    if test_split and not split:
        raise InputError("--test-split goes with --split, the table of the training side")
    if split:
        rows, missing, remarks, named = _of_tables(
            known, root, Path(split), Path(test_split) if test_split else None
        )
    else:
        rows, missing, remarks, named = _of_layout(known, root)
    rows["patient_id"] = [
        patient or patient_of(image, known)
        for patient, image in zip(rows["patient_id"], rows["image"], strict=True)
    ]
    pairs = find_pairs(root, rows, near, told)
    remarks += _against_published(known, rows, named) + pairs_told(pairs)
    classes = _in_order(known, rows)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_table(rows[["image", "label", "split", "patient_id"]], out)
    if len(pairs):
        write_table(pairs, out.with_name(f"{out.stem}-pairs.csv"))
    write_card(
        out,
        ManifestCard(
            set=known.name,
            images=str(root),
            classes=classes,
            ordinal=known.ordinal,
            named=named,
            manifest=sha256(out.read_bytes()),
            source=known.source,
            licence=known.licence,
            citation=known.citation,
            remarks=remarks,
        ),
    )
    counts = {
        label: {
            side: n
            for side in SIDES
            if (n := int(((rows["label"] == label) & (rows["split"] == side)).sum()))
        }
        for label in classes
    }
    return Prepared(known, root, out, counts, named, missing, pairs, remarks)


def _of_tables(
    known: KnownSet, root: Path, split: Path, test_split: Path | None
) -> tuple[pd.DataFrame, list[str], list[str], int]:
    import pandas as pd

    tables, missing, remarks, named = [], [], [], 0
    for table, side in ((split, "train"), (test_split, "test")):
        if table is None:
            continue
        try:
            read = Manifest.read(
                table,
                images=root,
                classes=[*known.classes, *known.spellings] or None,
                skip_bad=True,
                keep_repeats=True,
            )
        except InputError as error:
            if "no usable row" not in str(error):
                raise
            raise InputError(
                f"{error}: none of its photographs is below {root}, or none of its labels is a class of {known.title} "
                f"({', '.join(known.classes) or 'any'}); give the folder that holds them"
            ) from error
        frame = read.frame.copy()
        frame["image"] = [_below(path, root) for path in frame["path"]]
        if test_split is not None:
            frame["split"] = side
        tables.append(frame[["image", "label", "split", "patient_id"]])
        missing += [row.image for row in read.skipped if "is not there" in row.reason]
        others = [row for row in read.skipped if "is not there" not in row.reason]
        remarks += [f"{table.name}: {said}" for said in read.remarks]
        remarks += [f"{table.name}, row {row.row}: left out: {row.image} {row.reason}" for row in others[:10]]
        if len(others) > 10:
            remarks.append(f"{table.name}: and {len(others) - 10} more rows left out")
        named += len(frame) + len(read.skipped)
    rows = pd.concat(tables, ignore_index=True)
    if not rows["split"].any():
        remarks.append(NO_SIDES)
    if other := [label for label in known.spellings if label in set(rows["label"])]:
        means = "; ".join(f"{label!r} is {known.spellings[label]!r}" for label in other)
        remarks.append(
            f"classes keep the split table's names, which are also what they say to the text tower: {means}"
        )
    return rows, missing, remarks, named


def _of_layout(known: KnownSet, root: Path) -> tuple[pd.DataFrame, list[str], list[str], int]:
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
        rows, missing, remarks, named = _of_tables(known, root, own, None)
        return (
            rows,
            missing,
            [f"not the published layout: {own} is taken as the table of labels", *remarks],
            named,
        )
    remarks = []
    if laid.unlabelled:
        remarks.append(f"{counted(laid.unlabelled, 'photograph')} left out that no table of labels names")
    remarks += [f"{counted(n, 'row')} left out, as {why}" for why, n in laid.other.items()]
    if not laid.rows:
        raise InputError(
            f"{root}: none of the {len(laid.missing)} photographs that the tables of {known.title} name is there; "
            "give the folder that holds them"
        )
    rows = pd.DataFrame(laid.rows, columns=["image", "label", "split", "patient_id"], dtype=object)
    rows["image"] = [_below(path, root) for path in rows["image"]]
    return rows, laid.missing, remarks, len(laid.rows) + len(laid.missing)


def _in_order(known: KnownSet, rows: pd.DataFrame) -> list[str]:
    """The labels that are there, as they are written, in the order of the set's classes."""
    written: list[str] = sorted(set(map(str, rows["label"])))
    place = {name: i for i, name in enumerate(known.classes)}
    place |= {other: place[name] for other, name in known.spellings.items()}
    return sorted(written, key=lambda label: place.get(label, len(place)))


def _below(path: str | Path, root: Path) -> str:
    return Path(path).relative_to(root).as_posix()


def _against_published(known: KnownSet, rows: pd.DataFrame, named: int) -> list[str]:
    """How the counts differ from what was published; of several that were, from the nearest."""
    if not known.counts:
        return ["no count was published to check against, or none is known here"]
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
    if differ:
        said.append(
            f"counts differ from {published.source}: {len(rows):,} photographs, not {total:,} ({'; '.join(differ)})"
        )
    return said
