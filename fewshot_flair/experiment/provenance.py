"""What results record of the data and the encoder that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from fewshot_flair.experiment.clinic import Rows

__all__ = ["EncoderMade", "Frequencies", "Provenance", "Side", "SkippedImage", "side_of"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Side(_Record):
    """The training, test or pool rows of a data set.

    Attributes
    ----------
    path : str
        The table or folder that they were read from.
    fingerprint : str
        Hex sha256 of what it says (see `Manifest.fingerprint`), or of a file of features.
    patients : int or None
        None where no patient is named.
    counts : dict of str to int
        Images by class; empty for a pool.
    """

    path: str
    fingerprint: str
    images: int
    patients: int | None
    counts: dict[str, int]


class EncoderMade(_Record):
    """Which encoder made the features: its name and the fingerprint of weights, preparation and precision."""

    name: str
    fingerprint_id: str
    fingerprint: dict[str, Any]


class Frequencies(_Record):
    """How often an encoder's pre-training met the classes.

    Attributes
    ----------
    encoder : str
        What the study calls it.
    path : str
        The table that says so.
    sha256 : str
        Its digest.
    concepts : dict of str to str
        What the table calls each class that it has.
    photographs : dict of str to int
        Of each of those classes.
    """

    encoder: str
    path: str
    sha256: str
    concepts: dict[str, str]
    photographs: dict[str, int]


class SkippedImage(_Record):
    """A row that was left out: its number in the file, its image and why."""

    row: int
    image: str
    reason: str


class Provenance(_Record):
    """Where the features, labels and texts of one data set with one encoder come from.

    Attributes
    ----------
    data, prompts : str
        Names of the data set and of the prompts.
    known_set : str
        Name of the public data set that is tested on, in the register; empty where it is none of them.
    rendered : bool
        Whether the photographs were drawn by a program.
    brought : bool
        Whether the features came without photographs.
    split_given : bool
        Whether the table says who is tested on, or the split was drawn here.
    pool : Side or None
        Photographs without labels that adapters may learn from.
    corruption : str
        What spoils the test photographs; empty where nothing does.
    transductive : bool
        Whether these are the test photographs themselves.
    encoded, from_bank : int
        Images encoded now, and images whose features were there.
    twins : list of (str, str)
        Photographs that are there under two names.
    descriptions : dict of str to list of str
        What each class says to the text tower; empty without one, or where features brought their prototypes.
    text_digest : str
        Hex sha256 of the prototypes.
    folds : int
        How many divisions of the rows into two sides there are; 0 where the sides are fixed. With folds both sides are
        all labelled rows.
    frequencies : Frequencies or None
        None where it is not known how often pre-training met the classes, or was not asked.
    remarks : list of str
        What was merged, guessed or left out, in sentences.
    terms : list of str
        Source, licence and citation of its data sets, where they are known.
    """

    data: str
    prompts: str
    known_set: str = ""
    rendered: bool
    brought: bool
    split_given: bool
    train: Side
    test: Side
    pool: Side | None
    encoder: EncoderMade
    feature_dims: dict[str, int]
    encoded: int
    from_bank: int
    twins: list[tuple[str, str]]
    descriptions: dict[str, list[str]]
    has_text: bool
    text_digest: str
    skipped: list[SkippedImage]
    remarks: list[str]
    terms: list[str] = []
    folds: int = 0
    corruption: str = ""
    transductive: bool = False
    frequencies: Frequencies | None = None

    @property
    def names_patients(self) -> bool:
        """Whether both sides name their patients."""
        return None not in (self.train.patients, self.test.patients)


def side_of(rows: Rows, path: Path, fingerprint: str, classes: Sequence[str], *, named: bool) -> Side:
    """Describe one side's rows."""
    counts = {name: int((rows.y == code).sum()) for code, name in enumerate(classes)}
    return Side(
        path=str(path),
        fingerprint=fingerprint,
        images=len(rows),
        patients=len(set(rows.patients)) if named else None,
        counts=counts if any(counts.values()) else {},
    )
