"""From a folder that holds a public data set to a checked manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_flair.data.cards import ManifestCard, write_card
from fewshot_flair.data.checks import image_folder
from fewshot_flair.datasets.checks import check_out, classes_told, counts_told, in_order
from fewshot_flair.datasets.layouts import patient_of
from fewshot_flair.datasets.pairs import find_pairs, pairs_told
from fewshot_flair.datasets.reading import of_layout, of_tables
from fewshot_flair.datasets.register import KnownSet, get_set
from fewshot_flair.errors import InputError
from fewshot_flair.files import sha256, write_table
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Prepared", "prepare_set"]

SIDES = ("train", "val", "test", "pool", "")


@dataclass
class Prepared:
    """What was prepared, and what the check found.

    Attributes
    ----------
    known : KnownSet
    folder : Path
        Where the photographs are.
    named : int
        Rows that the tables, or the published layout, have in all.
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
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: there is no such folder; give the one that holds {known.title}")
    root = image_folder(folder)
    if test_split and not split:
        raise InputError("--test-split goes with --split, the table of the training side")
    check_out(out, [Path(table) for table in (split, test_split) if table])
    if split:
        rows, missing, remarks, named = of_tables(
            known, root, Path(split), Path(test_split) if test_split else None
        )
    else:
        rows, missing, remarks, named = of_layout(known, root)
    rows["patient_id"] = [
        patient or patient_of(image, known)
        for patient, image in zip(rows["patient_id"], rows["image"], strict=True)
    ]
    pairs, unread = find_pairs(root, rows, near, told)
    if unread:
        n = counted(len(unread), "photograph")
        remarks.append(f"{n} not to be looked at (damaged, or of one colour), the first {unread[0]}")
    remarks += classes_told(known, rows) + counts_told(known, rows, named) + pairs_told(pairs)
    classes = in_order(known, rows)
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
    held = Counter(zip(rows["label"], rows["split"], strict=True))
    counts = {label: {side: held[label, side] for side in SIDES if held[label, side]} for label in classes}
    return Prepared(known, root, out, counts, named, missing, pairs, remarks)
