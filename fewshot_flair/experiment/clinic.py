"""A clinic as adapters see it: features of its training and test rows, labels, and text prototypes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.text.knowledge import descriptions
from fewshot_flair.text.knowledge import prompts as in_template

if TYPE_CHECKING:
    from fewshot_flair.adapters import Adapter
    from fewshot_flair.bank import FeatureBank
    from fewshot_flair.data import Manifest
    from fewshot_flair.encoders.base import Encoder
    from fewshot_flair.experiment.scoring import AdapterSpec
    from fewshot_flair.text.prototypes import TextPrototypes

__all__ = [
    *("EncodedClinic", "EncodedRows", "check_no_leak"),
    *("encode_clinic", "join_sides", "kind_at_hand", "text_digest", "text_prototypes"),
]


@dataclass(frozen=True)
class EncodedRows:
    """Rows of one split, with their features in the bank.

    Attributes
    ----------
    y : int64 array of shape (n,)
        Classes, as positions in the clinic's `classes`.
    images, patients, clinics : list of n str
        As the manifest writes them; an image without a patient counts as a patient of its own.
    keys : list of n str
        What the image is: the digest of its bytes.
    """

    y: NDArray[np.int64]
    images: list[str]
    patients: list[str]
    clinics: list[str]
    keys: list[str]
    bank: FeatureBank

    def __len__(self) -> int:
        return len(self.y)

    def read(self, kind: str, rows: slice | NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Features of `rows` (all by default): float32 (rows, width); `kind` is backbone or embedding."""
        keys: Sequence[str] = self.keys
        if isinstance(rows, slice):
            keys = self.keys[rows]
        elif rows is not None:
            keys = [self.keys[i] for i in rows]
        return self.bank.read(keys, kind)

    def chunks(self, size: int = 16_384) -> Iterator[slice]:
        """Slices that cover all rows, `size` at a time, so that memory stays bounded."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    @property
    def digest(self) -> str:
        """Hex sha256 of which images these are, with what labels, patients and clinics."""
        content = json.dumps([self.keys, self.y.tolist(), self.patients, self.clinics], ensure_ascii=False)
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()

    def take(self, rows: NDArray[np.int64]) -> EncodedRows:
        """The given rows, in the given order."""
        pick = [int(i) for i in rows]
        return EncodedRows(
            self.y[rows],
            [self.images[i] for i in pick],
            [self.patients[i] for i in pick],
            [self.clinics[i] for i in pick],
            [self.keys[i] for i in pick],
            self.bank,
        )


@dataclass(frozen=True)
class EncodedClinic:
    """What an adapter is fitted on and judged by.

    Attributes
    ----------
    classes : list of C str
    ordinal : bool
        Whether the classes are ordered grades.
    text : TextPrototypes or None
        None where the encoder has no text tower.
    tower : Encoder or None
        The encoder itself, for adapters that learn through its text tower; loaded when first used.
    provenance : dict
        Fingerprints of data and encoder, skipped rows: what `run.json` records.
    """

    name: str
    classes: list[str]
    ordinal: bool
    train: EncodedRows
    test: EncodedRows
    feature_dims: Mapping[str, int]
    text: TextPrototypes | None
    tower: Encoder | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name as pictures show it; rendered photographs are called so everywhere."""
        return f"{self.name} (rendered photographs)" if self.provenance["data"]["rendered"] else self.name

    def create(self, spec: AdapterSpec) -> Adapter:
        """The adapter of a spec, with this clinic's text prototypes and, if it needs one, text tower."""
        from fewshot_flair.adapters import create_adapter, get_adapter_class

        needs = {"tower": self.tower} if get_adapter_class(spec.name).needs_tower else {}
        return create_adapter(spec.name, text=self.text, **needs, **spec.params)

    def feature_kind(self, wanted: str) -> str:
        """The kind of feature for an adapter that asks for `wanted`; see `kind_at_hand`."""
        return kind_at_hand(wanted, self.feature_dims)


def kind_at_hand(wanted: str, feature_dims: Mapping[str, int]) -> str:
    """`wanted` where there is such a feature, else the only one: vision-only encoders have no embedding."""
    return wanted if wanted in feature_dims else next(iter(feature_dims))


def encode_clinic(
    train: Manifest,
    test: Manifest,
    encoder: Encoder,
    bank: FeatureBank,
    keys: Mapping[str, str],
    *,
    name: str,
    prompts: str | Mapping[str, Sequence[str]] = "expert",
    other_patients: bool = False,
) -> EncodedClinic:
    """Join two manifests' rows with their features in `bank`.

    Parameters
    ----------
    train, test : Manifest
        With the same classes; no patient and no image may be in both.
    keys : mapping from image path to bank key
        What `extract` returned for the images of both.
    prompts : "expert", "names" or a mapping of class to descriptions
        What each class says to the text tower.
    other_patients : bool
        The two manifests number their patients independently: the same identifier is another person.

    Raises
    ------
    InputError
        If a patient or an image is in both, a split is empty, or classes differ.
    """
    if train.classes != test.classes:
        raise InputError(
            f"the training classes {train.classes} and the test classes {test.classes} differ; "
            "give both manifests the same --classes"
        )
    clinic = join_sides(
        name,
        train.classes,
        train.ordinal,
        _rows(train, keys, bank),
        _rows(test, keys, bank, "tested: " if other_patients else ""),
        encoder.feature_dims,
    )
    if not encoder.has_text:
        return clinic
    return replace(clinic, text=text_prototypes(encoder, bank, train.classes, prompts), tower=encoder)


def join_sides(
    name: str,
    classes: Sequence[str],
    ordinal: bool,
    train: EncodedRows,
    test: EncodedRows,
    feature_dims: Mapping[str, int],
    text: TextPrototypes | None = None,
) -> EncodedClinic:
    """Make a clinic of two sides' rows; InputError where one is empty or shares a patient or image."""
    for split, rows in (("train", train), ("test", test)):
        if not len(rows):
            raise InputError(f"{name}: no {split} images; check the split column or the skipped rows")
    check_no_leak(train, test)
    return EncodedClinic(name, list(classes), ordinal, train, test, dict(feature_dims), text)


def text_prototypes(
    encoder: Encoder,
    bank: FeatureBank,
    classes: Sequence[str],
    prompts: str | Mapping[str, Sequence[str]] = "expert",
) -> TextPrototypes:
    """The classes' prototypes, from the bank where it has them, else from the text tower."""
    described = _described(classes, prompts)
    # what the texts are and not what they are called: a dictionary that changes changes the prototypes
    asked = [[name, in_template(texts, encoder.template)] for name, texts in described.items()]
    key = hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()
    stored = bank.text(key)
    if stored is not None:
        return stored
    made = encoder.prototypes(described)
    bank.store_text(key, made)
    return made


def text_digest(text: TextPrototypes | None) -> str:
    """Hex sha256 of prototypes and temperature, whatever texts they come from."""
    if text is None:
        return hashlib.sha256().hexdigest()
    raw = np.ascontiguousarray(text.prototypes, dtype=np.float32).tobytes()
    return hashlib.sha256(raw + np.float32(text.logit_scale).tobytes()).hexdigest()


def _described(classes: Sequence[str], prompts: str | Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    if isinstance(prompts, str):
        if prompts not in ("expert", "names"):
            raise InputError(
                f"prompts {prompts!r}: give expert, names, or a mapping of class to descriptions"
            )
        return {name: descriptions(name) if prompts == "expert" else [name] for name in classes}
    missing = [name for name in classes if name not in prompts]
    if missing:
        raise InputError(f"prompts: no description of class {missing[0]!r}; give every class at least one")
    return {name: list(prompts[name]) for name in classes}


def check_no_leak(train: EncodedRows, test: EncodedRows) -> None:
    """Raise where a patient, or the very same image, is in training and in test."""
    patients = sorted(set(train.patients) & set(test.patients))
    if patients:
        shown = ", ".join(patients[:5]) + (f" and {len(patients) - 5} more" if len(patients) > 5 else "")
        raise InputError(
            f"patients on both sides of the split: {shown}; a test patient must not be seen in training "
            "(mend the split column, or leave it out for a patient-disjoint one; where --test-on numbers its "
            "patients anew, say --other-patients)"
        )
    where = dict(zip(train.keys, train.images, strict=True))
    twice = [(where[key], image) for key, image in zip(test.keys, test.images, strict=True) if key in where]
    if twice:
        raise InputError(
            f"{len(twice)} photographs are in training and in test under two names, the first as "
            f"{twice[0][0]!r} and {twice[0][1]!r}; remove one of each (--skip-bad does not mend a leak)"
        )


def _rows(manifest: Manifest, keys: Mapping[str, str], bank: FeatureBank, prefix: str = "") -> EncodedRows:
    frame = manifest.frame
    known = np.array([str(path) in keys for path in frame["path"]], dtype=bool)
    frame, y = frame[known], manifest.y[known]
    images = [str(image) for image in frame["image"]]
    patients = [
        f"{prefix}{patient}" if patient else f"image {path}"
        for patient, path in zip(frame["patient_id"], frame["path"], strict=True)
    ]
    return EncodedRows(
        y=np.asarray(y, dtype=np.int64),
        images=images,
        patients=patients,
        clinics=[str(clinic) for clinic in frame["clinic"]],
        keys=[keys[str(path)] for path in frame["path"]],
        bank=bank,
    )
