"""From the labels of a table to categories: several columns, several names in a cell, and what they are mapped to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fewshot_flair.data.labels import loosely
from fewshot_flair.data.manifest import Manifest
from fewshot_flair.data.marked import listed_categories
from fewshot_flair.data.reading import manifest_path, read_table
from fewshot_flair.data.tables import SPLITS, Table, TableFormat
from fewshot_flair.errors import InputError
from fewshot_flair.text.knowledge import category_of
from fewshot_flair.words import counted, nearest

if TYPE_CHECKING:
    from fewshot_flair.pretraining.assembly import Assembly, SourceSet

__all__ = ["LabelledSet", "read_set"]

_ZERO_OR_ONE = {"0", "1", "0.0", "1.0", "False", "True", ""}
_ONE = {"1", "1.0", "True"}
_SEVERAL = "rows have several categories in a list"
"""How `Manifest.read` begins to say that it takes one category of several; here all of them count."""


@dataclass
class LabelledSet:
    """The photographs of one set with their categories.

    Attributes
    ----------
    manifest : Manifest
        Whose rows they are.
    rows : list of (int, list of str)
        Place in the manifest, and the categories, at least one.
    said : list of str
        What was guessed, left out or not in the dictionary.
    """

    manifest: Manifest
    rows: list[tuple[int, list[str]]]
    said: list[str] = field(default_factory=list)


def read_set(assembly: Assembly, source: SourceSet) -> LabelledSet:
    """Read one set of an assembly.

    Raises
    ------
    InputError
        If its table cannot be read (see `Manifest.read`), an entry of `concepts` is for no label of it, or no
        photograph has a category.
    """
    images = None if source.images is None else assembly.place(source.images)
    manifest = Manifest.read(
        assembly.place(source.manifest),
        images=images,
        image_column=source.image_column,
        patient_column=source.patient_column,
        encoding=source.encoding,
        sheet=source.sheet,
        scale=source.scale,
        skip_bad=source.skip_bad,
        labels_required=False,
        keep_repeats=True,
    )
    columns = source.category_columns or ["label"]
    tables = {
        column: _table(manifest, source, column, named=source.category_columns is not None)
        for column in columns
    }
    told = [text for text in manifest.remarks if not text.startswith(_SEVERAL)]
    mapping = _Mapping(source)
    rows, left, sides = [], Counter[str](), _sides(manifest, tables[columns[0]])
    marks = {
        column for column in columns if source.category_columns and mapping.marks(column, tables[column])
    }
    if marks:
        told.append(f"columns of 0 and 1, whose names are the categories: {', '.join(sorted(marks))}")
    cells = {column: dict(zip(t.rows, t.columns["label"], strict=True)) for column, t in tables.items()}
    frame = manifest.frame
    for i, (row, label) in enumerate(zip(frame["row"], frame["label"], strict=True)):
        found: dict[str, None] = {}
        labelled = False
        for column in columns:
            cell = cells[column].get(int(row), "") if row else label
            if column in marks:
                names = [column] if cell in _ONE else []
            else:
                listed = listed_categories(cell)
                names = listed if listed is not None else [cell] if cell else []
            own = label if source.category_columns is None and len(names) == 1 else None
            for name in names:
                labelled = True
                found |= dict.fromkeys(mapping.of(column, name, own))
        if sides[i] and sides[i] not in source.splits:
            left[f"on the {sides[i]} side"] += 1
        elif not found:
            left["of labels that concepts leaves out" if labelled else "without a label"] += 1
        else:
            rows.append((i, list(found)))
    mapping.check()
    if not rows:
        raise InputError(
            f"set {source.name!r} ({manifest.source}): no photograph has a category; name the columns that hold them "
            f"(category_columns), or other splits than {', '.join(source.splits)}"
        )
    told += [f"{counted(n, 'photograph')} {why} left out" for why, n in left.items()]
    if new := sorted({name for _, names in rows for name in names if category_of(name) is None}):
        told.append(
            f"not in the dictionary, so that the template and the name are their only texts: {', '.join(new)}"
        )
    return LabelledSet(manifest, rows, [f"{source.name}: {text}" for text in told])


def _table(manifest: Manifest, source: SourceSet, column: str, *, named: bool) -> Table:
    required = frozenset({"image", "label"} if named else {"image"})
    names = {"image": source.image_column, "label": column, "split": "split"}
    where = manifest_path(manifest.path)
    return read_table(
        where, TableFormat(names, required, source.encoding, source.sheet), labels_required=False
    )


def _sides(manifest: Manifest, table: Table) -> list[str]:
    """The side of each row as the table says it; the manifest calls a row without a label pool."""
    cells = table.columns.get("split") or [""] * len(table.rows)
    written = {row: SPLITS.get(cell.casefold(), "") for row, cell in zip(table.rows, cells, strict=True)}
    frame = manifest.frame
    return [
        written.get(int(row), "") if row else side
        for row, side in zip(frame["row"], frame["split"], strict=True)
    ]


class _Mapping:
    """What labels mean, and which entries were of use."""

    def __init__(self, source: SourceSet) -> None:
        self._source = source
        self._entries: Mapping[str, Sequence[str]] = {
            loosely(label): [
                category_of(name) or name for name in ([to] if isinstance(to, str) else to) if name
            ]
            for label, to in source.concepts.items()
        }
        self._unused = {loosely(label): label for label in source.concepts}
        self._labels: dict[str, None] = {}

    def of(self, column: str, *labels: str | None) -> Sequence[str]:
        """Categories of a label, given as it is written and, where that differs, as the manifest has it."""
        first = next(label for label in labels if label)
        self._labels[first] = None
        for label in filter(None, labels):
            for key in (loosely(f"{column}={label}"), loosely(label)):
                if key in self._entries:
                    self._unused.pop(key, None)
                    return self._entries[key]
        said = next(label for label in reversed(labels) if label)
        return [category_of(said) or said.replace("_", " ")]

    def marks(self, column: str, table: Table) -> bool:
        """Whether a column holds nothing but 0 and 1, and no entry says what these mean."""
        cells = set(table.columns["label"])
        keys = {loosely(f"{column}={cell}") for cell in cells} | {loosely(cell) for cell in cells if cell}
        return cells <= _ZERO_OR_ONE and not keys & set(self._entries)

    def check(self) -> None:
        """Raise InputError for entries that no row has."""
        if self._unused:
            label = next(iter(self._unused.values()))
            raise InputError(
                f"set {self._source.name!r}: concepts has {label!r}, which is no label of {self._source.manifest}; "
                f"{nearest(label, self._labels) or 'its labels are ' + ', '.join(map(repr, list(self._labels)[:10]))}"
            )
