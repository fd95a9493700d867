"""From a data set's tables to a clinic whose photographs are encoded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.data.lookalikes import lookalike_key
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import DataSet, EncoderChoice
from fewshot_flair.experiment.clinic import Clinic, Rows, check_classes, check_sides, joined, pool_of_tested
from fewshot_flair.experiment.encoding import Encoding, opened
from fewshot_flair.experiment.pretrained import known_set, pretrained_on, seen_before, terms_of
from fewshot_flair.experiment.provenance import EncoderMade, Provenance, SkippedImage, side_of
from fewshot_flair.experiment.sources import Sources
from fewshot_flair.text.prompts import Prompts, described, text_digest, text_prototypes, unused
from fewshot_flair.words import agreeing, counted

if TYPE_CHECKING:
    from fewshot_flair.bank import Extraction, FeatureBank
    from fewshot_flair.data import Manifest
    from fewshot_flair.encoders.base import Encoder

__all__ = ["encode", "encode_test", "with_text"]


def encode(
    data: DataSet,
    choice: EncoderChoice,
    sources: Sources,
    how: Encoding,
    progress: Any = None,
    *,
    local: bool = False,
) -> Clinic:
    """Encode what the bank lacks of all sides, and join rows with features; texts come by `with_text`.

    With `local`, local features too, of the choice's tiles.

    Raises
    ------
    InputError
        If a patient or an image is on both sides, a side is empty, or classes differ.
    """
    if local and (how.train_copies or how.test_copies):
        raise InputError(
            "adapters of local features have no augmented copies; leave the copies out, or take other adapters"
        )
    train, test = sources.train, sources.test
    if train.classes != test.classes:
        raise InputError(
            f"the training classes {train.classes} and the test classes {test.classes} differ; "
            "give both manifests the same --classes"
        )
    encoder = how.encoder(choice)
    source, bank = opened(encoder, how, choice.tiles if local else None)
    done = how.filled(sources.all, source, bank, skip_bad=data.skip_bad, progress=progress)
    sides = {
        "train": _only(data, _rows(train, done, bank), "train", data.train_clinics),
        "test": _only(
            data,
            _rows(test, done, bank, "tested: " if data.other_patients else ""),
            "test",
            data.test_clinics,
        ),
    }
    sides = {
        side: replace(rows, copies=_copies(manifest, encoder, how, n, data, progress)) if n else rows
        for (side, rows), manifest, n in zip(
            sides.items(), (train, test), (how.train_copies, how.test_copies), strict=True
        )
    }
    pool: Rows | None
    if data.transductive:
        pool, remarks = pool_of_tested(sides["test"], sum(map(len, sources.pools)))
    else:
        pool, remarks = _pool(sources, done, bank, sides["test"])
    if sources.folds:
        check_classes(train.classes)
    else:
        check_sides(data.name, train.classes, sides["train"], sides["test"])
    remarks += _damage(done)
    if how.train_copies:
        remarks.append(
            f"adapters are fitted on {how.train_copies} augmented copies of each photograph, not on it"
        )
    if how.test_copies:
        remarks.append(
            f"test answers are means of the logits over {how.test_copies} augmented copies of a photograph"
        )
    known, how_known = known_set(data, test)
    remarks += pretrained_on(known, how_known, encoder.name)
    remarks += seen_before(choice, sides["train"], sides["test"])
    skipped = dict.fromkeys([row for side in sources.all for row in side.skipped] + done.skipped)
    return Clinic(
        data.name, train.classes, train.ordinal, sides["train"], sides["test"], pool,
        bank.feature_dims, None, encoder if encoder.has_text else None,
        Provenance(
            data=data.name,
            known_set=known.name if known is not None else "",
            prompts="",
            rendered=sources.rendered,
            brought=False,
            split_given=sources.split_given,
            train=_side(train, sides["train"], train.classes),
            test=_side(test, sides["test"], train.classes),
            pool=None
            if pool is None
            else _side(test if data.transductive else sources.pools[0], pool, train.classes),
            encoder=EncoderMade(
                name=choice.name, fingerprint_id=encoder.fingerprint_id, fingerprint=dict(encoder.fingerprint)
            ),
            feature_dims=dict(encoder.feature_dims),
            encoded=done.encoded,
            from_bank=done.cached,
            twins=[(str(one), str(other)) for one, other in done.twins],
            descriptions={},
            has_text=encoder.has_text,
            text_digest=text_digest(None),
            skipped=[SkippedImage(row=s.row, image=s.image, reason=s.reason) for s in skipped],
            remarks=sources.remarks + remarks,
            terms=terms_of(data, train, test),
            folds=len(sources.folds),
            transductive=data.transductive,
        ),
        _known_rows(sources, train, done),
    )  # fmt: skip


def encode_test(
    home: Clinic,
    data: DataSet,
    choice: EncoderChoice,
    test: Manifest,
    how: Encoding,
    progress: Any = None,
    *,
    remarks: Sequence[str] = (),
) -> Clinic:
    """The clinic with other test rows, or the same spoilt: only these are encoded, training rows are the same object.

    Parameters
    ----------
    data : DataSet
        The test side's (see `DataSet.tested_on`).
    remarks : sequence of str
        What its table's reading left to say.
    """
    encoder = how.testing(data, choice)
    source, bank = opened(encoder, how, choice.tiles if "local" in home.feature_dims else None)
    done = how.filled(test, source, bank, skip_bad=data.skip_bad, progress=progress)
    rows = _only(
        data, _rows(test, done, bank, "tested: " if data.other_patients else ""), "test", data.test_clinics
    )
    if how.test_copies:
        rows = replace(rows, copies=_copies(test, encoder, how, how.test_copies, data, progress))
    if not home.fold_rows:
        check_sides(data.name, home.classes, home.train, rows)
    said, pool = [*remarks, *_damage(done)], home.pool
    if data.transductive:
        pool, more = pool_of_tested(rows)
        said += more
    elif pool is not None:
        pool = _untested(pool, rows)
    known, how_known = known_set(data, test)
    said += [*pretrained_on(known, how_known, encoder.name), *seen_before(choice, home.train, rows)]
    told = home.provenance.model_copy(
        update={
            "data": data.name,
            "known_set": known.name if known is not None else "",
            "rendered": home.provenance.rendered or (test.path.parent / "clinics.json").is_file(),
            "test": _side(test, rows, home.classes),
            "encoded": done.encoded,
            "from_bank": done.cached,
            "twins": [(str(one), str(other)) for one, other in done.twins],
            "skipped": [
                SkippedImage(row=s.row, image=s.image, reason=s.reason)
                for s in dict.fromkeys([*test.skipped, *done.skipped])
            ],
            "remarks": said,
            "terms": terms_of(data, test),
            "corruption": data.corruption or "",
        }
    )
    return replace(home, name=data.name, test=rows, pool=pool, provenance=told)


def with_text(clinic: Clinic, name: str, prompts: Prompts) -> Clinic:
    """The same clinic with its classes' prototypes, from the bank where it has them, else from the tower."""
    if clinic.provenance.brought:
        if prompts != "expert":
            raise InputError(
                f"data set {clinic.name}: prompts cannot vary, as the features brought their own"
            )
        return clinic
    if clinic.tower is None:
        told = clinic.provenance.model_copy(update={"prompts": name})
        return replace(clinic, provenance=told)
    texts = described(clinic.classes, prompts)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", RuntimeWarning)
        text = text_prototypes(clinic.tower, clinic.train.bank, texts)
    doubts = [str(w.message) for w in warned if issubclass(w.category, RuntimeWarning)]
    if others := unused(clinic.classes, prompts):
        are = agreeing(len(others), "is no class", "are no classes")
        doubts.append(f"prompts describe {', '.join(map(repr, others[:20]))}, which {are} here; not used")
    told = clinic.provenance.model_copy(
        update={
            "prompts": name,
            "descriptions": texts,
            "text_digest": text_digest(text),
            "remarks": [*clinic.provenance.remarks, *dict.fromkeys(doubts)],
        }
    )
    return replace(clinic, text=text, provenance=told)


def _copies(
    manifest: Manifest, encoder: Encoder, how: Encoding, n: int, data: DataSet, progress: Any
) -> tuple[FeatureBank, ...]:
    """The banks of so many augmented copies of a side's photographs, filled."""
    from fewshot_flair.bank import FeatureBank
    from fewshot_flair.encoders.augmented import AugmentedEncoder

    banks = []
    for copy in range(n):
        changed = AugmentedEncoder(encoder, copy)
        bank = FeatureBank.open(how.cache, changed)
        how.filled(manifest, changed, bank, skip_bad=data.skip_bad, progress=progress)
        banks.append(bank)
    return tuple(banks)


def _known_rows(
    sources: Sources, manifest: Manifest, done: Extraction
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """The folds' rows, counted through those that could be encoded."""
    known = np.array([str(path) in done.keys for path in manifest.frame["path"]], dtype=bool)
    place = np.cumsum(known) - 1
    return tuple((place[train[known[train]]], place[test[known[test]]]) for train, test in sources.folds)


def _rows(manifest: Manifest, done: Extraction, bank: FeatureBank, prefix: str = "") -> Rows:
    frame = manifest.frame
    known = np.array([str(path) in done.keys for path in frame["path"]], dtype=bool)
    frame, y = frame[known], manifest.y[known]
    patients = [
        f"{prefix}{patient}" if patient else f"image {path}"
        for patient, path in zip(frame["patient_id"], frame["path"], strict=True)
    ]
    return Rows(
        y=np.asarray(y, dtype=np.int64),
        images=[str(image) for image in frame["image"]],
        patients=patients,
        clinics=[str(clinic) for clinic in frame["clinic"]],
        keys=[done.keys[str(path)] for path in frame["path"]],
        bank=bank,
        paths=[str(path) for path in frame["path"]],
    )


def _pool(sources: Sources, done: Extraction, bank: FeatureBank, test: Rows) -> tuple[Rows | None, list[str]]:
    """The rows without labels, each photograph once, but for those of test patients and test photographs."""
    if not sources.pools:
        return None, []
    pool = joined([_rows(manifest, done, bank) for manifest in sources.pools])
    kept = _untested(pool, test)
    n = 0 if kept is None else len(kept)
    left = len(pool) - n
    images = f"{counted(n, 'image')} without a label {agreeing(n, 'is', 'are')} the pool"
    said = [f"{images}: adapters that can learn from {agreeing(n, 'it', 'them')}"] if n else []
    if left:
        are = agreeing(left, "is a test photograph", "are test photographs")
        said.append(
            f"{counted(left, 'image')} without a label {are}, or of a test patient, and "
            f"{agreeing(left, 'was', 'were')} left out of the pool{'' if n else ', which is empty now'}"
        )
    return kept, said


def _untested(pool: Rows, test: Rows) -> Rows | None:
    """The rows of a pool that are neither of test patients nor test photographs; None where there is none."""
    patients, keys = {lookalike_key(patient) for patient in test.patients}, set(test.keys)
    kept = [
        i
        for i, (patient, key) in enumerate(zip(pool.patients, pool.keys, strict=True))
        if lookalike_key(patient) not in patients and key not in keys
    ]
    return pool.take(np.array(kept, dtype=np.int64)) if kept else None


def _damage(done: Extraction) -> list[str]:
    """What is to be said where the bank had damaged features, which were computed anew."""
    from fewshot_flair.bank.extraction import told_of_damage

    return [told_of_damage(done.damaged)] if done.damaged else []


def _side(manifest: Manifest, rows: Rows, classes: list[str]) -> Any:
    named = bool((manifest.frame["patient_id"] != "").any())
    return side_of(rows, manifest.path, manifest.fingerprint, classes, named=named)


def _only(data: DataSet, rows: Rows, side: str, wanted: list[str] | None) -> Rows:
    """Only the rows of the named clinics (the ``clinic`` column), to adapt in one and test in another."""
    if wanted is None:
        return rows
    keep = np.flatnonzero(np.isin(rows.clinics, wanted))
    if not len(keep):
        known = ", ".join(sorted(set(rows.clinics) - {""}))
        there = f"there are {known}" if known else "no row names its clinic (a column clinic)"
        raise InputError(f"{data.name}: no {side} row of clinic {', '.join(wanted)}; {there}")
    return rows.take(keep)
