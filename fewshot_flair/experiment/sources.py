"""The tables of a data set: which photographs are for training, for testing, and without labels."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.memo import keys_of_files
from fewshot_flair.data.checks import BadRowsError
from fewshot_flair.data.manifest import Manifest
from fewshot_flair.data.twins import Twin, differently_labelled, on_both_sides, twins, twins_message
from fewshot_flair.datasets.register import recognised
from fewshot_flair.episodes.folds import flair_folds, inseparable, patient_folds
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.choices import FLAIR_2025, DataSet, TestSide
from fewshot_flair.words import counted

__all__ = ["FEATURES", "Fold", "Sources", "holds_features", "read_folded", "read_sources", "read_tests"]

FEATURES = "features"
"""What stands for the encoder where the data bring their features along."""

Told = Callable[[int, int], None]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Places of the rows to fit on and of the rows to test on."""


@dataclass(frozen=True)
class Sources:
    """The manifests of a data set's sides; `pools` is empty where every row has a label.

    Where a study makes folds, all labelled rows are `train` and `test` both, and `folds` has the places of the rows of
    each fold's two sides.
    """

    train: Manifest
    test: Manifest
    pools: list[Manifest]
    split_given: bool
    remarks: list[str]
    folds: list[Fold] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    """Digests of the files by their paths."""

    @property
    def all(self) -> list[Manifest]:
        """Every side that is there."""
        return [self.train, self.test, *self.pools]

    @property
    def rendered(self) -> bool:
        """Whether the photographs were drawn by `rendering`, which leaves its description beside them."""
        return any((side.path.parent / "clinics.json").is_file() for side in self.all)


def holds_features(path: str | Path) -> bool:
    """Whether data are a file of features (``.npz``) rather than of photographs."""
    return Path(path).suffix.lower() == ".npz"


def read_sources(
    data: DataSet, folder: Path = Path(), progress: Told | None = None, cache: Path | None = None
) -> Sources:
    """Read the training, test and pool rows of a data set of photographs.

    Parameters
    ----------
    folder : Path
        What relative paths start from.
    progress : callable, optional
        Told how far the demo clinic's rendering is, the first time.
    cache : Path, optional
        Where the digests of files are remembered.

    Raises
    ------
    InputError, MissingFileError
        As `Manifest.read`; a patient on both sides is found here, and a photograph that has two labels or is
        both trained on and tested on.
    """
    first = _read(data, data.manifest, data.images, folder, progress)
    others = (
        [] if data.test_on is None else [_read_tested(data, data.test_on, folder, progress, first.classes)]
    )
    pools = (
        []
        if data.pool is None
        else [_read(data, data.pool, data.pool_images, folder, None, labels_required=False)]
    )
    keys = keys_of_files([path for side in (first, *others, *pools) for path in side.frame["path"]], cache)
    drawn = not first.has_split and not others
    if drawn:
        first = first.with_split(keys=keys)
    labelled = first.take(first.y >= 0)
    own_pool = (
        first.split("pool") if len(labelled) < len(first) and first.has_split else first.take(first.y < 0)
    )
    train = labelled.split("train") if labelled.has_split else labelled
    test = _test_rows(others[0]) if others else labelled.split("test")
    remarks = [said for side in (first, *others, *pools) for said in side.remarks]
    if first.has_split and first.pool_left_out:
        remarks.append(
            f"{first.pool_left_out} images without a label are of test patients and were left out of the pool"
        )
    pools = [side for side in (own_pool, *pools) if len(side)]
    train, dropped = _without_twins(data, train, test, pools, keys)
    return Sources(train, test, pools, not drawn, remarks + dropped, keys=keys)


def read_tests(
    sides: Sequence[TestSide], home: Sources, folder: Path = Path(), cache: Path | None = None
) -> tuple[Sources, dict[str, Manifest]]:
    """Read further test sides of a data set that was read: its sources, and the test rows by the name of the side.

    A photograph that is trained on and tested on elsewhere ends this, or leaves the training rows of all sides
    (`DataSet.on_leak`).

    Raises
    ------
    InputError, MissingFileError
        As `read_sources`.
    """
    tests = {}
    for side in sides:
        where = side.data.test_on
        if side.data.corruption is not None or where is None:
            tests[side.data.name] = home.test
            continue
        test = _test_rows(_read_tested(side.data, where, folder, None, home.train.classes))
        keys = home.keys | keys_of_files([str(path) for path in test.frame["path"]], cache)
        train, said = _without_leaks(side.data, home.train, test, keys)
        home = replace(home, train=train, remarks=home.remarks + said)
        own = twins({"test": test}, keys)
        tests[side.data.name] = replace(test, remarks=test.remarks + _two_labels(own))
    return home, tests


def _test_rows(manifest: Manifest) -> Manifest:
    """The test rows of another table: those of its split, or all with a label."""
    return manifest.split("test") if manifest.has_split else manifest.take(manifest.y >= 0)


def read_folded(
    data: DataSet,
    folds: int,
    folder: Path = Path(),
    progress: Told | None = None,
    cache: Path | None = None,
    *,
    published: bool = False,
) -> Sources:
    """Read a data set whose sides are made anew, so many times.

    Parameters
    ----------
    folds : int
        Each labelled row is tested once; neither a patient nor a photograph that is there twice is parted.
    published : bool
        The folds of FLAIR's tables instead (see `flair_folds`): rows as they come.

    Raises
    ------
    InputError, MissingFileError
        As `Manifest.read`; if the data set names another table to test on, or has too few patients.
    """
    if data.test_on is not None:
        raise InputError(
            f"data set {data.name}: folds make both sides of one table; leave test_on out, or folds"
        )
    whole = _read(data, data.manifest, data.images, folder, progress, keep_repeats=published)
    labelled = whole.take(whole.y >= 0)
    pools = [side for side in (whole.take(whole.y < 0),) if len(side)]
    if data.pool is not None:
        pools.append(_read(data, data.pool, data.pool_images, folder, None, labels_required=False))
    remarks = [said for side in (whole, *pools[1:]) for said in side.remarks]
    if whole.has_split:
        remarks.append(f"the column of sides is not used: {folds} folds of all labelled rows are")
    paths = labelled.frame["path"].tolist()
    keys = keys_of_files(paths, cache)
    if published:
        parts = flair_folds(labelled.y, folds)
        if not all(len(train) and len(test) for train, test in parts):
            raise InputError(
                f"data set {data.name}: protocol {FLAIR_2025} tests a fifth of each class, rounded down, and no "
                f"class of its {len(labelled)} rows has five; give more photographs"
            )
        remarks += _published_remarks(labelled, paths, keys, parts)
    else:
        patients = [
            patient or path for patient, path in zip(labelled.frame["patient_id"], paths, strict=True)
        ]
        groups = inseparable(patients, [keys.get(path, path) for path in paths])
        parts = patient_folds(labelled.y, groups, folds, seed=0)
        if len(parts) < folds:
            raise InputError(
                f"data set {data.name}: {folds} folds need as many patients, and as many images of a class; there are "
                f"{len(set(groups.tolist()))} patients, and {np.bincount(labelled.y).max()} images of the largest class"
            )
        remarks.append(
            f"{folds} folds, stratified by class: each labelled row is tested once, no patient is parted"
        )
    return Sources(labelled, labelled, pools, True, remarks, parts)


def _published_remarks(
    labelled: Manifest, paths: list[str], keys: dict[str, str], parts: list[Fold]
) -> list[str]:
    """What the folds of FLAIR's tables do that a careful study would not, and whether they are the paper's."""
    said = [
        f"protocol {FLAIR_2025}: {len(parts)} folds of the rows as they come, as the paper draws them: patients are "
        "not kept together; zero-shot is tested on every row, so that differences from it are not paired"
    ]
    names = [keys.get(path, path) for path in paths]
    both = [len({names[i] for i in train} & {names[i] for i in test}) for train, test in parts]
    if any(both):
        said.append(
            f"the same photograph is in training and in test: {', '.join(map(str, both))} of them in the folds, which "
            "flatters the figures as it does the published ones"
        )
    named = len(labelled) if labelled.card is None else labelled.card.named
    if labelled.skipped or named != len(labelled):
        n = named - len(labelled) if named != len(labelled) else len(labelled.skipped)
        said.append(
            f"{counted(n, 'row')} of the table left out, so the folds are not the paper's: they depend on every row"
        )
    return said


def _without_twins(
    data: DataSet, train: Manifest, test: Manifest, pools: list[Manifest], keys: dict[str, str]
) -> tuple[Manifest, list[str]]:
    """The training rows that are not tested on too (see `_without_leaks`), and what is wrong with labels."""
    train, said = _without_leaks(data, train, test, keys)
    groups = twins({"train": train, "test": test} | {f"pool {i}": p for i, p in enumerate(pools)}, keys)
    return train, said + _two_labels(groups)


def _without_leaks(
    data: DataSet, train: Manifest, test: Manifest, keys: dict[str, str]
) -> tuple[Manifest, list[str]]:
    """The training rows that are not tested on too, where that was asked for; else such a row is refused."""
    leaks = on_both_sides(twins({"train": train, "test": test}, keys))
    if not leaks:
        return train, []
    where = "trained on and tested on"
    if data.on_leak == "refuse":
        mend = "remove one of each, or go on without the training ones (--on-leak drop-train)"
        raise InputError(twins_message(leaks, f"{where}; {mend}"))
    tested = {keys[path] for path in test.frame["path"] if path in keys}
    keep = np.array([keys.get(path) not in tested for path in train.frame["path"]])
    return train.take(keep), [twins_message(leaks, f"{where}; the training ones were dropped")]


def _two_labels(groups: list[list[Twin]]) -> list[str]:
    wrong = differently_labelled(groups)
    if not wrong:
        return []
    what = "under two names with two labels, of which one is wrong: mend or remove them"
    return [twins_message(wrong, what)]


def _read_tested(
    data: DataSet, where: str, folder: Path, progress: Told | None, classes: list[str]
) -> Manifest:
    """Read the table to test on; its paths start from `images` too, where none is found from its own folder."""
    try:
        return _read(data, where, data.test_images, folder, progress, classes=classes)
    except BadRowsError as error:
        lost = all("is not there" in row.reason for row in error.rows)
        if not lost or data.images is None or data.test_images is not None:
            raise
        return _read(data, where, data.images, folder, progress, classes=classes)


def _read(
    data: DataSet,
    where: str,
    images: str | None,
    folder: Path,
    progress: Told | None,
    **changes: object,
) -> Manifest:
    if where == "demo":
        from fewshot_flair.rendering.demo import demo_clinic

        path = demo_clinic(progress=progress)
    else:
        path = folder / where
    known = recognised([data.name, path.stem])
    if not path.exists() and known is not None:
        raise MissingFileError(
            f"data set {data.name}: no manifest {path}; `fewshot-flair data prepare {known.name} FOLDER --out {path}` "
            f"makes it of the photographs, which are at {known.source} (licence: {known.licence}); or run the study on "
            "other data (--on demo)"
        )
    if not path.exists() and data.source:
        raise MissingFileError(
            f"data set {data.name}: no manifest {path}; the photographs are at {data.source} "
            f"(licence: {data.licence}); write their table there with the columns {data.image_column} and "
            f"{data.label_column} (classes: {', '.join(data.classes or ['any'])}), or run the study on "
            "other data (--on demo)"
        )
    # whatever a data set and `Manifest.read` both know has one name
    shared = set(inspect.signature(Manifest.read).parameters) & set(DataSet.model_fields)
    settings = {name: getattr(data, name) for name in shared - {"images"}} | changes
    return Manifest.read(path, images=folder / images if images else None, **settings)
