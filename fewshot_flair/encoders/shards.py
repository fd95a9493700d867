"""Weights in several files, and the index that says which tensor is in which of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fewshot_flair.encoders.config import read_json
from fewshot_flair.errors import InputError, MissingFileError

__all__ = ["INDEX", "index_of", "is_safetensors", "read_index", "shard_files"]

INDEX = ".index.json"
"""What the name of an index ends with; before it stands the name that the weights would have in one file."""
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-\d{5}(?P<suffix>\.\w+)")


def is_safetensors(weights: Path) -> bool:
    """Whether a weights file, or the files that an index names, are safetensors."""
    return weights.name.removesuffix(INDEX).endswith(".safetensors")


def index_of(shard: Path) -> Path | None:
    """The index beside a file that is named as one of several; None for every other file.

    Raises
    ------
    MissingFileError
        If the file is one of several, and their index is not there.
    """
    named = _SHARD.fullmatch(shard.name)
    if named is None:
        return None
    index = shard.with_name(f"{named['stem']}{named['suffix']}{INDEX}")
    if not index.is_file():
        raise MissingFileError(
            f"{shard} is one of several weights files, and {index.name}, which says what is in each, is not "
            "beside it; put the model's there"
        )
    return index


def read_index(index: Path) -> dict[str, str]:
    """The file that each tensor is in, by the tensor's name.

    Raises
    ------
    MissingFileError, InputError
        If the index is not there, is no JSON, or names anything but files beside it.
    """
    content: Any = read_json(index).get("weight_map")
    if not isinstance(content, dict) or not content:
        raise InputError(f"{index} has no weight_map of tensors; fetch the model's index again")
    for name, file in content.items():
        if not isinstance(file, str) or not re.fullmatch(r"[\w-][\w.-]*\.(safetensors|bin|pth?)", file):
            raise InputError(
                f"{index} puts {name} into {file!r}, which is no weights file beside it; fetch the index again"
            )
    return content


def shard_files(index: Path) -> list[Path]:
    """The files that an index names, each once; MissingFileError where one is not beside it."""
    files = [index.with_name(file) for file in sorted(set(read_index(index).values()))]
    lacking = [file.name for file in files if not file.is_file()]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise MissingFileError(
            f"{index} names {len(files)} files, of which {lacking[0]}{more} is not beside it; fetch what is missing"
        )
    return files
