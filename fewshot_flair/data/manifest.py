"""The manifest: which images there are, their labels, patients and sides."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.data.cards import ManifestCard, read_card
from fewshot_flair.data.checks import (
    BadRowsError,
    Rules,
    bad_rows,
    find_images,
    image_folder,
    parted_patients,
    repeats,
    unlabelled_tests,
)
from fewshot_flair.data.marked import settle_labels
from fewshot_flair.data.notes import remarks
from fewshot_flair.data.reading import manifest_path, read_table
from fewshot_flair.data.rows import ROLES, classes_of, frame_of, tidy
from fewshot_flair.data.splits import joined_groups, patient_split
from fewshot_flair.data.tables import SkippedRow, TableFormat
from fewshot_flair.errors import InputError
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Manifest"]


@dataclass(frozen=True, eq=False)
class Manifest:
    """A data set as its owner wrote it down; features and episodes are views on its rows.

    Made by `Manifest.read`; `split`, `take` and `with_split` give manifests of the same classes.

    Attributes
    ----------
    path : Path
        The file or folder it was read from.
    classes : list of C str
        Class names in the order of the classifier's columns.
    ordinal : bool
        True where that order was stated, is numeric or is that of a known grading scale.
    frame : pandas.DataFrame of n rows
        Columns ``image`` (as written), ``path`` (absolute), ``label``, ``patient_id``, ``eye``, ``split``
        (train, test, val, pool, or empty), ``clinic`` and ``row`` (the header is row 1; 0 in a folder).
        What the file does not say is an empty string. Rows without a label are the pool.
    skipped : list of SkippedRow
        Rows left out: bad ones because ``skip_bad`` said so, and rows to test on without a label.
    remarks : list of str
        A sentence on each thing that was guessed, merged, taken as no patient, or left out.
    split_given : bool
        False where the split was drawn by `with_split`.
    card : ManifestCard or None
        What ``fewshot-flair data prepare`` wrote beside it.
    """

    path: Path
    classes: list[str]
    ordinal: bool
    frame: pd.DataFrame
    skipped: list[SkippedRow]
    remarks: list[str] = field(default_factory=list)
    split_given: bool = True
    card: ManifestCard | None = None

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        images: str | Path | None = None,
        image_column: str = "image",
        label_column: str = "label",
        patient_column: str = "patient_id",
        eye_column: str = "eye",
        split_column: str = "split",
        clinic_column: str = "clinic",
        order_column: str | None = None,
        classes: Sequence[str] | None = None,
        ordered: bool = False,
        skip_bad: bool = False,
        check_images: bool = True,
        labels_required: bool = True,
        encoding: str | None = None,
        sheet: str | None = None,
        scale: str | None = None,
        keep_repeats: bool = False,
    ) -> Manifest:
        """Read a CSV, TSV, Excel, OpenDocument or Parquet file, or a folder with one sub-folder a class.

        Parameters
        ----------
        path : str or Path
            The table; or a folder that holds ``manifest.csv``, or one sub-folder a class (inside
            ``train/`` and ``test/`` folders, if it is split).
        images : str or Path, optional
            The folder that image paths are relative to; by default the one that the manifest's card names
            (``fewshot-flair data prepare`` writes one), else the manifest's own.
        image_column, label_column, patient_column, eye_column, split_column, clinic_column : str
            What the columns are called; usual names (``Patient ID``, ``diagnosis``) are found without.
            Only the first is always needed; an image without a patient counts as a patient of its own.
            Split values: train, test, val, pool (or training, testing, validation).
        order_column : str, optional
            A column that gives each label its place in the order (such as ``dr_grade``).
        classes : sequence of str, optional
            The classes in the order of the classifier's columns; a label that is none of them makes its row
            bad.
        ordered : bool
            State that this order is one of grades, where it is neither numeric nor that of a known scale.
        skip_bad : bool
            Go on without the bad rows and record them in `skipped`, instead of raising.
        check_images : bool
            Look for each image and at its first bytes.
        labels_required : bool
            Where False, whole tables without labels are fine, and rows of any side (their ``y`` is −1).
        encoding : str, optional
            Text encoding of the table, where it is neither UTF-8 nor UTF-16 with a mark.
        sheet : str, optional
            Sheet of a workbook, where several have the columns.
        keep_repeats : bool
            Keep a row that says the same of the same image as an earlier one, as protocols of papers do; else it
            is left out, and recorded in `skipped`.
        scale : {"dr"}, optional
            State that labels are grades 0 to 4 of diabetic retinopathy; classes get their names.

        Raises
        ------
        MissingFileError
            If there is no such manifest.
        InputError
            If the table cannot be read, rows are bad (all are listed: `BadRowsError`), a patient is on
            two sides of the split, labels differ only in case or underscores, or nothing is left.
        """
        names = {
            "image": image_column, "label": label_column, "patient_id": patient_column,
            "eye": eye_column, "split": split_column, "clinic": clinic_column,
        }  # fmt: skip
        required = {role for role, name in names.items() if role == "image" or name != role}
        if labels_required:
            required.add("label")
        if order_column:
            names["order"] = order_column
            required.add("order")
        where = manifest_path(Path(path))
        source = where.name or str(where)
        card = read_card(where)
        if card is not None:
            images = card.folder(where) if images is None else images
            classes, ordered = (card.classes, card.ordinal) if classes is None else (classes, ordered)
        table = read_table(where, TableFormat(names, frozenset(required), encoding, sheet), labels_required)
        settled = settle_labels(table, classes, source)
        classes = settled.classes
        if labels_required and table.rows and not any(table.columns["label"]):
            raise InputError(
                f"{source}: no row has a label in column {label_column!r}; write the class of the photographs "
                "to learn from and to test on"
            )
        merged, no_patient = tidy(table, classes, scale, source)
        root = image_folder(images if images else (where if where.is_dir() else where.parent))
        found = find_images(table, root, check_images, images is not None)
        same = repeats(table, found)
        bad = bad_rows(table, found, Rules(labels_required, classes), same)
        left_out = unlabelled_tests(table, bad) if labels_required else {}
        again = {} if keep_repeats else {i: j for i, j in same.items() if i not in bad and i not in left_out}
        left_out |= {
            i: SkippedRow(
                table.rows[i], table.columns["image"][i], f"says again what row {table.rows[earlier]} says"
            )
            for i, earlier in again.items()
        }
        keep = [i for i in range(len(table.rows)) if i not in bad and i not in left_out]
        frame = frame_of(table, found.paths, keep)
        wrong = sorted([*table.bad, *bad.values()], key=lambda row: row.row)
        labelled = frame[frame["label"] != ""]
        parted = parted_patients(zip(labelled["patient_id"], labelled["split"], strict=True))
        if wrong and not skip_bad:
            raise BadRowsError(source, wrong, [parted] if parted else [])
        if not keep:
            raise InputError(
                _none_left(source, [*wrong, *settled.left_out], len(table.rows) + len(table.bad))
            )
        if parted:
            raise InputError(f"{source}: {parted}")
        order, ordinal = classes_of(table, keep, classes, ordered, order_column, source)
        skipped = sorted([*wrong, *settled.left_out, *left_out.values()], key=lambda row: row.row)
        said = settled.said + remarks(table, merged, no_patient, found.renamed, len(left_out) - len(again))
        if again:
            said.append(f"{counted(len(again), 'row')} left out, for saying again what another row says")
        if card is not None and card.changed(where):
            said.append(f"{source} was changed by hand since it was prepared")
        return cls(where, order, ordinal, frame, skipped, said, card=card)

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"<Manifest {self.source}: {len(self)} images, {len(self.classes)} classes>"

    @property
    def source(self) -> str:
        """Name of the file or folder, as messages show it."""
        return self.path.name or str(self.path)

    @property
    def y(self) -> NDArray[np.int64]:
        """Class of each row as an index into `classes`; −1 where there is no label. Shape [n]."""
        index = {name: i for i, name in enumerate(self.classes)}
        return np.array([index.get(label, -1) for label in self.frame["label"]], dtype=np.int64)

    @property
    def paths(self) -> list[Path]:
        """Absolute path of each row's image."""
        return [Path(path) for path in self.frame["path"]]

    @property
    def groups(self) -> NDArray[np.int64]:
        """Patient of each row as a code 0…P−1, shape [n].

        A row without a patient is one of its own; the same id in two clinics is one patient.
        """
        names = [(bool(patient), patient or i) for i, patient in enumerate(self.frame["patient_id"])]
        codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
        return np.array([codes[name] for name in names], dtype=np.int64)

    @property
    def has_split(self) -> bool:
        """True where the rows say which side they are on."""
        return bool(self.frame["split"].isin(["train", "test", "val"]).any())

    @property
    def pool_left_out(self) -> int:
        """How many rows of the pool `split` leaves out, as their patient is on the test or val side."""
        whole = self._with_sides()
        return int((whole.frame["split"] == "pool").sum() - whole._pool().sum())

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the classes and of every row's image name, label, patient, eye, split and clinic.

        Says whether two runs saw the same table; the images' bytes are what the feature bank keys by.
        """
        digest = hashlib.sha256()
        rows = self.frame[list(ROLES)].itertuples(index=False, name=None)
        for part in chain([(self.classes, self.ordinal)], rows):
            # File names that are not UTF-8 hold surrogates, which a plain encode() refuses.
            digest.update(json.dumps(part, ensure_ascii=False).encode(errors="surrogatepass"))
        return digest.hexdigest()

    def take(self, rows: ArrayLike) -> Manifest:
        """Give the manifest of these rows (indices, or a mask [n]), with the same classes."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return replace(self, frame=self.frame.iloc[rows].reset_index(drop=True))

    def split(self, side: str) -> Manifest:
        """Give the rows of one side: train, test or val (with labels), or pool (without).

        Where the file has no split (`has_split`), the sides are those of `with_split` with its defaults.
        The pool holds no patient of the test or val side (see `pool_left_out`), and may be empty.

        Raises
        ------
        InputError
            If the manifest has no row of that side, other than the pool.
        """
        whole = self._with_sides()
        if side == "pool":
            return whole.take(whole._pool())
        rows = (whole.frame["split"] == side).to_numpy()
        if not rows.any():
            have = ", ".join(f"{name} ({n})" for name, n in Counter(whole.frame["split"]).items())
            raise InputError(f"{self.source}: no row has split {side!r}; it has {have}")
        return whole.take(rows)

    def with_split(
        self, test_fraction: float = 0.4, seed: int = 0, keys: Mapping[str, str] | None = None
    ) -> Manifest:
        """Give the same rows with a train/test split drawn anew: stratified, and no patient parted.

        Parameters
        ----------
        test_fraction : float
            Share of each class to test on.
        seed : int
            The same seed gives the same split (see `patient_split`).
        keys : mapping of path to str, optional
            Digest of each file, as `twins` takes it: the same photograph under two names is not parted.
        """
        labelled = self.y >= 0
        part, split = self.take(labelled), self.frame["split"].to_numpy(dtype=object, copy=True)
        groups = part.groups
        if keys:
            groups = joined_groups(groups, [keys.get(path, "") for path in part.frame["path"]])
        test = patient_split(part.y, groups, test_fraction, seed)
        split[labelled] = np.where(test, "test", "train")
        return replace(self, frame=self.frame.assign(split=split), split_given=False)

    def _with_sides(self) -> Manifest:
        return self if self.has_split or not (self.y >= 0).any() else self.with_split()

    def _pool(self) -> NDArray[np.bool_]:
        split = self.frame["split"]
        tested = set(self.frame["patient_id"][split.isin(["test", "val"])]) - {""}
        return ((split == "pool") & ~self.frame["patient_id"].isin(tested)).to_numpy()

    def bad_rows(self, refused: Sequence[tuple[int, str]]) -> list[SkippedRow]:
        """Name rows found bad later on, (index, reason) each, by their number and image in the file."""
        rows, images = self.frame["row"], self.frame["image"]
        return [SkippedRow(int(rows[index]), images[index], reason) for index, reason in refused]


def _none_left(source: str, rows: Sequence[SkippedRow], n: int) -> str:
    """That no row can be used, with the reason of most of them."""
    n += sum(1 for row in rows if row.reason.startswith("is of none"))
    reasons = Counter(row.reason for row in rows)
    why = f"; of most the image {reasons.most_common(1)[0][0]}" if reasons else ""
    return f"{source}: no usable row is left of {n:,}{why}"
