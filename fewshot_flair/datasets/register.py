"""The register of public data sets: one small TOML file each in ``sets/``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from fewshot_flair.errors import InputError
from fewshot_flair.files import read_toml
from fewshot_flair.words import nearest

__all__ = ["Counts", "KnownSet", "Part", "get_set", "list_sets", "recognised"]

SETS = Path(__file__).parent / "sets"
NOT_TRAINED_ON = ("no", "held out")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(_Strict):
    """A part of a data set's published layout: a table of labels and a folder of photographs, or the latter alone.

    Attributes
    ----------
    images : str
        Pattern of the photographs' paths below the data set's folder, as `pathlib.Path.glob` takes it.
    split : str
        The side that the publisher puts these photographs on; empty where there is none.
    table : str, optional
        Pattern of the publisher's table of labels.
    image, label, patient : str
        Its columns; of several for the label the first that is not empty. Where there is no `table`, `label` is the
        class of all photographs.
    header : bool
        Whether the table's first row names the columns; else they are called ``0``, ``1``, ….
    where : dict
        Only rows that have these entries, by column.
    values : dict
        Class by entry of the label; rows of other entries are left out.
    label_pattern : str, optional
        Without a table: a regular expression whose group in a photograph's path is the label's entry.
    """

    images: str
    split: Literal["", "train", "val", "test"] = ""
    table: str | None = None
    image: str = "image"
    label: str | list[str] = ""
    patient: str | None = None
    header: bool = True
    where: dict[str, str] = {}
    values: dict[str, str] = {}
    label_pattern: str | None = None


class Counts(_Strict):
    """Photographs by class as they were published, and where."""

    source: str
    classes: dict[str, int]


class KnownSet(_Strict):
    """What is known of a public data set.

    Attributes
    ----------
    name : str
        As ``fewshot-flair data prepare`` takes it.
    also : list of str
        Other names: those of split tables and folders in papers' repositories.
    source, licence, citation : str
        Where it is had, on what terms, and what to cite.
    classes : list of str
        In the order of the classifier's columns.
    ordinal : bool
        Whether that order is one of grades, beyond those that are known by their names.
    patients : str
        How a photograph's patient is known, in words.
    patient_pattern : str, optional
        A regular expression whose group in a photograph's path is the patient.
    pretrained : dict
        By encoder: whether it was pre-trained on the set. ``no``, ``held out``, or in words what of it.
    spellings : dict
        Class by other names of it in split tables.
    counts : list of Counts
        To check against; of several, of the whole set and of its parts, one must agree.
    parts : list of Part
        The published layout; empty where labels have no rule here and a split table must be given.
    """

    name: str
    title: str
    task: str
    also: list[str] = []
    source: str
    licence: str
    citation: str
    classes: list[str]
    ordinal: bool = False
    patients: str
    patient_pattern: str | None = None
    pretrained: dict[str, str] = {}
    spellings: dict[str, str] = {}
    note: str = ""
    counts: list[Counts] = []
    parts: list[Part] = []

    @model_validator(mode="after")
    def _labels_are_classes(self) -> KnownSet:
        labels = {*self.spellings.values(), *(name for counts in self.counts for name in counts.classes)}
        for part in self.parts:
            labels |= {*part.values.values()} if part.values else {str(part.label)}
        if unknown := labels - set(self.classes):
            raise ValueError(f"{self.name}: {', '.join(sorted(unknown))}: not among the classes")
        return self

    def trained_on(self, encoder: str) -> str:
        """What of it an encoder was pre-trained on, in words; empty where nothing, or where that is not known."""
        told = self.pretrained.get(encoder, "no")
        return "" if told in NOT_TRAINED_ON else told


@cache
def list_sets() -> list[KnownSet]:
    """All data sets of the register, by name."""
    return [KnownSet(name=path.stem, **read_toml(path)[1]) for path in sorted(SETS.glob("*.toml"))]


def get_set(name: str) -> KnownSet:
    """The data set of a name, in whatever case, or of one of its other names.

    Raises
    ------
    InputError
        If the register has none of that name.
    """
    if (found := recognised([name])) is not None:
        return found
    names = [known.name for known in list_sets()]
    hint = nearest(name.lower(), names)
    raise InputError(
        f"data set {name!r} is not in the register (`fewshot-flair data list`){f'; {hint}' if hint else ''}"
    )


def recognised(names: Sequence[str]) -> KnownSet | None:
    """The data set that one of these names is of, the first that is known; None where none is."""
    for name in names:
        for known in list_sets():
            if _plain(name) in {_plain(other) for other in (known.name, known.title, *known.also)}:
                return known
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())
