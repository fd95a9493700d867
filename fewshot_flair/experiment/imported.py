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
from fewshot_flair.experiment.clinic import EncodedClinic, EncodedRows, join_sides, text_digest
from fewshot_flair.experiment.design import DataSet
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["FEATURES", "holds_features", "imported_clinic", "made_by", "row_names"]

FEATURES = "features"
"""What stands for the encoder where the data bring their features along."""


def holds_features(path: str | Path) -> bool:
    """Whether data are a file of features (``.npz``) rather than of photographs."""
    return Path(path).suffix.lower() == ".npz"


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


def imported_clinic(data: DataSet, folder: Path = Path(), cache: Path | None = None) -> EncodedClinic:
    """Make a clinic of one file of features with labels, or of one to train on and one to test on.

    Rows have no patients: each counts as a patient of its own. One file alone is split as a manifest
    without a ``split`` column is (stratified, 40 % for testing, seed 0).

    Raises
    ------
    MissingFileError, InputError
        As `import_features`; if a file has no labels, the two are of different models, or ``classes``
        does not name as many classes as there are.
    """
    if data.train_clinics is not None or data.test_clinics is not None:
        raise InputError(
            f"data set {data.name}: files of features name no clinics; leave train_clinics, test_clinics out"
        )
    files = {"train": folder / data.manifest}
    if data.test_on is not None:
        if not holds_features(data.test_on):
            raise InputError(
                f"{files['train'].name} holds features and {data.test_on} photographs; give two files of features, "
                "or photographs for both"
            )
        files["test"] = folder / data.test_on
    found = {"train": import_features(files["train"], cache)}
    if "test" in files:
        found["test"] = import_features(files["test"], cache, text=found["train"].text)
    sources = {side: made_by(each) for side, each in found.items()}
    for side, path in files.items():
        if found[side].y is None:
            raise InputError(
                f"{path.name} has no labels (refs_ds), which adapting and testing need; features of an exported "
                "bank go back into one with `fewshot-flair bank import`, and the manifest brings the labels"
            )
        if sources[side].fingerprint_id != sources["train"].fingerprint_id:
            raise InputError(
                f"{files['train'].name} and {path.name} were made by different models: "
                f"{differences(sources['train'].fingerprint, sources[side].fingerprint)}"
            )
    if "test" in found and set(found["train"].keys) & set(found["test"].keys):
        raise InputError(
            f"{files['train'].name} and {files['test'].name} are the same file; test on rows that no fit has seen"
        )
    classes, ordinal = _classes(data, files, found)
    sides = {side: _rows(path, found[side]) for side, path in files.items()}
    if "test" not in sides:
        whole = sides["train"]
        test = patient_split(whole.y, np.arange(len(whole)), test_fraction=0.4, seed=0)
        sides = {"train": whole.take(np.flatnonzero(~test)), "test": whole.take(np.flatnonzero(test))}
    text = found["train"].text
    clinic = join_sides(
        data.name,
        classes,
        ordinal,
        sides["train"],
        sides["test"],
        found["train"].bank.feature_dims,
        text=replace(text, classes=classes) if isinstance(text, TextPrototypes) else None,
    )
    return replace(clinic, provenance=_provenance(data, files, clinic, sources["train"]))


def _classes(
    data: DataSet, files: dict[str, Path], found: dict[str, ImportedFeatures]
) -> tuple[list[str], bool]:
    """Names of the classes, and whether they are ordered; numbers here are places of prototypes, not grades."""
    n_classes = max(each.n_classes for each in found.values())
    if data.classes is None:
        return [str(number) for number in range(n_classes)], data.ordered
    if len(data.classes) != n_classes:
        raise InputError(
            f"{len(data.classes)} classes are named, and {files['train'].name} has {n_classes}; "
            "name each in the order of its labels 0, 1, …"
        )
    return list(data.classes), data.ordered or is_known_order(data.classes)


def row_names(path: Path, found: ImportedFeatures) -> list[str]:
    """What to call a file's rows: ``file.npz[17]``, or the image's key where the file has it."""
    return list(found.keys) if found.exported else [f"{path.name}[{i}]" for i in range(len(found.keys))]


def _rows(path: Path, found: ImportedFeatures) -> EncodedRows:
    assert found.y is not None
    names = row_names(path, found)
    return EncodedRows(
        y=found.y,
        images=names,
        patients=[f"image {key}" for key in found.keys],
        clinics=[""] * len(names),
        keys=found.keys,
        bank=found.bank,
    )


def _same_rows(clinic: EncodedClinic) -> list[list[str]]:
    """Rows of the test side whose numbers are those of a training row: (training, test), by their names."""
    kind = next(iter(clinic.feature_dims))
    seen: dict[bytes, str] = {}
    for part in clinic.train.chunks():
        rows = clinic.train.read(kind, part)
        seen |= {_row_digest(row): name for row, name in zip(rows, clinic.train.images[part], strict=True)}
    found = []
    for part in clinic.test.chunks():
        rows = clinic.test.read(kind, part)
        for row, name in zip(rows, clinic.test.images[part], strict=True):
            if (first := seen.get(_row_digest(row))) is not None:
                found.append([first, name])
    return found


def _row_digest(row: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()


def _provenance(
    data: DataSet, files: dict[str, Path], clinic: EncodedClinic, source: FeatureSource
) -> dict[str, Any]:
    def side(rows: EncodedRows, path: Path) -> dict[str, Any]:
        counts = np.bincount(rows.y, minlength=len(clinic.classes)).tolist()
        return {
            "path": str(path),
            "fingerprint": rows.bank.source.fingerprint["sha256"],
            "images": len(rows),
            "patients": None,
            "counts": dict(zip(clinic.classes, counts, strict=True)),
        }

    n = len(clinic.train) + len(clinic.test)
    prompts = "those that came with the features" if clinic.text is not None else None
    return {
        "data": {
            "name": data.name,
            "rendered": False,
            "split_given": data.test_on is not None,
            "train": side(clinic.train, files["train"]),
            "test": side(clinic.test, files.get("test", files["train"])),
        },
        "encoder": {
            "name": source.name,
            "fingerprint_id": source.fingerprint_id,
            "fingerprint": dict(source.fingerprint),
        },
        "extraction": {"encoded": 0, "from_bank": n},
        "twins": _same_rows(clinic),
        "prompts": prompts,
        "text_digest": text_digest(clinic.text),
        "skipped": [],
    }
