"""Features that come from outside, in ``.npz`` files; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.bank import FeatureBank
from fewshot_flair.bank.compaction import compact
from fewshot_flair.bank.keys import KEY_BYTES, Keys, as_keys, hex_keys
from fewshot_flair.bank.npz import read_arrays
from fewshot_flair.bank.source import KINDS, FeatureSource
from fewshot_flair.errors import InputError
from fewshot_flair.files import replace_file
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["IMPORTED_TEXT", "ImportedFeatures", "import_features"]

IMPORTED_TEXT = "imported"
"""Key under which `import_features` stores the prototypes that came with the features."""
PUBLISHED = (
    *("feats_ds", "refs_ds", "initial_prototypes", "textual_prototypes"),
    *("logit_scale", "samples_text", "labels_text"),
)
"""Arrays of the papers' caches."""
MOST_CLASSES = 1_000
_BLOCK = 4096


@dataclass(frozen=True)
class ImportedFeatures:
    """What `import_features` read.

    Attributes
    ----------
    bank : FeatureBank
        Where the features are now.
    keys : list of n str
        Their keys in the bank, hexadecimal, in the file's order.
    y : int64 array of shape (n,), or None
        Labels, where the file has them.
    text : TextPrototypes or None
        Prototypes that came with the features; their classes are called ``"0"`` … ``"C−1"``.
    labels : Path or None
        CSV file in the bank's folder with the columns key and label.
    exported : bool
        Whether `export_bank` wrote the file, so that keys are those of images and the bank tells the encoder.
    """

    bank: FeatureBank
    keys: list[str]
    y: NDArray[np.int64] | None = None
    text: TextPrototypes | None = None
    labels: Path | None = None
    exported: bool = False

    @property
    def kind(self) -> str:
        """The kind of feature: embedding where prototypes of their width came along, else backbone."""
        return next(iter(self.bank.feature_dims))

    @property
    def n_classes(self) -> int:
        """Classes that prototypes or labels name; 0 where there are neither."""
        if self.text is not None:
            return self.text.n_classes
        return int(self.y.max()) + 1 if self.y is not None and len(self.y) else 0


def import_features(
    path: str | Path, cache: str | Path | None = None, *, text: TextPrototypes | None = None
) -> ImportedFeatures:
    """Read features from an ``.npz`` file into a bank, without unpickling anything.

    Two kinds of file are known: what `export_bank` wrote, whose rows join the bank of the same fingerprint;
    and the feature caches of the papers' code (SS-Text and its kin), with ``feats_ds`` [n, D], ``refs_ds``
    [n] and, where they kept them, ``initial_prototypes`` or ``textual_prototypes`` [C, D],
    ``logit_scale``, ``samples_text``, ``labels_text``. Their rows have no images: row i gets the sha256
    of the file's digest and i as its key, and the bank is the file's own. Features of the prototypes'
    width are embeddings, others backbone features; the prototypes are stored as text ``"imported"``.

    Parameters
    ----------
    text : TextPrototypes, optional
        Prototypes of the same model, for a file that has none of its own.

    Raises
    ------
    MissingFileError, InputError
        If there is no such file, it is no ``.npz`` of either kind, an array in it would have to be
        unpickled, or labels and prototypes do not fit each other. Nothing is kept of such a file.
    """
    path = Path(path)
    arrays = read_arrays(path, ("source", "keys", *KINDS, *PUBLISHED))
    if {"source", "keys"} <= set(arrays):
        return _import_exported(path, arrays, cache)
    if "feats_ds" in arrays:
        return _import_published(path, arrays, cache, text)
    raise InputError(
        f"{path.name} holds {', '.join(sorted(arrays)) or 'no features'}; a file of features has "
        "source, keys, backbone (fewshot-flair bank export) or feats_ds, refs_ds (the papers' code)"
    )


def _import_exported(path: Path, arrays: dict[str, NDArray], cache: str | Path | None) -> ImportedFeatures:
    keys = arrays["keys"]
    try:
        told = json.loads(str(arrays["source"]))
        source = FeatureSource(told["name"], told["fingerprint"], told["feature_dims"])
        columns = {name: _numbers(path, arrays, name, 2) for name in source.feature_dims}
        sound = keys.dtype == np.uint8 and keys.shape[1:] == (KEY_BYTES,)
        sound &= all(c.shape == (len(keys), source.feature_dims[name]) for name, c in columns.items())
    except (ValueError, KeyError, TypeError, RecursionError, InputError):
        sound = False
    if not sound:
        raise InputError(
            f"{path.name} is not as `fewshot-flair bank export` writes it; export the bank again"
        )
    bank = FeatureBank.open(cache, source)
    _add(bank, keys, columns)
    return ImportedFeatures(bank, hex_keys(keys), exported=True)


def _import_published(
    path: Path, arrays: dict[str, NDArray], cache: str | Path | None, text: TextPrototypes | None
) -> ImportedFeatures:
    features = _numbers(path, arrays, "feats_ds", 2)
    infinite = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(infinite):
        raise InputError(
            f"{path.name}: feats_ds[{infinite[0]}] is not finite, nor are {len(infinite) - 1} more rows; "
            "leave them out"
        )
    text = _published_text(path, arrays) or text
    y = _published_labels(path, arrays, len(features), text)
    kind = "embedding" if text is not None and text.n_features == features.shape[1] else "backbone"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    fingerprint = {"imported": path.name, "sha256": digest, "kind": kind}
    bank = FeatureBank.open(
        cache, FeatureSource(f"imported-{path.stem}", fingerprint, {kind: features.shape[1]})
    )
    keys = [hashlib.sha256(f"{digest} {i}".encode()).hexdigest() for i in range(len(features))]
    _add(bank, keys, {kind: features})
    if text is not None and bank.text(IMPORTED_TEXT) is None:
        bank.store_text(IMPORTED_TEXT, text)
    labels = None
    if y is not None:
        labels = bank.folder / "labels.csv"
        lines = ["key,label", *(f"{key},{label}" for key, label in zip(keys, y.tolist(), strict=True)), ""]
        replace_file(labels, ["\n".join(lines).encode()])
    return ImportedFeatures(bank, keys, y, text, labels)


def _add(bank: FeatureBank, keys: Keys, columns: dict[str, NDArray]) -> None:
    """Append those rows that the bank lacks."""
    stored = as_keys(keys)
    for start in range(0, len(stored), _BLOCK):
        part = stored[start : start + _BLOCK]
        lacking = set(bank.missing(part))
        rows = [start + i for i, key in enumerate(hex_keys(part)) if key in lacking]
        bank.append(stored[rows], **{name: values[rows] for name, values in columns.items()})
    compact(bank)


def _published_labels(
    path: Path, arrays: dict[str, NDArray], n: int, text: TextPrototypes | None
) -> NDArray[np.int64] | None:
    if "refs_ds" not in arrays:
        return None
    given = _numbers(path, arrays, "refs_ds", 1)
    if len(given) != n:
        raise InputError(f"{path.name}: refs_ds has {len(given)} labels for {n} rows of feats_ds")
    n_classes = text.n_classes if text is not None else MOST_CLASSES
    wrong = np.flatnonzero((given != np.rint(given)) | (given < 0) | (given >= n_classes))
    if len(wrong):
        raise InputError(
            f"{path.name}: refs_ds[{wrong[0]}] is {given[wrong[0]]}; labels are whole numbers from 0 to "
            + (
                f"{n_classes - 1}, one for each prototype"
                if text is not None
                else f"{n_classes - 1} at the most"
            )
        )
    return given.astype(np.int64)


def _published_text(path: Path, arrays: dict[str, NDArray]) -> TextPrototypes | None:
    name = next((name for name in ("initial_prototypes", "textual_prototypes") if name in arrays), None)
    if name is None:
        return None
    prototypes = _numbers(path, arrays, name, 2)
    if "logit_scale" not in arrays:
        raise InputError(f"{path.name} has {name} but no logit_scale; both are needed")
    samples = _numbers(path, arrays, "samples_text", 2) if "samples_text" in arrays else None
    labels = _numbers(path, arrays, "labels_text", 1) if "labels_text" in arrays else None
    if (samples is None) != (labels is None):
        raise InputError(f"{path.name} has only one of samples_text and labels_text; they go together")
    scale_ = arrays["logit_scale"]
    if scale_.dtype.kind not in "fiu" or scale_.size != 1:
        raise InputError(
            f"{path.name}: logit_scale is {scale_.dtype} of shape {scale_.shape}; one number is needed"
        )
    scale = float(scale_.reshape(-1)[0])
    return TextPrototypes([str(c) for c in range(len(prototypes))], prototypes, scale, samples, labels)


def _numbers(path: Path, arrays: dict[str, NDArray], name: str, ndim: int) -> NDArray:
    array = arrays[name]
    if array.dtype.kind not in "fiu" or array.ndim != ndim:
        raise InputError(
            f"{path.name}: {name} is {array.dtype} of shape {array.shape}; numbers with {ndim} axes are needed"
        )
    return array
