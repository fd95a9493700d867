"""What several commands do with their options."""

from __future__ import annotations

import csv
import hashlib
import shlex
import sys
from typing import TYPE_CHECKING, Literal

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.grid import ALL_SHOTS

if TYPE_CHECKING:
    from fewshot_flair.experiment.design import Study

__all__ = ["command_line", "parse_alphas", "parse_prevalence", "parse_shots", "run_name", "split_names"]


def parse_shots(text: str) -> list[int]:
    """``1,2,4`` as a list of positive integers, ascending."""
    try:
        shots = [ALL_SHOTS if part.strip() == "all" else int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--shots {text!r}: give whole numbers separated by commas, as 1,2,4,8,16, or all"
        ) from None
    if min(shots) < 1:
        raise InputError(f"--shots {text!r}: shots are at least 1 (no shots: --adapter zero-shot)")
    return sorted(set(shots))


def parse_alphas(text: str) -> list[float]:
    """``0,0.5,1`` as a list of numbers, ascending."""
    try:
        return sorted({float(part) for part in text.split(",")})
    except ValueError:
        raise InputError(
            f"--alphas {text!r}: give numbers from 0 to 1 separated by commas, as 0,0.5,1"
        ) from None


def split_names(text: str | None) -> list[str] | None:
    """Names separated by commas, as a line of CSV: a name with a comma stands in double quotes.

    Raises
    ------
    InputError
        For a name that is empty, a quote that is never closed, or names on several lines.
    """
    if not text:
        return None
    try:
        row, _ = csv.reader([text, "end"], skipinitialspace=True)  # an open quote would take the end in
    except (csv.Error, ValueError):
        raise InputError(
            f"{text[:200]!r} cannot be read as names: write them on one line, separated by commas, and a name with a "
            "comma in double quotes"
        ) from None
    if not all(names := [part.strip() for part in row]):
        raise InputError(f"{text[:200]!r} holds an empty name; write names separated by single commas")
    return names


def parse_prevalence(text: str | None) -> dict[str, float] | Literal["estimate"] | None:
    """``a=0.7,b=0.3`` as shares by class, names with commas in double quotes; ``estimate`` as it is."""
    if text is None:
        return None
    if text == "estimate":
        return "estimate"
    shares: dict[str, float] = {}
    for part in split_names(text) or []:
        name, equals, share = part.rpartition("=")
        name = name.strip().strip('"')
        try:
            if not equals:
                raise ValueError
            value = float(share)
        except ValueError:
            raise InputError(f"--prevalence {text!r}: give shares as a=0.7,b=0.3, or estimate") from None
        if name in shares:
            raise InputError(f"--prevalence {text!r}: {name} is there twice; give one share a class")
        shares[name] = value
    return shares


def command_line() -> str:
    """The command as it was typed, on one line as a shell takes it."""
    return shlex.join(["fewshot-flair", *sys.argv[1:]])


def run_name(study: Study, elsewhere: bool, cut: bool) -> str:
    """The study's name; other data are named too, and a cut by a digest, so that none replaces another."""
    from fewshot_flair.experiment.folder import folder_name

    parts = [study.name, *(data.name for data in study.data if elsewhere)]
    if cut:
        parts.append(hashlib.sha256(study.model_dump_json(exclude={"folder"}).encode()).hexdigest()[:6])
    return folder_name(" ".join(parts))
