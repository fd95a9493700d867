"""A fitted adapter on photographs without labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewshot_flair.errors import InputError, MissingFileError

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.adapters import Adapter
    from fewshot_flair.bank import FeatureBank
    from fewshot_flair.data.tables import SkippedRow

__all__ = ["check_table", "find_photographs", "predict_table", "printable", "with_skipped"]

COLUMNS = ["image", "predicted", "probability"]


def find_photographs(given: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the images below them in order of name, each once.

    A path that is not there stays in the list, as one that cannot be read. Hidden files are left out.

    Raises
    ------
    MissingFileError
        If none of `given` is there.
    InputError
        If no image is among them.
    """
    from fewshot_flair.data.folders import images_below

    if not any(path.exists() for path in given):
        raise MissingFileError(f"photographs: no file or folder {', '.join(str(path) for path in given)}")
    found: list[Path] = []
    for path in given:
        found += images_below(path) if path.is_dir() else [path]
    if not found:
        raise InputError(f"photographs: no image in {', '.join(str(path) for path in given)}")
    return list(dict.fromkeys(found))


def printable(name: str) -> str:
    """A file name as UTF-8 can hold it: bytes that are no text become escapes."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")


def with_skipped(table: pd.DataFrame, skipped: Sequence[SkippedRow]) -> pd.DataFrame:
    """The same table with a row for each photograph left out, its prediction empty and its reason in ``note``."""
    import pandas as pd

    left_out = pd.DataFrame(
        {"image": [row.image for row in skipped], "note": [row.reason for row in skipped]}
    )
    return pd.concat([table.assign(note=""), left_out], ignore_index=True)


def check_table(out: Path) -> None:
    """Raise where predictions cannot go to `out`; no other table than earlier predictions is replaced."""
    if out.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        raise InputError(f"--out {out}: give a name that ends in .csv, .tsv or .parquet")
    if not out.exists():
        return
    if out.suffix.lower() == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            columns = pq.read_schema(out).names
        except pa.ArrowInvalid:
            columns = []
    else:
        with out.open(encoding="utf-8", errors="replace") as lines:
            columns = lines.readline().strip().split("\t" if out.suffix.lower() == ".tsv" else ",")
    if columns[:3] != COLUMNS:
        raise InputError(f"--out {out}: this file holds something other than predictions; give another name")


def predict_table(
    adapter: Adapter, images: Sequence[str], keys: Sequence[str], bank: FeatureBank
) -> pd.DataFrame:
    """One row for each image: its name, the predicted class, its probability, and all of them.

    Parameters
    ----------
    images, keys : sequences of n str
        What the table calls each image, and its key in `bank`.
    """
    import pandas as pd

    from fewshot_flair.adapters.base import softmax
    from fewshot_flair.experiment.clinic import kind_at_hand

    if not len(keys):
        return pd.DataFrame(columns=[*COLUMNS, *(f"probability_{name}" for name in adapter.columns_)])
    logits = adapter.logits(bank.read(keys, kind_at_hand(adapter.features, bank.feature_dims)))
    probabilities = softmax(logits)
    classes = [str(name) for name in adapter.columns_]  # grades in their order
    table = pd.DataFrame(probabilities, columns=[f"probability_{name}" for name in classes])
    best = probabilities.argmax(axis=1)
    table.insert(0, "image", list(images))
    table.insert(1, "predicted", np.array(classes)[best])
    table.insert(2, "probability", probabilities[np.arange(len(best)), best])
    return table
