"""The manifest: which images there are, their labels, patients and sides."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.data.checks import SHOWN, BadRowsError, bad_rows, resolve
from fewshot_flair.data.rows import ROLES, classes_of, frame_of
from fewshot_flair.data.splits import patient_split
from fewshot_flair.data.tables import SkippedRow, read_folder, read_table
from fewshot_flair.errors import InputError

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
        (train, test, val, or empty), ``clinic`` and ``row`` (the header is row 1; 0 in a folder). What the
        file does not say is an empty string.
    skipped : list of SkippedRow
        Rows left out because ``skip_bad`` said so.
    split_given : bool
        False where the split was drawn by `with_split`.
    """

    path: Path
    classes: list[str]
    ordinal: bool
    frame: pd.DataFrame
    skipped: list[SkippedRow]
    split_given: bool = True

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
    ) -> Manifest:
        """Read a CSV, TSV or Parquet file, or a folder with one sub-folder a class.

        Parameters
        ----------
        path : str or Path
            The table; or a folder that holds ``manifest.csv``, or one sub-folder a class (inside
            ``train/`` and ``test/`` folders, if it is split).
        images : str or Path, optional
            The folder that image paths are relative to; by default the manifest's own.
        image_column, label_column, patient_column, eye_column, split_column, clinic_column : str
            What the columns are called. Only the first is always needed; an image without a patient
            counts as a patient of its own. Split values: train, test, val (or training, testing,
            validation); ``val`` rows are in neither of the other two.
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
            Where False, rows and whole tables without labels are fine (their ``y`` is −1).
        encoding : str, optional
            Text encoding of the table, where it is neither UTF-8 nor UTF-16 with a mark.

        Raises
        ------
        MissingFileError
            If there is no such manifest.
        InputError
            If the table cannot be read, rows are bad (all are listed: `BadRowsError`), a patient is on
            two sides of the split, two labels differ only in case, or nothing is left.
        """
        path = Path(path)
        names = {
            "image": image_column, "label": label_column, "patient_id": patient_column,
            "eye": eye_column, "split": split_column, "clinic": clinic_column,
        }  # fmt: skip
        required = [role for role, name in names.items() if role == "image" or name != role]
        if labels_required:
            required.append("label")
        if order_column:
            names["order"] = order_column
            required.append("order")
        if path.is_dir() and (path / "manifest.csv").is_file():
            path = path / "manifest.csv"
        table = (
            read_folder(path, labels_required)
            if path.is_dir()
            else read_table(path, names, required, encoding)
        )
        source = path.name or str(path)
        root = Path(images) if images else (path if path.is_dir() else path.parent)
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; --images names the folder that image paths start from")
        paths = resolve(table, root.resolve())
        bad = bad_rows(table, paths, check_images, labels_required, classes)
        if (bad or table.bad) and not skip_bad:
            raise BadRowsError(source, sorted([*table.bad, *bad.values()], key=lambda row: row.row))
        keep = [i for i in range(len(paths)) if i not in bad]
        if not keep:
            raise InputError(f"{source}: no usable row is left of {len(paths) + len(table.bad)}")
        frame = frame_of(table, paths, keep)
        order, ordinal = classes_of(frame, table, keep, classes, ordered, order_column, source)
        skipped = sorted([*table.bad, *bad.values()], key=lambda row: row.row)
        manifest = cls(path, order, ordinal, frame, skipped)
        manifest._refuse_parted_patients()
        return manifest

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
        return bool((self.frame["split"] != "").any())

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
        """Give the rows of one side (train, test or val).

        Where the file has no split (`has_split`), the sides are those of `with_split` with its defaults.

        Raises
        ------
        InputError
            If the manifest has no row of that side.
        """
        if not self.has_split:
            return self.with_split().split(side)
        rows = (self.frame["split"] == side).to_numpy()
        if not rows.any():
            have = ", ".join(f"{name} ({n})" for name, n in Counter(self.frame["split"]).items())
            raise InputError(f"{self.source}: no row has split {side!r}; it has {have}")
        return self.take(rows)

    def with_split(self, test_fraction: float = 0.4, seed: int = 0) -> Manifest:
        """Give the same rows with a train/test split drawn anew: stratified, and no patient parted.

        Parameters
        ----------
        test_fraction : float
            Share of each class to test on.
        seed : int
            The same seed gives the same split (see `patient_split`).
        """
        test = patient_split(self.y, self.groups, test_fraction, seed)
        return replace(
            self, frame=self.frame.assign(split=np.where(test, "test", "train")), split_given=False
        )

    def without(self, refused: Sequence[tuple[int, str]]) -> Manifest:
        """Give the manifest without these rows, (index, reason) each, which join `skipped`."""
        reasons = dict(refused)
        mask = np.ones(len(self), dtype=bool)
        mask[list(reasons)] = False
        return replace(self.take(mask), skipped=[*self.skipped, *self.bad_rows(refused)])

    def bad_rows(self, refused: Sequence[tuple[int, str]]) -> list[SkippedRow]:
        """Name rows found bad later on, (index, reason) each, by their number and image in the file."""
        rows, images = self.frame["row"], self.frame["image"]
        return [SkippedRow(int(rows[index]), images[index], reason) for index, reason in refused]

    def summary(self) -> dict[str, Any]:
        """Count images, patients (None where the file names none) and classes, whole and by side."""
        named = bool((self.frame["patient_id"] != "").any())

        def count(part: Manifest) -> dict[str, Any]:
            labels = Counter(part.frame["label"])
            return {
                "images": len(part),
                "patients": len(set(part.groups)) if named else None,
                "classes": {name: labels[name] for name in self.classes},
            }

        sides = [side for side in ("train", "test", "val") if (self.frame["split"] == side).any()]
        return {
            "source": str(self.path),
            **count(self),
            "ordinal": self.ordinal,
            "splits": {side: count(self.split(side)) for side in sides},
            "clinics": sorted(set(self.frame["clinic"]) - {""}),
            "skipped": len(self.skipped),
        }

    def _refuse_parted_patients(self) -> None:
        sides: dict[int, set[str]] = {}
        first: dict[int, int] = {}
        for index, (group, side) in enumerate(zip(self.groups.tolist(), self.frame["split"], strict=True)):
            sides.setdefault(group, set()).add(side)
            first.setdefault(group, index)
        parted = [group for group, where in sides.items() if len(where) > 1]
        if parted:
            shown = [
                f"{self.frame['patient_id'][first[group]]} ({', '.join(sorted(sides[group]))})"
                for group in parted[:SHOWN]
            ]
            more = f" and {len(parted) - SHOWN} more" if len(parted) > SHOWN else ""
            raise InputError(
                f"{self.source}: patients on more than one side of the split: {', '.join(shown)}{more}; "
                "put all images of a patient on one side"
            )
