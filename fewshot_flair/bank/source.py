"""What makes features, and how a bank writes it down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fewshot_flair.errors import InputError, MissingFileError

__all__ = [
    "FORMAT",
    "KINDS",
    "FeatureSource",
    "Source",
    "description",
    "differences",
    "fingerprint_id",
    "read_description",
]

KINDS = ("backbone", "embedding", "local")
"""Kinds of features; the last are all cells of a photograph's map in one row, kept in half precision."""
WIDEST = {"backbone": 2**20, "embedding": 2**20, "local": 2**26}
FORMAT = "fewshot-flair feature bank 1"


class Source(Protocol):
    """What makes features, as far as the bank cares; every Encoder is one."""

    @property
    def name(self) -> str:
        """Short name, part of the bank's folder."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Everything a feature depends on besides the image."""

    @property
    def fingerprint_id(self) -> str:
        """Hex sha256 of the fingerprint's canonical JSON."""

    @property
    def feature_dims(self) -> Mapping[str, int]:
        """Width of each kind of feature."""


@dataclass(frozen=True)
class FeatureSource:
    """What made features that no encoder here can make again (imported ones, plain arrays)."""

    name: str
    fingerprint: Mapping[str, Any]
    feature_dims: Mapping[str, int]

    def __post_init__(self) -> None:
        widths = self.feature_dims.items()
        if not set(self.feature_dims) <= set(KINDS) or not all(
            type(width) is int and 0 < width <= WIDEST[kind] for kind, width in widths
        ):
            raise InputError(
                f"{self.name}: features of {dict(self.feature_dims)} are not known; a bank keeps "
                f"{' and '.join(KINDS)}, up to {WIDEST['backbone']:,} numbers wide"
            )

    @property
    def fingerprint_id(self) -> str:
        """Hex sha256 of the fingerprint's canonical JSON."""
        return fingerprint_id(self.fingerprint)


def fingerprint_id(fingerprint: Mapping[str, Any]) -> str:
    """Hex sha256 of a fingerprint's canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(_canonical(fingerprint)).hexdigest()


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def description(source: FeatureSource) -> bytes:
    """Give the bytes of a bank's bank.json."""
    told = {
        "format": FORMAT,
        "name": source.name,
        "feature_dims": dict(source.feature_dims),
        "fingerprint_id": source.fingerprint_id,
        "fingerprint": source.fingerprint,
    }
    told["digest"] = hashlib.sha256(_canonical(told)).hexdigest()
    return json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n"


def read_description(folder: Path) -> FeatureSource:
    """Read and check a bank's bank.json; raises MissingFileError or InputError naming it."""
    path = folder / "bank.json"
    if not path.is_file():
        raise MissingFileError(
            f"{folder} is not a feature bank (it has no bank.json); `fewshot-flair cache` makes one"
        )
    try:
        told = json.loads(path.read_bytes())
        source = FeatureSource(told["name"], told["fingerprint"], told["feature_dims"])
        sound = told["format"] == FORMAT and description(source) == path.read_bytes()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
        sound = False
    if not sound:
        raise InputError(
            f"{path} is damaged or of another version; "
            "running `fewshot-flair cache` with the same encoder mends it"
        )
    return source


def differences(stored: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> str:
    """Name the entries in which two fingerprints differ, with both values."""
    parts = []
    for key in sorted({*stored, *given}):
        old, new = stored.get(key), given.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            parts.append(differences(old, new, f"{prefix}{key}."))
        else:
            parts.append(f"{prefix}{key} was {_short(old)} and is {_short(new)}")
    return ", ".join(parts)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "…"
