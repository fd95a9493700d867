"""Tensors and a record in one file with a digest: what a training goes on from, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fewshot_flair.errors import InputError
from fewshot_flair.files import replace_file, sha256

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Put a file in its place in one step: the hex digest of what follows, a line's end, and safetensors' bytes.

    The record is in safetensors' metadata, as JSON.
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    body = save(plain, metadata={"record": json.dumps(record)})
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, [sha256(body).encode(), b"\n", body])


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_checkpoint` wrote; InputError where one bit of it is another."""
    from safetensors.torch import load

    head, _, body = path.read_bytes().partition(b"\n")
    if head != sha256(body).encode():
        raise InputError(f"{path} is damaged: its content is not what its digest says; remove it")
    length = int.from_bytes(body[:8], "little")
    return load(body), json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["record"])
