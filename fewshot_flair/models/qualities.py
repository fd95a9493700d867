"""The table of `quality`, and what it says of a photograph in the table of `predict`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from fewshot_flair.images.quality.assessment import LIMITS, Quality

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "WORDS", "note_of", "quality_table", "word_of"]

WORDS = ("good", "poor", "no retina", "unreadable")
"""What a photograph may be, the best first."""
COLUMNS = ["image", "retina", "gradable", "reasons", "score"]


def word_of(found: Quality | str) -> str:
    """Column ``quality``: good, poor, no retina, or unreadable."""
    return found.word if isinstance(found, Quality) else "unreadable"


def note_of(found: Quality | str) -> str:
    """What is wrong with a photograph; empty where nothing is."""
    return "; ".join(found.reasons) if isinstance(found, Quality) else found


def quality_table(
    paths: Sequence[Path],
    found: Sequence[Quality | str],
    passed_over: Mapping[str, int] = MappingProxyType({}),
    *,
    every: bool = False,
) -> pd.DataFrame:
    """A row for each file, in order, and for each kind of file that was passed over: `COLUMNS`, and measures.

    An unreadable file has its reason and no measures; a kind that was passed over has neither yes nor no.

    Parameters
    ----------
    passed_over : mapping of str to int
        How many files of each other kind the folders hold.
    every : bool
        Give every measure, not only those that a limit is set on.
    """
    import pandas as pd

    from fewshot_flair.models.photographs import passed_over_rows

    limited = [name for name, *_ in LIMITS]
    rows = [
        {
            "image": str(path),
            "retina": "yes" if isinstance(one, Quality) and one.retina else "no",
            "gradable": "yes" if isinstance(one, Quality) and one.gradable else "no",
            "reasons": note_of(one),
            **({"score": one.score, **one.measures} if isinstance(one, Quality) else {"score": math.nan}),
        }
        for path, one in zip(paths, found, strict=True)
    ]
    images, reasons = passed_over_rows(passed_over)
    rows += [
        {"image": image, "retina": "", "gradable": "", "reasons": reason}
        for image, reason in zip(images, reasons, strict=True)
    ]
    measured = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    others = [name for name in measured if name not in limited] if every else []
    return pd.DataFrame(rows, columns=[*COLUMNS, *(limited if measured else ()), *others])
