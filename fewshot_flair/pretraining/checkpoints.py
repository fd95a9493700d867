"""Checkpoints of a training: whole or not there, signed with a digest, the last two kept."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from fewshot_flair.errors import InputError
from fewshot_flair.files import replace_file, sha256

__all__ = ["Checkpoints"]

FORMAT = "fewshot-flair pre-training 1"


class Checkpoints:
    """The checkpoints in a folder, of one assembly.

    Parameters
    ----------
    folder : Path
    settings : dict
        What decides the weights, as JSON takes it; a checkpoint of other settings is refused.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.last, self.previous = folder / "last.ckpt", folder / "previous.ckpt"
        self._settings = settings

    def write(self, state: dict[str, Any]) -> None:
        """Write a checkpoint; the one before is kept beside it. Killed meanwhile, one of the two is whole."""
        self.last.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save({"format": FORMAT, "settings": self._settings, "state": state}, content)
        body = content.getvalue()
        new = replace_file(self.last.with_name("new.ckpt"), [sha256(body).encode(), b"\n", body])
        if self.last.exists():
            self.last.replace(self.previous)
        new.replace(self.last)

    def read(self) -> dict[str, Any] | None:
        """The state that `write` was given last; None where there is none.

        Raises
        ------
        InputError
            If the file is damaged, or of other settings; says which.
        """
        path = next((path for path in (self.last, self.previous) if path.is_file()), None)
        if path is None:
            return None
        head, _, body = path.read_bytes().partition(b"\n")
        if head != sha256(body).encode():
            other = (
                f"remove it, and training goes on from {self.previous.name}"
                if path == self.last and self.previous.is_file()
                else "remove it, and training begins anew"
            )
            raise InputError(f"{path} is damaged: its content is not what its digest says; {other}")
        kept = torch.load(io.BytesIO(body), weights_only=True, map_location="cpu")
        if kept.get("format") != FORMAT:
            raise InputError(f"{path} is of another version of this package; give another --out")
        if differ := _differing(kept["settings"], self._settings):
            raise InputError(
                f"{path} was written with other settings ({', '.join(differ)}); give another --out, or remove it"
            )
        return kept["state"]


def _differing(one: dict[str, Any], other: dict[str, Any], before: str = "") -> list[str]:
    """Names of the settings that two trainings do not share."""
    found: list[str] = []
    for name in sorted(one.keys() | other.keys()):
        a, b = one.get(name), other.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differing(a, b, f"{before}{name}.")
        elif a != b:
            found.append(before + name)
    return found
