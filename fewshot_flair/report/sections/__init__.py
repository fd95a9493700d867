"""The sections of a report, in their order: one file each, with its template and what it shows.

A section's ``content`` gives the template's names, or None where the run has nothing for it.
"""

from types import ModuleType

from fewshot_flair.report.sections import (
    advice,
    calibrated,
    calibration,
    data,
    drawn_patients,
    elsewhere,
    frequencies,
    head,
    mistakes,
    operating,
    patients,
    published,
    questions,
    ranking,
    referral,
    repeat,
    saved,
    sets,
    skipped,
    tables,
)

__all__ = ["SECTIONS"]


SECTIONS: tuple[ModuleType, ...] = (
    head, advice, saved, mistakes, operating, referral, calibration, patients, sets, tables, elsewhere, drawn_patients, calibrated, ranking, frequencies, published, data, skipped, questions, repeat,
)  # fmt: skip
