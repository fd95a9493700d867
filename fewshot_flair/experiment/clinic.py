"""A clinic as adapters see it: features of its training, test and pool rows, labels, and text prototypes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.data.lookalikes import alike, told
from fewshot_flair.errors import InputError
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.adapters import Adapter
    from fewshot_flair.bank import FeatureBank
    from fewshot_flair.encoders.base import Encoder
    from fewshot_flair.experiment.provenance import Provenance
    from fewshot_flair.experiment.spec import AdapterSpec
    from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["Clinic", "Rows", "check_classes", "check_sides", "joined", "kind_at_hand", "pool_of_tested"]

KEPT_BYTES = 256 * 2**20
"""Features of a side up to this size are read once and kept in memory."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one side, with their features in the bank.

    Attributes
    ----------
    y : int64 array of shape (n,)
        Classes, as positions in the clinic's `classes`; −1 without a label.
    images, patients, clinics : list of n str
        As the manifest writes them; an image without a patient counts as a patient of its own.
    keys : list of n str
        What the image is: the digest of its bytes.
    copies : tuple of FeatureBank
        Banks of augmented copies of the images, where there are some: to be fitted on, or tested on, instead.
    paths : list of n str
        Files of the images; empty where features came without photographs.
    """

    y: NDArray[np.int64]
    images: list[str]
    patients: list[str]
    clinics: list[str]
    keys: list[str]
    bank: FeatureBank
    copies: tuple[FeatureBank, ...] = ()
    paths: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.y)

    def read(self, kind: str, rows: slice | NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Features of `rows` (all by default): float32 (rows, width); `kind` is backbone, embedding or local."""
        if 4 * len(self) * self.bank.feature_dims[kind] <= KEPT_BYTES:
            kept = _KEPT.setdefault(self, {})
            if kind not in kept:
                kept[kind] = self.bank.read(self.keys, kind)
            return kept[kind] if rows is None else kept[kind][rows]
        keys: Sequence[str] = self.keys
        if isinstance(rows, slice):
            keys = self.keys[rows]
        elif rows is not None:
            keys = [self.keys[i] for i in rows]
        return self.bank.read(keys, kind)

    def of_copies(self) -> list[Rows]:
        """The same rows with the features of each augmented copy; without copies just these."""
        return [replace(self, bank=bank, copies=()) for bank in self.copies] or [self]

    def chunks(self, size: int = 16_384) -> Iterator[slice]:
        """Slices that cover all rows, `size` at a time, so that memory stays bounded."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    @property
    def digest(self) -> str:
        """Hex sha256 of which images these are, with what labels, patients and clinics."""
        content = json.dumps([self.keys, self.y.tolist(), self.patients, self.clinics], ensure_ascii=False)
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()

    def unlabelled(self) -> Rows:
        """The same rows without their labels."""
        return replace(self, y=np.full(len(self), -1, dtype=np.int64))

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """The given rows, in the given order."""
        pick = [int(i) for i in rows]
        images, patients, clinics, keys = (
            [values[i] for i in pick] for values in (self.images, self.patients, self.clinics, self.keys)
        )
        paths = [self.paths[i] for i in pick] if self.paths else []
        return Rows(self.y[rows], images, patients, clinics, keys, self.bank, self.copies, paths)


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of several tables one after another, all in the same bank."""
    first, *others = parts
    for part in others:
        first = Rows(
            np.concatenate([first.y, part.y]),
            first.images + part.images,
            first.patients + part.patients,
            first.clinics + part.clinics,
            first.keys + part.keys,
            first.bank,
        )
    return first


_KEPT: WeakKeyDictionary[Rows, dict[str, NDArray[np.float32]]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Clinic:
    """What an adapter is fitted on and judged by.

    Attributes
    ----------
    classes : list of C str
    ordinal : bool
        Whether the classes are ordered grades.
    pool : Rows or None
        Rows without labels, which adapters that can (`uses_unlabeled`) learn from; the test rows themselves where
        ``provenance.transductive``.
    text : TextPrototypes or None
        None where the encoder has no text tower.
    tower : Encoder or None
        The encoder itself, for adapters that learn through its text tower; loaded when first used.
    fold_rows : tuple of (int64 array, int64 array)
        Where a study makes folds: the places of each fold's training and test rows. `train` and `test` are then both
        all labelled rows.
    """

    name: str
    classes: list[str]
    ordinal: bool
    train: Rows
    test: Rows
    pool: Rows | None
    feature_dims: Mapping[str, int]
    text: TextPrototypes | None
    tower: Encoder | None
    provenance: Provenance
    fold_rows: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...] = ()

    @cached_property
    def folds(self) -> list[Clinic]:
        """The clinic of each fold, whose sides are its rows; empty where there are none."""
        made = []
        for train, test in self.fold_rows:
            tested = self.test.take(test)
            pool = tested.unlabelled() if self.provenance.transductive else self.pool
            made.append(replace(self, train=self.train.take(train), test=tested, pool=pool, fold_rows=()))
        return made

    @property
    def title(self) -> str:
        """The name as pictures show it; rendered photographs are called so everywhere."""
        return f"{self.name} (rendered photographs)" if self.provenance.rendered else self.name

    @property
    def digests(self) -> list[str]:
        """What results on it depend on: rows, classes, features, text."""
        return [
            self.train.digest,
            self.test.digest,
            "" if self.pool is None else self.pool.digest,
            *self.classes,
            str(self.ordinal),
            *(str([train.tolist(), test.tolist()]) for train, test in self.fold_rows),
            self.provenance.encoder.fingerprint_id,
            self.provenance.text_digest,
            self.test.bank.source.fingerprint_id,
            *([self.train.bank.source.fingerprint_id] if "local" in self.feature_dims else []),
        ]

    def learnable(self, kind: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features of rows to learn from, counted through the training rows and then the pool."""
        n = len(self.train)
        pooled = rows >= n
        if self.pool is None or not pooled.any():
            return self.train.read(kind, rows)
        others = self.pool.read(kind, rows[pooled] - n)
        features = np.empty((len(rows), others.shape[1]), dtype=np.float32)
        features[~pooled], features[pooled] = self.train.read(kind, rows[~pooled]), others
        return features

    def unlabelled(self, adapter: Adapter, kind: str) -> NDArray[np.float32] | None:
        """The pool's features for an adapter that learns from them; None for others, or without a pool."""
        return self.pool.read(kind) if adapter.uses_unlabeled and self.pool is not None else None

    def create(self, spec: AdapterSpec) -> Adapter:
        """The adapter of a spec, with this clinic's text prototypes and, if it needs one, text tower."""
        from fewshot_flair.adapters import create_adapter, get_adapter_class

        needs = {"tower": self.tower} if get_adapter_class(spec.name).needs_tower else {}
        return create_adapter(spec.name, text=self.text, **needs, **spec.params)

    def feature_kind(self, wanted: str) -> str:
        """The kind of feature for an adapter that asks for `wanted`; see `kind_at_hand`."""
        return kind_at_hand(wanted, self.feature_dims)


def kind_at_hand(wanted: str, feature_dims: Mapping[str, int]) -> str:
    """`wanted` where there is such a feature, else the only one: vision-only encoders have no embedding.

    Raises
    ------
    InputError
        If local features are wanted and there are none: no other feature is one of them.
    """
    if wanted == "local" and wanted not in feature_dims:
        raise InputError(
            "adapters of local features need photographs, and an encoder that gives the map before pooling; these "
            "features have none (docs/local.md)"
        )
    return wanted if wanted in feature_dims else next(iter(feature_dims))


def pool_of_tested(test: Rows, others: int = 0) -> tuple[Rows, list[str]]:
    """The test rows as a pool without labels, and what must be said of it; `others` had no label and are left out."""
    said = [
        f"transductive: adapters that learn from photographs without labels learn from the {len(test)} test "
        "photographs, without their labels, so their figures are of photographs that they have seen, and the sets and "
        "thresholds of saved adapters promise nothing for these"
    ]
    if others:
        said.append(
            f"{counted(others, 'image')} without a label left out, as the test photographs are the pool"
        )
    return test.unlabelled(), said


def check_classes(classes: Sequence[str]) -> None:
    """Raise where there is nothing to tell apart."""
    if len(classes) < 2:
        raise InputError(
            f"there is only one class, {', '.join(classes)}; adapting is telling classes apart, and needs two"
        )


def check_sides(name: str, classes: Sequence[str], train: Rows, test: Rows) -> None:
    """Raise where a side is empty, there is one class, or a patient (or one of like name) or an image is on both."""
    check_classes(classes)
    for side, rows in (("train", train), ("test", test)):
        if not len(rows):
            raise InputError(f"{name}: no {side} images; check the split column or the skipped rows")
    patients = sorted(set(train.patients) & set(test.patients))
    if patients:
        shown = ", ".join(patients[:5]) + (f" and {len(patients) - 5} more" if len(patients) > 5 else "")
        raise InputError(
            f"patients on both sides of the split: {shown}; a test patient must not be seen in training "
            "(mend the split column, or leave it out for a patient-disjoint one; where --test-on numbers its "
            "patients anew, say --other-patients)"
        )
    if pairs := alike([*dict.fromkeys(train.patients), *dict.fromkeys(test.patients)]):
        raise InputError(
            f"patients {told(pairs)}, of training and of test, read alike (see whether each pair is one person); write "
            "one person in one way in both tables, or say --other-patients where the test table's are other people"
        )
    where = dict(zip(train.keys, train.images, strict=True))  # a file may have changed since it was read
    twice = [
        f"{where[key]!r} and {image!r}"
        for key, image in zip(test.keys, test.images, strict=True)
        if key in where
    ]
    if twice:
        raise InputError(
            f"{counted(len(twice), 'photograph', 'is', 'are')} in training and in test under two names: "
            f"{'; '.join(twice)}; remove one of each, or go on without the training ones (--on-leak drop-train)"
        )
