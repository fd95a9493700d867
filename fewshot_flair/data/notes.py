"""What was guessed, merged and left out while a manifest was read, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from fewshot_flair.data.labels import Spellings
from fewshot_flair.data.tables import Table
from fewshot_flair.words import counted

__all__ = ["remarks"]


def remarks(
    table: Table,
    merged: Spellings,
    no_patient: int,
    renamed: Sequence[tuple[str, str]],
    unlabelled_tests: int,
) -> list[str]:
    """Say what a manifest's reader did that nobody asked for.

    Parameters
    ----------
    table : Table
        Gives the columns that were guessed, and the files of a folder that were passed over.
    merged : dict
        By class, the spellings that were made one.
    no_patient : int
        Rows whose patient reads like none (``NA``, ``unknown``).
    renamed : list of (str, str)
        Images found under another name: as written, and the file's name.
    unlabelled_tests : int
        Rows of the test or val side that were left out because they have no label.
    """
    said = [
        f"column {column!r} is taken for the {role.removesuffix('_id')}"
        for role, column in table.guessed.items()
    ]
    said += [f"{' and '.join(map(ascii, found))} are one class, {name!r}" for name, found in merged.items()]
    if no_patient:
        said.append(
            f"patient NA, unknown or the like in {counted(no_patient, 'row')}: "
            "that is no patient, so each image counts as a patient of its own"
        )
    for pairs, where in (
        ([(a, b) for a, b in renamed if _last(a) != _last(b)], "under another name"),
        ([(a, b) for a, b in renamed if _last(a) == _last(b)], "in another folder than their path says"),
    ):
        if pairs:
            first = "the first " if len(pairs) > 1 else ""
            said.append(
                f"{counted(len(pairs), 'image')} found {where}, {first}{pairs[0][0]!r} as {pairs[0][1]!r}"
            )
    if unlabelled_tests:
        said.append(
            f"{counted(unlabelled_tests, 'row')} of the test or val side left out, for want of a label"
        )
    if table.passed_over:
        kinds = ", ".join(f"{kind} ({n})" for kind, n in table.passed_over.items())
        said.append(f"passed over, as they are no images: {kinds}")
    return said


def _last(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
