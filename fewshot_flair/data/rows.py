"""From a table's cells to a manifest's rows and classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.data.grades import class_order, grade_names, is_known_order, stated_order
from fewshot_flair.data.labels import Spellings, patient_name, spell
from fewshot_flair.data.lookalikes import alike, told
from fewshot_flair.data.tables import SPLITS, Table
from fewshot_flair.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ROLES", "classes_of", "frame_of", "tidy"]

ROLES = ("image", "label", "patient_id", "eye", "split", "clinic")


def tidy(
    table: Table, classes: Sequence[str] | None, scale: str | None, source: str
) -> tuple[Spellings, int]:
    """Write every class and every patient of a table in one way.

    Returns
    -------
    merged : dict
        By class, its spellings, where there were several (see `spell`).
    no_patient : int
        How many rows named ``NA``, ``unknown`` or the like as patient.
    """
    labels, merged = spell(table.columns["label"], None if scale else classes)
    if scale is not None:
        if scale != "dr":
            raise InputError(f"scale {scale!r} is not known; the only one is 'dr', of diabetic retinopathy")
        names = grade_names(labels, source) | {"": ""}
        labels, merged = (
            [names[label] for label in labels],
            {names[name]: how for name, how in merged.items()},
        )
    table.columns["label"] = labels
    written = table.columns.get("patient_id", [])
    name_of = {patient: patient_name(patient) for patient in set(written)}
    table.columns["patient_id"] = [name_of[patient] for patient in written] or [""] * len(labels)
    return merged, sum(1 for patient in written if patient and not name_of[patient])


def frame_of(table: Table, paths: list[Path], keep: list[int]) -> pd.DataFrame:
    """Put the kept rows of a table into a manifest's frame; rows without a label are of the pool."""
    import pandas as pd

    empty = [""] * len(paths)
    columns: dict[str, list[Any]] = {
        role: [cells[i] for i in keep] for role in ROLES for cells in [table.columns.get(role, empty)]
    }
    sides = [SPLITS[side.casefold()] if side else "" for side in columns["split"]]
    columns["split"] = [
        "pool" if not label and side in ("", "train") else side
        for label, side in zip(columns["label"], sides, strict=True)
    ]
    columns["path"] = [str(paths[i]) for i in keep]
    columns["row"] = [table.rows[i] for i in keep]
    order = ["image", "path", "label", "patient_id", "eye", "split", "clinic", "row"]
    return pd.DataFrame(
        {name: pd.Series(columns[name], dtype=object if name != "row" else "int64") for name in order}
    )


def classes_of(
    table: Table,
    keep: list[int],
    classes: Sequence[str] | None,
    ordered: bool,
    order_column: str | None,
    source: str,
) -> tuple[list[str], bool]:
    """Order the classes as given, as a column states, or by what is known of them; and say if it is ordinal.

    Raises
    ------
    InputError
        If a class is named twice, labels are `alike`, or an order is asked for and
        not known.
    """
    if classes is not None:
        order = [str(name) for name in classes]
        if len(set(order)) < len(order):
            raise InputError(f"classes are {', '.join(order)}; each must be named once")
        if unseen := [name for name in order if not name.isprintable() or not name.strip()]:
            raise InputError(
                f"class {unseen[0]!r} has a name that cannot be shown; write it in plain letters"
            )
        return order, ordered or is_known_order(order)
    labels = [label for i in keep if (label := table.columns["label"][i])]
    if pairs := alike(labels):
        raise InputError(
            f"{source}: labels {told(pairs)} read alike (they differ only in case, spaces, signs or character forms); "
            "write one of them in every row, or name both in --classes if they are two classes"
        )
    if order_column is None:
        order, known = class_order(labels)
        if ordered and not known:
            raise InputError(
                f"{source}: the order of {', '.join(order)} is not known; name the classes in theirs (--classes)"
            )
        return order, known
    ranks = [table.columns["order"][i] for i in keep if table.columns["label"][i]]
    return stated_order(labels, ranks, order_column, source), True
