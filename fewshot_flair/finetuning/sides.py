"""What a network is trained on and where it is tested: here, elsewhere, and on photographs that are spoilt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank import FeatureBank
from fewshot_flair.data.manifest import Manifest
from fewshot_flair.data.twins import on_both_sides, twins, twins_message
from fewshot_flair.encoders.base import Encoder
from fewshot_flair.encoders.corrupted import CorruptedEncoder
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import DataSet, data_name
from fewshot_flair.experiment.clinic import check_classes
from fewshot_flair.experiment.sources import read_sources
from fewshot_flair.files import digest_of
from fewshot_flair.images.corruptions.base import Corruption, corruption_of

if TYPE_CHECKING:
    from fewshot_flair.experiment.encoding import Encoding

__all__ = ["Side", "read_sides"]

Extracting = Callable[[str], Any]
"""The name of a side to a context manager that gives the progress callback of `extract`."""


@dataclass(frozen=True, eq=False)
class Side:
    """Rows with the features of the frozen encoder in its bank.

    Attributes
    ----------
    name : str
        ``idrid``, ``dr-clinic blur:3``.
    distribution : {"in", "out"}
        Whether the rows are test rows of the data set that was trained on, as they are.
    encoder : Encoder
        Which prepares the photographs; of spoilt ones a `CorruptedEncoder`.
    """

    name: str
    distribution: str
    manifest: Manifest
    encoder: Encoder
    bank: FeatureBank
    keys: list[str]

    @property
    def y(self) -> NDArray[np.int64]:
        """Classes of the rows, as positions."""
        return self.manifest.y

    @property
    def paths(self) -> list[str]:
        """Files of the rows."""
        return [str(path) for path in self.manifest.frame["path"]]

    @property
    def patients(self) -> list[str]:
        """Patients of the rows; a photograph without one is of a patient of its own."""
        return [p or path for p, path in zip(self.manifest.frame["patient_id"], self.paths, strict=True)]

    @property
    def digest(self) -> str:
        """Of which photographs these are, with what labels, and how they are prepared."""
        return digest_of([self.keys, self.y.tolist(), self.encoder.fingerprint_id])

    def features(self, kind: str) -> NDArray[np.float32]:
        """Features of the frozen encoder: (n, width)."""
        return self.bank.read(self.keys, kind)


def read_sides(
    data: DataSet,
    test_on: Sequence[str],
    corruptions: Sequence[str],
    encoder: Encoder,
    how: Encoding,
    extracting: Extracting,
) -> tuple[Side, list[Side], list[str]]:
    """Read and check all tables, then encode what the bank lacks: training rows, test sides, and remarks.

    Parameters
    ----------
    test_on : sequence of str
        Manifests of other places; their test rows, or all where they have no split. Their patients are other people.
    corruptions : sequence of str
        As `corruption_of` takes them; each spoils the test rows of the data set itself.

    Raises
    ------
    InputError
        As `read_sources`; if another place has a class that is not known here, or a photograph that is trained on.
    """
    spoilt = [corruption_of(text) for text in corruptions]
    own = read_sources(data, Path(), None, how.cache)
    check_classes(own.train.classes)
    others = {data_name(where): _elsewhere(data, where, own.train) for where in test_on}
    if len(others) < len(test_on) or data.name in others:
        raise InputError("--test-on: two places have the same name; rename a file, or its folder")
    remarks = [*own.remarks, *(said for side in others.values() for said in side.remarks)]
    train = _encoded("training rows", "in", own.train, encoder, data, how, extracting)
    tests = [_encoded(data.name, "in", own.test, encoder, data, how, extracting)]
    for name, manifest in others.items():
        side = _encoded(name, "out", manifest, encoder, data, how, extracting)
        _check_leak(train, side)
        tests.append(side)
    for corruption in spoilt:
        tests.append(_spoilt(corruption, data, own.test, encoder, how, extracting))
    left_out = len(own.train) + len(own.test) - len(train.keys) - len(tests[0].keys)
    if left_out:
        remarks.append(f"{left_out} photographs could not be read and were left out")
    return train, tests, remarks


def _elsewhere(data: DataSet, where: str, train: Manifest) -> Manifest:
    read = {"scale": data.scale, "ordered": data.ordered, "skip_bad": data.skip_bad}
    manifest = Manifest.read(where, classes=train.classes, **read)  # type: ignore[arg-type]
    return manifest.split("test") if manifest.has_split else manifest.take(manifest.y >= 0)


def _check_leak(train: Side, test: Side) -> None:
    keys = dict(zip(train.paths + test.paths, train.keys + test.keys, strict=True))
    leaks = on_both_sides(twins({"train": train.manifest, "test": test.manifest}, keys))
    if leaks:
        raise InputError(twins_message(leaks, "trained on and tested on; remove one of each"))


def _encoded(
    name: str,
    distribution: str,
    manifest: Manifest,
    encoder: Encoder,
    data: DataSet,
    how: Encoding,
    extracting: Extracting,
) -> Side:
    bank = FeatureBank.open(how.cache, encoder)
    with extracting(name) as progress:
        done = how.filled(manifest, encoder, bank, skip_bad=data.skip_bad, progress=progress)
    paths = [str(path) for path in manifest.frame["path"]]
    manifest = manifest.take(np.array([path in done.keys for path in paths], dtype=bool))
    keys = [done.keys[path] for path in paths if path in done.keys]
    if not keys:
        raise InputError(f"{name}: no photograph of it could be read")
    return Side(name, distribution, manifest, encoder, bank, keys)


def _spoilt(
    corruption: Corruption,
    data: DataSet,
    test: Manifest,
    encoder: Encoder,
    how: Encoding,
    extracting: Extracting,
) -> Side:
    changed = CorruptedEncoder(encoder, corruption)
    return _encoded(f"{data.name} {corruption.label}", "out", test, changed, data, how, extracting)
