"""From a data set's description to a clinic whose photographs are encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.clinic import EncodedClinic, encode_clinic, text_digest
from fewshot_flair.experiment.design import DataSet, EncoderChoice
from fewshot_flair.experiment.imported import FEATURES, holds_features, imported_clinic

if TYPE_CHECKING:
    from fewshot_flair.data import Manifest

__all__ = ["check_choice", "prepare_clinic", "read_manifests"]


def read_manifests(
    data: DataSet, folder: Path = Path(), progress: Any = None
) -> tuple[Manifest, Manifest] | None:
    """Read the training and the test rows of a data set.

    Parameters
    ----------
    folder : Path
        What relative paths start from.
    progress : optional
        Told how far the demo clinic's rendering is, the first time.

    Returns
    -------
    pair of Manifest, or None
        None for files of features (``.npz``), which `prepare_clinic` reads itself.

    Raises
    ------
    InputError, MissingFileError
        As `Manifest.read`; a patient on both sides is found here.
    """
    from fewshot_flair.data import Manifest
    from fewshot_flair.rendering.demo import demo_clinic

    if holds_features(data.manifest):
        return None

    def read(where: str, images: str | None, classes: list[str] | None) -> Manifest:
        if where != "demo" and not (folder / where).exists() and data.source:
            raise MissingFileError(
                f"data set {data.name}: no manifest {folder / where}; the photographs are at {data.source} "
                f"(licence: {data.licence}); write their table there with the columns {data.image_column} and "
                f"{data.label_column} (classes: {', '.join(data.classes or ['any'])}), or run the study on "
                "other data (--on demo)"
            )
        return Manifest.read(
            demo_clinic(progress=progress) if where == "demo" else folder / where,
            images=folder / images if images else None,
            image_column=data.image_column,
            label_column=data.label_column,
            patient_column=data.patient_column,
            classes=classes,
            ordered=data.ordered,
            encoding=data.encoding,
            skip_bad=data.skip_bad,
        )

    first = read(data.manifest, data.images, data.classes)
    if data.test_on is None:
        return first.split("train"), first.split("test")
    other = read(data.test_on, data.test_images, first.classes)
    return (
        first.split("train") if first.has_split else first,
        other.split("test") if other.has_split else other,
    )


def prepare_clinic(
    data: DataSet,
    choice: EncoderChoice,
    manifests: tuple[Manifest, Manifest] | None = None,
    *,
    folder: Path = Path(),
    prompts: str | Mapping[str, list[str]] = "expert",
    cache: Path | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Any = None,
    before: Callable[[bool], Any] = lambda _: None,
) -> EncodedClinic:
    """Encode what the bank lacks of both manifests, and join rows with features.

    Files of features (see `imported_clinic`) take the place of manifests where the encoder is called
    ``features``, and nothing is encoded.

    Parameters
    ----------
    manifests : pair of Manifest, optional
        What `read_manifests` gave, where it was called before.
    folder : Path
        What relative paths start from.
    before : callable
        Told whether the encoder has a text tower before anything is encoded; may raise.

    Returns
    -------
    EncodedClinic
        With the provenance that results record: fingerprints, counts, skipped rows.
    """
    from fewshot_flair.bank import FeatureBank, extract
    from fewshot_flair.encoders import load_encoder

    manifests = manifests or read_manifests(data, folder)
    check_choice(data, choice)
    if manifests is None:
        if prompts != "expert":
            raise InputError(f"data set {data.name}: prompts cannot vary, as the features brought their own")
        clinic = imported_clinic(data, folder, cache)
        before(clinic.text is not None)
        return clinic
    train, test = manifests
    encoder = load_encoder(
        choice.load or choice.name,
        text_encoder=choice.text_encoder,
        device=device,
        precision=choice.precision,
        fast=choice.fast,
    )
    before(encoder.has_text)
    bank = FeatureBank.open(cache, encoder)
    extracted = extract(
        [train, test],
        encoder,
        bank,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
        skip_bad=data.skip_bad,
    )
    clinic = encode_clinic(
        train,
        test,
        encoder,
        bank,
        extracted.keys,
        name=data.name,
        prompts=prompts,
        other_patients=data.other_patients,
    )
    clinic = _only_clinics(clinic, data.train_clinics, data.test_clinics)
    # both sides of one manifest bring its skipped rows
    skipped = list(dict.fromkeys([*train.skipped, *test.skipped, *extracted.skipped]))
    provenance = {
        "data": {
            "name": data.name,
            "rendered": _is_rendered(train) or _is_rendered(test),
            "split_given": data.test_on is not None or train.split_given,
            "train": _described(train, clinic, "train"),
            "test": _described(test, clinic, "test"),
        },
        "encoder": {
            "name": encoder.name,
            "fingerprint_id": encoder.fingerprint_id,
            "fingerprint": encoder.fingerprint,
        },
        "extraction": {"encoded": extracted.encoded, "from_bank": extracted.cached},
        "twins": [list(pair) for pair in extracted.twins],
        "prompts": prompts
        if isinstance(prompts, str)
        else {name: list(texts) for name, texts in prompts.items()},
        "text_digest": text_digest(clinic.text),
        "skipped": [{"row": s.row, "image": s.image, "reason": s.reason} for s in skipped],
    }
    return replace(clinic, provenance=provenance)


def check_choice(data: DataSet, choice: EncoderChoice) -> None:
    """Raise where an encoder is named for features that were brought, or none for photographs."""
    brought = holds_features(data.manifest)
    asked = choice.load or choice.name
    if brought and asked != FEATURES:
        raise InputError(
            f"data set {data.name}: {data.manifest} holds features already, so no encoder {asked!r} is needed; "
            f'write {FEATURES} instead (--encoder {FEATURES}; in a study, {{name = ..., load = "{FEATURES}"}})'
        )
    if not brought and asked == FEATURES:
        raise InputError(
            f"data set {data.name}: {data.manifest} holds photographs, which an encoder must encode; "
            f"{FEATURES!r} goes with .npz files of features, and one study has one kind of data"
        )


def _is_rendered(manifest: Manifest) -> bool:
    """Whether the photographs were drawn by `data.rendered`, which leaves its description beside them."""
    return (manifest.path.parent / "clinics.json").is_file()


def _described(manifest: Manifest, clinic: EncodedClinic, side: str) -> dict[str, Any]:
    rows = getattr(clinic, side)
    named = bool((manifest.frame["patient_id"] != "").any())
    counts = np.bincount(rows.y, minlength=len(clinic.classes)).tolist()
    return {
        "path": str(manifest.path),
        "fingerprint": manifest.fingerprint,
        "images": len(rows),
        "patients": len(set(rows.patients)) if named else None,
        "counts": dict(zip(clinic.classes, counts, strict=True)),
    }


def _only_clinics(
    clinic: EncodedClinic, train: Iterable[str] | None, test: Iterable[str] | None
) -> EncodedClinic:
    """Only the rows of the named clinics (the ``clinic`` column), to adapt in one and test in another."""
    sides = {}
    for side, wanted in (("train", train), ("test", test)):
        rows = getattr(clinic, side)
        if wanted is not None:
            keep = np.flatnonzero(np.isin(rows.clinics, list(wanted)))
            if not len(keep):
                known = ", ".join(sorted(set(rows.clinics)))
                raise InputError(
                    f"{clinic.name}: no {side} row of clinic {', '.join(wanted)}; there are {known}"
                )
            rows = rows.take(keep)
        sides[side] = rows
    return replace(clinic, **sides)
