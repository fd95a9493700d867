"""What several commands do with their options."""

from __future__ import annotations

import csv

from fewshot_flair.errors import InputError

__all__ = ["parse_shots", "split_names"]


def parse_shots(text: str) -> list[int]:
    """``1,2,4`` as a list of positive integers, ascending."""
    try:
        shots = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--shots {text!r}: give whole numbers separated by commas, as 1,2,4,8,16") from None
    if min(shots) < 1:
        raise InputError(f"--shots {text!r}: shots are at least 1 (no shots: --adapter zero-shot)")
    return sorted(set(shots))


def split_names(text: str | None) -> list[str] | None:
    """Names separated by commas, as a line of CSV: a name with a comma stands in double quotes."""
    if not text:
        return None
    (row,) = csv.reader([text], skipinitialspace=True)
    return [part.strip() for part in row]
