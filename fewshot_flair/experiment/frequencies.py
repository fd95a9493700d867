"""How often an encoder's pre-training met the classes of a study, and their recall beside that."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewshot_flair.errors import FewshotFlairError, InputError, MissingFileError
from fewshot_flair.experiment.choices import EncoderChoice
from fewshot_flair.experiment.clinic import Clinic
from fewshot_flair.experiment.grid import SETTING
from fewshot_flair.experiment.provenance import Frequencies
from fewshot_flair.experiment.results import StudyResults
from fewshot_flair.files import sha256
from fewshot_flair.text.knowledge import category_of
from fewshot_flair.words import agreeing, counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ConceptCounts", "frequencies_of", "read_frequencies", "recall_by_frequency", "with_frequencies"]

FILE = "frequencies.csv"
"""What `pretrain` writes into a model's folder."""
COLUMNS = ("concept", "photographs")


class ConceptCounts(dict[str, int]):
    """Photographs of each concept in an encoder's pre-training, and the file that says so."""

    path: Path
    digest: str

    def of_class(self, name: str) -> str | None:
        """The concept of a class: of the same name, else of the same category of the dictionary; None without one."""
        if name in self:
            return name
        if (category := category_of(name)) is None:
            return None
        return next((concept for concept in self if category_of(concept) == category), None)


def read_frequencies(path: str | Path) -> ConceptCounts:
    """Read a table of pre-training frequencies, such as `pretrain` writes.

    Parameters
    ----------
    path : path
        CSV with the columns ``concept`` and ``photographs``, a whole number of 0 or more; others are not looked at.

    Raises
    ------
    MissingFileError
        If there is no such file.
    InputError
        If it is no such table; the row is named.
    """
    path = Path(path)
    wanted = "give a CSV with the columns concept and photographs, as `fewshot-flair pretrain` writes"
    if not path.is_file():
        raise MissingFileError(f"frequencies: there is no file {path}; {wanted}")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table of frequencies ({error}); {wanted}") from error
    header = [name.strip() for name in lines[0]] if lines else []
    if missing := [name for name in COLUMNS if header.count(name) != 1]:
        raise InputError(
            f"{path} has not one column {' and one '.join(missing)}, but {', '.join(header) or 'nothing'}; {wanted}"
        )
    places = [header.index(name) for name in COLUMNS]
    counts = ConceptCounts()
    counts.path, counts.digest = path, sha256(content)
    for number, row in enumerate(lines[1:], start=2):
        if not any(row):
            continue
        if len(row) <= max(places):
            raise InputError(f"{path}, row {number} has {counted(len(row), 'cell')}, fewer than the header")
        concept, photographs = (row[place].strip() for place in places)
        if not concept:
            raise InputError(f"{path}, row {number}: the concept is empty; name it, or take the row out")
        if not (photographs.isascii() and photographs.isdigit()):
            raise InputError(
                f"{path}, row {number}: photographs of {concept!r} are {photographs!r}; give a whole number, 0 or more"
            )
        if concept in counts:
            raise InputError(f"{path}, row {number}: {concept!r} is there twice; leave one row of it")
        if (other := counts.of_class(concept)) is not None:
            raise InputError(
                f"{path}, row {number}: {concept!r} and {other!r} are one category ({category_of(concept)}); put them "
                "together in one row, as a photograph may be counted in each"
            )
        counts[concept] = int(photographs)
    if not counts:
        raise InputError(f"{path} has no row; {wanted}")
    return counts


def frequencies_of(choice: EncoderChoice, folder: Path) -> ConceptCounts | str | None:
    """The frequencies of an encoder's pre-training: of the file that the study names, else of one beside the weights.

    Parameters
    ----------
    folder : Path
        What the named file is relative to.

    Returns
    -------
    ConceptCounts, str or None
        None where there is no file; why one beside the weights is not taken, in words.

    Raises
    ------
    MissingFileError, InputError
        If a file that the study names is not there, or is no such table.
    """
    if choice.frequencies is not None:
        return read_frequencies(folder / choice.frequencies)
    from fewshot_flair.encoders.seen import weights_folder

    place = weights_folder(choice.asked)
    if place is None or not (place / FILE).is_file():
        return None
    try:
        return read_frequencies(place / FILE)
    except FewshotFlairError as error:
        return f"pre-training frequencies of {choice.name} are left out: {error}"


def with_frequencies(clinic: Clinic, encoder: str, counts: ConceptCounts | str | None) -> Clinic:
    """The same clinic whose provenance says how often its encoder's pre-training met each class, and of which not.

    Parameters
    ----------
    encoder : str
        What the study calls it.
    """
    if counts is None:
        return clinic
    made = clinic.provenance
    if isinstance(counts, str):
        return replace(clinic, provenance=made.model_copy(update={"remarks": [*made.remarks, counts]}))
    concepts = {name: found for name in clinic.classes if (found := counts.of_class(name)) is not None}
    frequencies = Frequencies(
        encoder=encoder,
        path=str(counts.path),
        sha256=counts.digest,
        concepts=concepts,
        photographs={name: counts[found] for name, found in concepts.items()},
    )
    remarks = [
        *made.remarks,
        *_unknown([name for name in clinic.classes if name not in concepts], frequencies),
    ]
    told = made.model_copy(update={"frequencies": frequencies, "remarks": remarks})
    return replace(clinic, provenance=told)


def _unknown(classes: Sequence[str], found: Frequencies) -> list[str]:
    if not classes:
        return []
    them = agreeing(len(classes), "it", "them")
    return [
        f"{found.path} has no count of {', '.join(classes)}: how often the pre-training of {found.encoder} met {them} "
        f"is unknown (not 0), and figures of recall by frequency leave {them} out"
    ]


def recall_by_frequency(results: StudyResults) -> pd.DataFrame:
    """Recall of each class with a known pre-training frequency.

    Returns
    -------
    DataFrame
        A row a cell and class: `grid.SETTING`, ``adapter``, ``class``, ``concept``, ``photographs`` (of pre-training),
        ``test_images`` (a draw), ``recall`` (mean over the draws; NaN without a test image) and ``draws``. Empty where
        no encoder's frequencies are known.
    """
    import pandas as pd

    known: Mapping[tuple[str, str], Frequencies] = {
        (made.data, made.frequencies.encoder): made.frequencies
        for made in results.record.clinics
        if made.frequencies is not None
    }
    rows = []
    for cell in results.cells:
        found = known.get((cell.names["data"], cell.names["encoder"]))
        if found is None:
            continue
        for name, images in zip(cell.classes, cell.confusion.sum(axis=1), strict=True):
            if name not in found.concepts:
                continue
            recall = np.array([row[f"recall_{name}"] for row in cell.rows], dtype=np.float64)
            rows.append(
                {
                    **{key: cell.names[key] for key in (*SETTING, "adapter")},
                    "class": name,
                    "concept": found.concepts[name],
                    "photographs": found.photographs[name],
                    "test_images": images,
                    "recall": recall.mean(),
                    "draws": len(recall),
                }
            )
    return pd.DataFrame(rows)
