"""The table of `quality`, and what it says of a photograph in the table of `predict`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_flair.images.quality.assessment import Quality

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "note_of", "quality_table", "word_of"]

COLUMNS = ["image", "retina", "gradable", "reasons", "score"]


def word_of(found: Quality | str) -> str:
    """Column ``quality``: good, poor, no retina, or unreadable."""
    return found.word if isinstance(found, Quality) else "unreadable"


def note_of(found: Quality | str) -> str:
    """What is wrong with a photograph; empty where nothing is."""
    return "; ".join(found.reasons) if isinstance(found, Quality) else found


def quality_table(paths: Sequence[Path], found: Sequence[Quality | str]) -> pd.DataFrame:
    """A row for each file, in order: `COLUMNS`, and every measure; an unreadable one has its reason and no measures."""
    import pandas as pd

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
    return pd.DataFrame(rows)
