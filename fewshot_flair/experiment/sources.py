"""The tables of a data set: which photographs are for training, for testing, and without labels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fewshot_flair.data.manifest import Manifest
from fewshot_flair.errors import MissingFileError
from fewshot_flair.experiment.design import DataSet

__all__ = ["FEATURES", "Sources", "holds_features", "read_sources"]

FEATURES = "features"
"""What stands for the encoder where the data bring their features along."""

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Sources:
    """The manifests of a data set's sides; `pools` is empty where every row has a label."""

    train: Manifest
    test: Manifest
    pools: list[Manifest]
    split_given: bool

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


def read_sources(data: DataSet, folder: Path = Path(), progress: Told | None = None) -> Sources:
    """Read the training, test and pool rows of a data set of photographs.

    Parameters
    ----------
    folder : Path
        What relative paths start from.
    progress : callable, optional
        Told how far the demo clinic's rendering is, the first time.

    Raises
    ------
    InputError, MissingFileError
        As `Manifest.read`; a patient on both sides is found here.
    """
    first = _read(data, data.manifest, data.images, folder, progress)
    labelled = first.take(first.y >= 0)
    pools = [part for part in (first.take(first.y < 0),) if len(part)]
    if data.pool is not None:
        pools.append(_read(data, data.pool, data.pool_images, folder, None, labels_required=False))
    if data.test_on is None:
        train, test = labelled.split("train"), labelled.split("test")
        return Sources(train, test, pools, train.split_given)
    other = _read(data, data.test_on, data.test_images, folder, progress, classes=first.classes)
    train = labelled.split("train") if labelled.has_split else labelled
    return Sources(train, other.split("test") if other.has_split else other, pools, True)


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
