"""From a table's cells to a manifest's rows and classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.data.grades import class_order, is_known_order, stated_order
from fewshot_flair.data.tables import SPLITS, Table
from fewshot_flair.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ROLES", "classes_of", "frame_of"]

ROLES = ("image", "label", "patient_id", "eye", "split", "clinic")


def frame_of(table: Table, paths: list[Path], keep: list[int]) -> pd.DataFrame:
    """Put the kept rows of a table into a manifest's frame."""
    import pandas as pd

    empty = [""] * len(paths)
    columns: dict[str, list[Any]] = {
        role: [cells[i] for i in keep] for role in ROLES for cells in [table.columns.get(role, empty)]
    }
    columns["split"] = [SPLITS[side.casefold()] if side else "" for side in columns["split"]]
    columns["path"] = [str(paths[i]) for i in keep]
    columns["row"] = [table.rows[i] for i in keep]
    order = ["image", "path", "label", "patient_id", "eye", "split", "clinic", "row"]
    return pd.DataFrame(
        {name: pd.Series(columns[name], dtype=object if name != "row" else "int64") for name in order}
    )


def classes_of(
    frame: pd.DataFrame,
    table: Table,
    keep: list[int],
    classes: Sequence[str] | None,
    ordered: bool,
    order_column: str | None,
    source: str,
) -> tuple[list[str], bool]:
    """Order the classes as given, as a column states, or by what is known of them; and say if it is ordinal."""
    labels = [label for label in frame["label"] if label]
    if classes is not None:
        order = [str(name) for name in classes]
        if len(set(order)) < len(order):
            raise InputError(f"classes are {', '.join(order)}; each must be named once")
        return order, ordered or is_known_order(order)
    spelled: dict[str, str] = {}
    for label in labels:
        if spelled.setdefault(label.casefold(), label) != label:
            other = spelled[label.casefold()]
            raise InputError(
                f"{source}: labels {other!r} and {label!r} differ only in case; write one of them"
            )
    if order_column is None:
        order, known = class_order(labels)
        if ordered and not known:
            raise InputError(
                f"{source}: the order of {', '.join(order)} is not known; name the classes in theirs (--classes)"
            )
        return order, known
    ranked = [
        (table.columns["label"][i], table.columns["order"][i]) for i in keep if table.columns["label"][i]
    ]
    return stated_order(
        [label for label, _ in ranked], [rank for _, rank in ranked], order_column, source
    ), True
