"""The folder that a run leaves: whose it is, what it is called, and its tables."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.results import RunRecord
from fewshot_flair.files import digest_of, replace_file, sha256, write_table

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.experiment.clinic import Clinic, Rows

__all__ = ["OF_SOME_RUNS", "check_out", "folder_name", "splits_table", "versions", "write_tables", "writing"]

LOCK = "run.lock"
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "transformers", "opencv-python-headless", "pillow")
OF_SOME_RUNS = ("recall_by_frequency.csv", "conformal.csv", "robustness.csv", "test_predictions.csv")
"""Tables that a run may have or not."""
LONGEST = 80
DIGITS = {"test_predictions.csv": "%.6f"}
"""As `predict` writes them, so that the two compare."""


def versions() -> dict[str, str]:
    """Python, the platform and the packages that numbers depend on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("fewshot-flair", *PACKAGES):
        found[package] = metadata.version(package)
    return found


def folder_name(label: str) -> str:
    """A label as a file name: letters, digits, '.', '+', '-' and '_' stay, spaces and brackets become '-'.

    Where anything else was dropped, or much is left, a digest of the label keeps two labels from sharing a
    name.
    """
    name = re.sub(r"[^\w.+-]+", "-", label).strip("-.")
    if name and len(name) <= LONGEST and not re.search(r"[^\w\s.+,()=-]", label):
        return name
    digest = hashlib.sha256(label.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{name[:LONGEST]}-{digest}".strip("-.")


def check_out(out: Path, data: Iterable[str], *, replace: bool = False) -> str:
    """What is to be said of an earlier run in `out`, which is gone on with or replaced; empty where there is none.

    Parameters
    ----------
    replace : bool
        Whether a run on other data may be replaced.

    Raises
    ------
    InputError
        Where it holds something other than a run, or a run on other data that may not be replaced, or nothing
        can be written there.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: this is a file; give a folder")
    there = next((folder for folder in (out, *out.absolute().parents) if folder.exists()), Path())
    if not os.access(there, os.W_OK):
        raise InputError(
            f"--out {out}: nothing can be written to {there}; give a folder that you may write to"
        )
    if not out.is_dir() or not any(path.name != LOCK for path in out.iterdir()):
        return ""
    if not any((out / part).exists() for part in ("run.json", "cells", "trainings")):
        raise InputError(
            f"--out {out}: the folder is not empty and holds no earlier run; give a new or an empty one"
        )
    try:
        names = [each["name"] for each in RunRecord.read(out).study["data"]]
    except (InputError, FileNotFoundError, KeyError, TypeError):
        return f"the unfinished run in {out} goes on: its finished cells are kept"
    if not set(names) & set(data):
        if replace:
            return f"the earlier run in {out}, on other data ({', '.join(map(str, names))}), will be replaced"
        raise InputError(
            f"--out {out}: this holds a run on other data ({', '.join(map(str, names))}), whose results would be "
            "replaced; give another folder"
        )
    return f"the earlier run in {out} will be replaced; cells that are the same are not computed again"


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Hold a run's folder; InputError where another process is writing a run there."""
    from filelock import FileLock, Timeout

    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK, timeout=0):
            yield
    except Timeout as error:
        raise InputError(
            f"--out {out}: another run is being written there; give each its own folder"
        ) from error


def splits_table(clinics: Iterable[Clinic]) -> pd.DataFrame:
    """Which photograph is on which side: ``image``, ``label``, ``patient_id``, ``split``, ``data``, ``key``.

    With folds a row a fold and photograph, and the column ``fold``. Of further test sides just the test rows, where
    they are other photographs; their ``data`` is the side's name.
    """
    import pandas as pd

    tables = []
    seen: set[int] = set()
    for clinic in {clinic.name: clinic for clinic in clinics}.values():
        sides: list[tuple[str, Rows, int | None]] = [
            (side, rows, fold)
            for fold, part in enumerate(clinic.folds)
            for side, rows in (("train", part.train), ("test", part.test))
        ]
        sides = sides or [("train", clinic.train, None), ("test", clinic.test, None)]
        if id(clinic.train) in seen:
            sides = [] if clinic.provenance.corruption else [("test", clinic.test, None)]
        # each photograph once: where the test rows are the pool too, they are told as test rows
        pool = None if clinic.provenance.transductive or id(clinic.train) in seen else clinic.pool
        seen.add(id(clinic.train))
        for side, rows, fold in [*sides, *([("pool", pool, None)] if pool is not None else [])]:
            own = [patient.startswith("image ") for patient in rows.patients]
            tables.append(
                pd.DataFrame(
                    {
                        "image": rows.images,
                        "label": ["" if code < 0 else clinic.classes[code] for code in rows.y],
                        "patient_id": [
                            "" if alone else name for alone, name in zip(own, rows.patients, strict=True)
                        ],
                        "split": side,
                        "data": clinic.name,
                        "key": rows.keys,
                    }
                    | ({"fold": fold} if clinic.fold_rows else {})
                )
            )
    return pd.concat(tables, ignore_index=True)


def write_tables(out: Path, tables: dict[str, pd.DataFrame], record: RunRecord) -> None:
    """Write tables and last ``run.json``, which names their digests, so that it never stands beside others'.

    Those that only some runs have do not stay from an earlier run in the folder.
    """
    for name in OF_SOME_RUNS:
        if name not in tables:
            (out / name).unlink(missing_ok=True)
    for name, table in tables.items():
        write_table(table, out / name, DIGITS.get(name, "%.6g"))
    digests = {name: sha256((out / name).read_bytes()) for name in tables}
    content = record.model_copy(update={"digests": digests}).model_dump(mode="json")
    text = json.dumps(content | {"sha256": digest_of(content)}, indent=2, ensure_ascii=False)
    # a file name that is no text becomes the escape that JSON has for it
    replace_file(out / "run.json", [text.encode("utf-8", errors="backslashreplace"), b"\n"])
