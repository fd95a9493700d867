"""What each class says to a text tower, and the prototypes that come of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewshot_flair.data.grades import folded
from fewshot_flair.data.lookalikes import alike, told
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.files import read_json, read_toml
from fewshot_flair.text.knowledge import descriptions
from fewshot_flair.text.knowledge import prompts as in_template

if TYPE_CHECKING:
    from fewshot_flair.bank import FeatureBank
    from fewshot_flair.encoders.base import Encoder
    from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["Prompts", "described", "read_prompts", "text_digest", "text_prototypes", "unused"]

Prompts = str | Mapping[str, Sequence[str]]
"""``"expert"``, ``"names"``, or descriptions by class."""


def read_prompts(name: str, folder: Path = Path()) -> str | dict[str, list[str]]:
    """``expert`` and ``names`` as they are; else a TOML or JSON file of the descriptions of each class.

    Parameters
    ----------
    name : str
        ``"expert"``, ``"names"``, or the path of a file: TOML with ``"class" = ["description", …]`` in it, or
        JSON (``.json``) with ``{"class": ["description", …]}``.
    folder : path
        Where a relative path starts.

    Returns
    -------
    str or dict of str to list of str
        The word itself, or the descriptions of each class.

    Raises
    ------
    MissingFileError, InputError
        If the file is not there, or a class has no list of descriptions.
    """
    if name in ("expert", "names"):
        return name
    path = folder / name
    if not path.is_file():
        raise MissingFileError(f"prompts: no file {path}; give expert, names or a TOML or JSON file")
    content = read_json(path) if path.suffix.lower() == ".json" else read_toml(path)[1]
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: must name the classes, each with a list of descriptions")
    for label, texts in content.items():
        said = isinstance(texts, list) and texts and all(isinstance(t, str) and t.strip() for t in texts)
        if not said:
            raise InputError(f"{path}: {label!r} must be a list of one or more descriptions")
        if unseen := next((t for t in (label, *texts) if not "".join(t.split()).isprintable()), None):
            raise InputError(
                f"{path}: {unseen!r} holds a character that cannot be shown; write it in plain letters"
            )
    if pairs := alike(content):
        raise InputError(f"{path}: classes {told(pairs)} read alike; keep the descriptions of one")
    return content


def described(classes: Sequence[str], prompts: Prompts) -> dict[str, list[str]]:
    """What each class says; InputError where one has no description."""
    if isinstance(prompts, str):
        if prompts not in ("expert", "names"):
            raise InputError(
                f"prompts {prompts!r}: give expert, names, or a mapping of class to descriptions"
            )
        return {name: descriptions(name) if prompts == "expert" else [name] for name in classes}
    spelt = {folded(name): name for name in prompts}
    found = {name: name if name in prompts else spelt.get(folded(name)) for name in classes}
    if missing := [name for name, written in found.items() if written is None]:
        raise InputError(
            f"prompts: no description of class {', '.join(map(repr, missing))}; give every class at least one (there "
            f"are descriptions of {', '.join(map(repr, list(prompts)[:20]))})"
        )
    return {name: list(prompts[written]) for name, written in found.items() if written is not None}


def unused(classes: Sequence[str], prompts: Prompts) -> list[str]:
    """What a mapping describes that is none of the classes."""
    if isinstance(prompts, str):
        return []
    known = {folded(name) for name in classes}
    return [name for name in prompts if name not in classes and folded(name) not in known]


def text_prototypes(
    encoder: Encoder, bank: FeatureBank, texts: Mapping[str, Sequence[str]]
) -> TextPrototypes:
    """The classes' prototypes, from the bank where it has them, else from the text tower."""
    # what the texts are and not what they are called: a dictionary that changes changes the prototypes
    asked = [[name, in_template(said, encoder.template)] for name, said in texts.items()]
    key = hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()
    stored = bank.text(key)
    if stored is not None:
        return stored
    made = encoder.prototypes({name: list(said) for name, said in texts.items()})
    bank.store_text(key, made)
    return made


def text_digest(text: TextPrototypes | None) -> str:
    """Hex sha256 of prototypes and temperature, whatever texts they come from."""
    if text is None:
        return hashlib.sha256().hexdigest()
    raw = np.ascontiguousarray(text.prototypes, dtype=np.float32).tobytes()
    return hashlib.sha256(raw + np.float32(text.logit_scale).tobytes()).hexdigest()
