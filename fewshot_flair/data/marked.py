"""Labels in other forms than one name a row: several categories in a cell, or a column of 0 and 1 for each class.

Split tables of papers' repositories have them: ``categories`` holds a Python list (jusiro/FLAIR), or every class has
a column (jusiro/SS-Text-U, jusiro/FCA).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fewshot_flair.data.labels import loosely
from fewshot_flair.data.tables import SkippedRow, Table
from fewshot_flair.errors import InputError
from fewshot_flair.words import counted

__all__ = ["Settled", "listed_categories", "settle_labels"]

MOST_CHARACTERS = 10_000
_ONE = {"1", "1.0", "True"}


@dataclass(frozen=True)
class Settled:
    """What came of a table's labels.

    Attributes
    ----------
    classes : list of str or None
        In the order of their columns, where each class has one; else as they were given.
    left_out : list of SkippedRow
        Rows of none of the classes.
    said : list of str
        A sentence on what was done; empty where the labels were names already.
    """

    classes: list[str] | None
    left_out: list[SkippedRow] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def settle_labels(table: Table, classes: Sequence[str] | None, source: str) -> Settled:
    """Write one label a row into a table whose labels have another form, and say how.

    A row of no class is left out, as the papers' code does, and one of several is bad.

    Parameters
    ----------
    classes : sequence of str, optional
        The classes of the task: of several categories in a row the one that is among them is the label, and
        only their columns count.

    Raises
    ------
    InputError
        If there is no label in any of these forms.
    """
    order = list(classes) if classes is not None else None
    if table.no_label:
        return _of_columns(table, order, source)
    return _of_lists(table, order)


def _of_columns(table: Table, classes: list[str] | None, source: str) -> Settled:
    called = {name: name for name in table.marks} if classes is None else _called(table.marks, classes)
    if len(called) < 2:
        raise InputError(table.no_label)
    rows = list(zip(*(table.marks[name] for name in called), strict=True))
    marked = [[called[name] for name, cell in zip(called, row, strict=True) if cell in _ONE] for row in rows]
    shown = ", ".join(map(repr, list(called)[:20]))
    if sum(len(found) == 1 for found in marked) * 2 < len(rows):
        raise InputError(
            f"{table.no_label}; columns {shown} hold 0 and 1, but most rows are not of exactly one of them: "
            "name those that are the classes (--classes)"
        )
    table.marks, table.no_label = {}, ""
    unmarked = {i for i, row in enumerate(rows) if not any(row)}
    left_out = _keep(table, marked, unmarked, "columns of the classes")
    # the columns' order is that of the table's author
    said = [f"the label is the column that holds 1, of {shown}", *_told(left_out)]
    return Settled(classes or list(called), left_out, said)


def _of_lists(table: Table, classes: list[str] | None) -> Settled:
    cells = table.columns["label"]
    lists = {cell: listed_categories(cell) for cell in {*cells} if cell}
    if not lists or None in lists.values():
        return Settled(classes)
    several = any(len(found) > 1 for found in lists.values() if found)
    said = []
    if classes is None:
        if several:
            said = [
                "rows have several categories in a list: the first is taken as the label; for another task name its "
                "classes (--classes)"
            ]
        lists = {cell: found[:1] for cell, found in lists.items() if found is not None}
    elif several:
        said = ["rows have several categories in a list: the one that is among the classes is taken"]
    found = [lists.get(cell) or [] for cell in cells]
    unlabelled = {i for i, own in enumerate(found) if not own}
    if classes is not None:
        found = [list(dict.fromkeys(_called(own, classes).values())) for own in found]
    left_out = _keep(table, found, unlabelled, "categories")
    return Settled(classes, left_out, said + _told(left_out))


def _keep(table: Table, found: list[list[str]], unlabelled: set[int], where: str) -> list[SkippedRow]:
    """Leave the rows of one class, and those without a label; give those of none, and make those of several bad."""
    labels, left_out = {}, []
    for i, classes in enumerate(found):
        named = table.columns["image"][i]
        if len(classes) == 1 or i in unlabelled:
            labels[i] = classes[0] if classes else ""
        elif classes:
            reason = f"is of several classes by its {where}: {', '.join(map(repr, classes[:5]))}; leave one"
            table.bad.append(SkippedRow(table.rows[i], named, reason))
        else:
            left_out.append(SkippedRow(table.rows[i], named, f"is of none of the classes by its {where}"))
    table.rows = [table.rows[i] for i in labels]
    table.columns = {
        role: [cells[i] for i in labels] if cells else cells for role, cells in table.columns.items()
    }
    table.columns["label"] = list(labels.values())
    if table.files is not None:
        table.files = [table.files[i] for i in labels]
    return left_out


def _told(left_out: list[SkippedRow]) -> list[str]:
    return [f"{counted(len(left_out), 'row')} of none of the classes left out"] if left_out else []


def _called(names: Iterable[str], classes: Sequence[str]) -> dict[str, str]:
    """Those of names that are classes, and how the class is spelt."""
    spelt = {loosely(name): name for name in classes}
    return {name: spelt[plain] for name in names if (plain := loosely(name)) in spelt}


def listed_categories(cell: str) -> list[str] | None:
    """The texts of a Python list; None where a cell is none."""
    if not (cell.startswith("[") and cell.endswith("]")) or len(cell) > MOST_CHARACTERS:
        return None
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        return None
    return [text.strip() for text in found if text.strip()]
