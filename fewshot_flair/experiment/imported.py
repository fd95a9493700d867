"""A clinic whose features came without photographs: the papers' ``.npz`` caches as data sets."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.imports import ImportedFeatures, import_features
from fewshot_flair.bank.source import FeatureSource, differences
from fewshot_flair.data.grades import is_known_order
from fewshot_flair.data.splits import patient_split
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import DataSet
from fewshot_flair.experiment.clinic import Clinic, Rows, check_sides, pool_of_tested
from fewshot_flair.experiment.provenance import EncoderMade, Provenance, side_of
from fewshot_flair.experiment.sources import FEATURES, holds_features
from fewshot_flair.text.prompts import text_digest
from fewshot_flair.text.prototypes import TextPrototypes
from fewshot_flair.words import counted

__all__ = ["imported_clinic", "made_by", "row_names"]


def made_by(found: ImportedFeatures) -> FeatureSource:
    """What is known of the model behind a file's features: an exported bank says it whole.

    Of the papers' caches, the kind and width of the features and the prototypes; two files of one model
    agree in these, and files without prototypes are told apart by their width alone.
    """
    if found.exported:
        return found.bank.source
    told: dict[str, Any] = {"kind": found.kind, "width": found.bank.feature_dims[found.kind]}
    if found.text is not None:
        told["prototypes"] = text_digest(found.text)
    return FeatureSource(FEATURES, told, dict(found.bank.feature_dims))


def imported_clinic(data: DataSet, folder: Path = Path(), cache: Path | None = None) -> Clinic:
    """Make a clinic of files of features with labels: one, or one to train on and one to test on, and a pool.

    Rows have no patients: each counts as a patient of its own. One file alone is split as a manifest
    without a ``split`` column is (stratified, 40 % for testing, seed 0).

    Raises
    ------
    MissingFileError, InputError
        As `import_features`; if a file has no labels, the files are of different models, or ``classes``
        does not name as many classes as there are.
    """
    files, found = _files(data, folder, cache)
    source = made_by(found["train"])
    classes, ordinal = _classes(data, files["train"], found)
    sides = {side: _rows(files[side], each, side) for side, each in found.items()}
    if "test" not in sides:
        whole = sides["train"]
        test = patient_split(whole.y, np.arange(len(whole)), test_fraction=0.4, seed=0)
        sides |= {"train": whole.take(np.flatnonzero(~test)), "test": whole.take(np.flatnonzero(test))}
        files["test"] = files["train"]
    check_sides(data.name, classes, sides["train"], sides["test"])
    if data.transductive:
        sides["pool"], remarks = pool_of_tested(sides["test"])
        files["pool"] = files["test"]
    else:
        remarks = (
            [f"the pool: {counted(len(sides['pool']), 'row')} of {files['pool'].name}"]
            if "pool" in sides
            else []
        )
    text = found["train"].text
    dims = dict(found["train"].bank.feature_dims)
    pool = sides.get("pool")
    told = {
        side: side_of(rows, files[side], rows.bank.source.fingerprint["sha256"], classes, named=False)
        for side, rows in sides.items()
    }
    return Clinic(
        data.name, classes, ordinal, sides["train"], sides["test"], pool, dims,
        replace(text, classes=classes) if isinstance(text, TextPrototypes) else None, None,
        Provenance(
            data=data.name,
            prompts="expert",
            rendered=False,
            brought=True,
            split_given=data.test_on is not None,
            train=told["train"],
            test=told["test"],
            pool=told.get("pool"),
            encoder=EncoderMade(
                name=source.name,
                fingerprint_id=source.fingerprint_id,
                fingerprint=dict(source.fingerprint),
            ),
            feature_dims=dims,
            encoded=0,
            from_bank=sum(len(rows) for rows in sides.values()),
            twins=_same_rows(sides["train"], sides["test"], next(iter(dims))),
            descriptions={},
            has_text=text is not None,
            text_digest=text_digest(text),
            skipped=[],
            remarks=remarks,
            transductive=data.transductive,
        ),
    )  # fmt: skip


def _files(
    data: DataSet, folder: Path, cache: Path | None
) -> tuple[dict[str, Path], dict[str, ImportedFeatures]]:
    if data.train_clinics is not None or data.test_clinics is not None:
        raise InputError(
            f"data set {data.name}: files of features name no clinics; leave train_clinics, test_clinics out"
        )
    given = {"train": data.manifest, "test": data.test_on, "pool": data.pool}
    files = {side: folder / name for side, name in given.items() if name is not None}
    for path in files.values():
        if not holds_features(path):
            raise InputError(
                f"{files['train'].name} holds features and {path} photographs; give files of features, "
                "or photographs for all"
            )
    found = {"train": import_features(files["train"], cache)}
    found |= {
        side: import_features(path, cache, text=found["train"].text)
        for side, path in files.items()
        if side != "train"
    }
    first = made_by(found["train"])
    for side, path in files.items():
        if found[side].y is None and side != "pool":
            raise InputError(
                f"{path.name} has no labels (refs_ds), which adapting and testing need; features of an exported "
                "bank go back into one with `fewshot-flair bank import`, and the manifest brings the labels"
            )
        source = made_by(found[side])
        if source.fingerprint_id != first.fingerprint_id:
            raise InputError(
                f"{files['train'].name} and {path.name} were made by different models: "
                f"{differences(first.fingerprint, source.fingerprint)}"
            )
        if side != "train" and set(found["train"].keys) & set(found[side].keys):
            raise InputError(
                f"{files['train'].name} and {path.name} are the same file; test on rows that no fit has seen"
            )
    return files, found


def _classes(data: DataSet, train: Path, found: dict[str, ImportedFeatures]) -> tuple[list[str], bool]:
    """Names of the classes, and whether they are ordered; numbers here are places of prototypes, not grades."""
    n_classes = max(each.n_classes for each in found.values())
    if data.classes is None:
        return [str(number) for number in range(n_classes)], data.ordered
    if len(data.classes) != n_classes:
        raise InputError(
            f"{len(data.classes)} classes are named, and {train.name} has {n_classes}; "
            "name each in the order of its labels 0, 1, …"
        )
    return list(data.classes), data.ordered or is_known_order(data.classes)


def row_names(path: Path, found: ImportedFeatures) -> list[str]:
    """What to call a file's rows: ``file.npz[17]``, or the image's key where the file has it."""
    return list(found.keys) if found.exported else [f"{path.name}[{i}]" for i in range(len(found.keys))]


def _rows(path: Path, found: ImportedFeatures, side: str) -> Rows:
    names = row_names(path, found)
    blank = np.full(len(names), -1, dtype=np.int64)
    return Rows(
        y=blank if side == "pool" or found.y is None else found.y,
        images=names,
        patients=[f"image {key}" for key in found.keys],
        clinics=[""] * len(names),
        keys=found.keys,
        bank=found.bank,
    )


def _same_rows(train: Rows, test: Rows, kind: str) -> list[tuple[str, str]]:
    """Rows of the test side whose numbers are those of a training row: (training, test), by their names."""
    seen: dict[bytes, str] = {}
    for part in train.chunks():
        rows = train.read(kind, part)
        seen |= {_row_digest(row): name for row, name in zip(rows, train.images[part], strict=True)}
    found = []
    for part in test.chunks():
        for row, name in zip(test.read(kind, part), test.images[part], strict=True):
            if (first := seen.get(_row_digest(row))) is not None:
                found.append((first, name))
    return found


def _row_digest(row: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()
