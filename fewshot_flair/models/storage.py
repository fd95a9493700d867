"""Fitted adapters on disk: JSON and safetensors, nothing that runs code when it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.namespaces import to_numpy
from fewshot_flair.adapters.registry import create_adapter
from fewshot_flair.errors import FewshotFlairError, InputError, MissingFileError
from fewshot_flair.files import digest_of, read_json, replace_file, sha256
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["adapter_digest", "load_adapter", "save_adapter"]

FORMAT = "fewshot-flair adapter 2"
WIDEST = 2**24
KEYS = {"format", "name", "params", "classes", "n_features", "head", "text", "arrays_sha256", "extra"}


def save_adapter(adapter: Adapter, folder: str | Path, extra: dict[str, Any] | None = None) -> Path:
    """Write a fitted adapter to a folder: ``adapter.json`` and ``adapter.safetensors``.

    Parameters
    ----------
    extra : dict, optional
        What else to keep with it, JSON-able: the encoder's fingerprint, the data it was fitted on.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    """
    from safetensors.numpy import save
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(adapter, "head_")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    head = adapter.head_
    arrays = {f"head.{name}": np.ascontiguousarray(to_numpy(a)) for name, a in head.arrays().items()}
    text, described = adapter.text, None
    if text is not None:
        arrays["text.prototypes"] = np.asarray(text.prototypes)
        if text.samples is not None:
            arrays["text.samples"] = np.asarray(text.samples)
            arrays["text.sample_classes"] = np.asarray(text.sample_classes)
        described = {
            "classes": list(text.classes),
            "logit_scale": text.logit_scale,
            "descriptions": text.descriptions,
        }
    numbers = save(arrays)
    record = {
        "format": FORMAT,
        "name": adapter.name,
        "params": {
            key: value
            for key, value in adapter.get_params(deep=False).items()
            if key not in ("text", "tower")
        },
        "classes": adapter.columns_.tolist(),
        "n_features": int(adapter.n_features_in_),
        "head": {"kind": type(head).__name__, **head.settings()},
        "text": described,
        "arrays_sha256": sha256(numbers),
        "extra": extra or {},
    }
    replace_file(folder / "adapter.safetensors", [numbers])
    signed = record | {"sha256": digest_of(record)}
    replace_file(folder / "adapter.json", [json.dumps(signed, indent=2).encode(), b"\n"])
    return folder


def load_adapter(folder: str | Path) -> tuple[Adapter, dict[str, Any]]:
    """Read what `save_adapter` wrote.

    Returns
    -------
    Adapter
        Fitted; its logits are bit for bit those of the one saved. It runs on the CPU.
    dict
        The `extra` it was saved with.

    Raises
    ------
    MissingFileError
        If a file is not there.
    InputError
        If a file is damaged, the two do not belong together, or the adapter is not known here.
    """
    folder = Path(folder)
    record = _record(folder / "adapter.json")
    numbers = _there(folder / "adapter.safetensors").read_bytes()
    if sha256(numbers) != record["arrays_sha256"]:
        raise InputError(
            f"{folder / 'adapter.safetensors'} is damaged or not the one adapter.json belongs to; "
            "save the adapter again"
        )
    try:
        return _restored(folder, record, numbers), dict(record["extra"])
    except (FewshotFlairError, MemoryError):
        raise
    except Exception as error:  # whatever a file that somebody else wrote makes the libraries raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{folder} does not hold a whole adapter ({reason}); save the adapter again"
        ) from error


def adapter_digest(folder: Path) -> str:
    """Hex sha256 of all that ``adapter.json`` says, the digest of the arrays included."""
    return digest_of(_record(folder / "adapter.json"))


def _restored(folder: Path, record: dict[str, Any], numbers: bytes) -> Adapter:
    from safetensors.numpy import load

    arrays = load(numbers)
    adapter = create_adapter(
        record["name"], text=_text(record["text"], arrays), **{**record["params"], "device": "cpu"}
    )
    described = dict(record["head"])
    kind = described.pop("kind")
    if kind not in Head.kinds:
        raise InputError(f"{folder}: no head {kind!r} is known here; import the package that defines it")
    own = {name[5:]: array for name, array in arrays.items() if name.startswith("head.")}
    adapter.head_ = Head.kinds[kind](**own, **described)
    classes, width = record["classes"], int(record["n_features"])
    if not all(type(name) in (str, int) for name in classes) or len({type(name) for name in classes}) > 1:
        raise InputError(f"{folder}: classes must be names, or codes, and not {classes!r:.200}")
    if not 0 < width <= WIDEST:
        raise InputError(f"{folder}: {width} features; at most {WIDEST:,} are taken")
    adapter.columns_ = np.array(classes)
    adapter.classes_ = np.sort(adapter.columns_)
    adapter.n_features_in_ = width
    shape = adapter.logits(np.ones((1, width), dtype=np.float32)).shape
    if shape != (1, len(classes)):
        raise InputError(f"{folder}: {shape[-1]} logits for {len(classes)} classes; save the adapter again")
    return adapter


def _there(path: Path) -> Path:
    if not path.is_file():
        raise MissingFileError(
            f"{path} is not there; give the folder that `fewshot-flair adapt` or save_adapter wrote"
        )
    return path


def _record(path: Path) -> dict[str, Any]:
    record = read_json(_there(path))
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f"{path} was not written by this version's save_adapter; save the adapter again")
    digest = record.pop("sha256", None)
    if set(record) != KEYS or digest != digest_of(record):
        raise InputError(f"{path} is damaged: it is not what its digest says; save the adapter again")
    return record


def _text(described: dict[str, Any] | None, arrays: dict[str, NDArray]) -> TextPrototypes | None:
    if described is None:
        return None
    return TextPrototypes(
        described["classes"],
        arrays["text.prototypes"],
        described["logit_scale"],
        arrays.get("text.samples"),
        arrays.get("text.sample_classes"),
        described["descriptions"],
    )
