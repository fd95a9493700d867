"""Entries of a study: its data sets, its encoders, and what is made of the probabilities of saved adapters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fewshot_flair.errors import InputError
from fewshot_flair.images.corruptions.base import corruption_of, names_corruption
from fewshot_flair.images.tiles import Tiles
from fewshot_flair.strict import Strict

__all__ = ["FLAIR_2025", "DataSet", "DecisionChoice", "EncoderChoice", "Short", "TestSide", "data_name"]

FLAIR_2025 = "flair-2025"
"""The protocol of FLAIR's tables: zero-shot on every row, other adapters over five folds of the rows as they come."""
Short = Annotated[str, Field(max_length=1000)]


class DataSet(Strict):
    """One data set of a study: where its training, test and pool rows are, and how their tables are read.

    ``manifest = "demo"`` is the embedded demo clinic. The fields that `Manifest.read` has too mean the same.

    Attributes
    ----------
    test_on, test_images : str, optional
        Another manifest to test on (its test rows, or all where it has no split), and its folder of images.
    pool, pool_images : str, optional
        A manifest or folder of photographs without labels, beside the rows of `manifest` that have none.
    transductive : bool
        The test photographs, without their labels, are the pool: adapters that can learn from them. Not with `pool`.
    other_patients : bool
        The patients of `test_on` are other people even where identifiers agree.
    corruption : str, optional
        What spoils the test photographs, as ``"blur:3"`` (see `fewshot_flair.images.corruption_of`).
    on_leak : {"refuse", "drop-train"}
        Whether a photograph on both sides of the split ends the study, or leaves the training side.
    train_clinics, test_clinics : list of str, optional
        Only the rows of these values of the column ``clinic``.
    unlabelled : int, optional
        Instead of the study's own.
    """

    name: Short
    manifest: str
    images: str | None = None
    test_on: str | None = None
    test_images: str | None = None
    pool: str | None = None
    pool_images: str | None = None
    transductive: bool = False
    classes: list[str] | None = None
    ordered: bool = False
    image_column: str = "image"
    label_column: str = "label"
    patient_column: str = "patient_id"
    encoding: str | None = None
    sheet: str | None = None
    scale: Literal["dr"] | None = None
    skip_bad: bool = False
    other_patients: bool = False
    corruption: str | None = None
    on_leak: Literal["refuse", "drop-train"] = "refuse"
    train_clinics: list[str] | None = None
    test_clinics: list[str] | None = None
    unlabelled: int | None = Field(default=None, ge=0)
    source: str | None = None
    licence: str | None = None

    @model_validator(mode="after")
    def _one_pool(self) -> DataSet:
        if self.transductive and self.pool is not None:
            raise ValueError(
                "transductive learns from the test photographs and pool names others; give one of the two"
            )
        return self

    @field_validator("corruption")
    @classmethod
    def _known_corruption(cls, value: str | None) -> str | None:
        return None if value is None else corruption_of(value).label

    def tested_on(self, where: str) -> TestSide:
        """The same training side with another test side: a manifest, ``"demo"``, or what spoils the own test rows.

        Patients of another manifest are other people.
        """
        if names_corruption(where):
            test = corruption_of(where).label
            changes: dict[str, object] = {"corruption": test}
        else:
            test = data_name(where)
            changes = {"test_on": where, "test_images": None, "other_patients": True}
            changes |= {"corruption": None, "test_clinics": None, "source": None, "licence": None}
        name = f"{self.name}, tested on {test}"
        return TestSide(self.model_copy(update=changes | {"name": name}), self.name, test, "out")


@dataclass(frozen=True)
class TestSide:
    """A data set, or one of its further test sides.

    Attributes
    ----------
    data : DataSet
        Its name tells the sides apart.
    home : str
        Name of the data set of the study.
    test : str
        What is tested on: the name of the data set itself, of another, or of a corruption.
    distribution : {"in", "out"}
        Whether these are the data set's own test rows, or one of the study's `tests`.
    """

    __test__ = False  # no test case, whatever its name

    data: DataSet
    home: str
    test: str
    distribution: Literal["in", "out"] = "in"


class EncoderChoice(Strict):
    """One encoder of a study, with the options of `load_encoder`.

    Attributes
    ----------
    name : str
        Its name in tables and pictures.
    load : str, optional
        What `load_encoder` takes; by default the name.
    text_encoder, precision, engine, fast : optional
        As `load_encoder` takes them.
    tiles : str
        Of the local features that some adapters take: "1x1" for those of the canvas, "2x2" for those of
        overlapping tiles, each enlarged to a canvas of its own.
    frequencies : str, optional
        CSV of how many photographs of each concept its pre-training had (columns concept and photographs); by default
        ``frequencies.csv`` beside the weights, as `pretrain` leaves it.
    """

    name: Short
    load: str | None = None
    text_encoder: str | None = None
    precision: str | None = None
    engine: str = "torch"
    fast: bool = False
    tiles: str = "1x1"
    frequencies: str | None = None

    @field_validator("tiles")
    @classmethod
    def _names_tiles(cls, value: str) -> str:
        try:
            return str(Tiles.parse(value))
        except InputError as error:
            raise ValueError(str(error)) from None

    @property
    def asked(self) -> str:
        """What `load_encoder` takes."""
        return self.load or self.name

    @property
    def loading(self) -> tuple[str, str | None, str | None, str, bool]:
        """All that decides what is loaded, whatever the study calls it."""
        return self.asked, self.text_encoder, self.precision, self.engine, self.fast


class DecisionChoice(Strict):
    """What is made of the probabilities of saved adapters (see `models.Decision`).

    Attributes
    ----------
    calibration : {"temperature", "class-wise", "none"}
        A temperature never changes the likeliest class. ``"class-wise"`` adds a bias a class where counts allow
        it and it is better on other folds; it moves answers towards the classes that are common in training.
    positive : list of str, optional
        Classes that are positive together, as the referable grades; of two classes the second by default.
    operating_point : str, optional
        ``sensitivity=0.9`` or ``specificity=0.95``: reached on the training rows, out of fold.
    prevalence : dict of class to share, or "estimate", optional
        Of the place of use; the test rows' probabilities are measured moved to it, too.
    max_error : float
        The error of answers that nobody looks at; less sure photographs are referred.
    alpha : float
        Of the sets that go with the answers: the share of true classes that may be missing from them.
    """

    calibration: Literal["temperature", "class-wise", "none"] = "temperature"
    positive: list[str] | None = None
    operating_point: str | None = None
    prevalence: dict[str, float] | Literal["estimate"] | None = None
    max_error: float = Field(default=0.05, ge=0, lt=1)
    alpha: float = Field(default=0.1, gt=0, lt=1)

    @field_validator("operating_point")
    @classmethod
    def _names_a_share(cls, value: str | None) -> str | None:
        if value is not None:
            _wish(value)
        return value

    @property
    def wish(self) -> tuple[str, float] | None:
        """The operating point, as ("sensitivity", 0.9)."""
        return None if self.operating_point is None else _wish(self.operating_point)


def _wish(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        wanted = float(share)
    except ValueError:
        wanted = float("nan")
    if name.strip() not in ("sensitivity", "specificity") or not 0 < wanted < 1:
        raise ValueError(f"{text!r}: give sensitivity=0.9 or specificity=0.95, a share between 0 and 1")
    return name.strip(), wanted


def data_name(manifest: str) -> str:
    """What a data set is called: its file, or its folder where the file is just the manifest."""
    if manifest == "demo":
        return "demo clinic"
    path = Path(manifest).resolve()
    return (path.parent.name if path.stem in ("manifest", "labels", "data") else path.stem) or str(path)
