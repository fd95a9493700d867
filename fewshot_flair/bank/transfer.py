"""Moving features between banks and files: merge and export."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.bank import FeatureBank
from fewshot_flair.bank.compaction import compact
from fewshot_flair.bank.keys import hex_keys
from fewshot_flair.bank.source import description
from fewshot_flair.bank.verify import sound_blocks
from fewshot_flair.files import new_file, replace_file

__all__ = ["export_bank", "merge", "new_bank"]

_BLOCK = 4096


def merge(bank: FeatureBank, other: FeatureBank) -> int:
    """Copy to `bank` the rows that only `other` has; gives how many they were.

    Rows that do not fit their checksums stay behind. Text prototypes are copied too.

    Raises
    ------
    InputError
        If the two were made by different settings; the message names what differs.
    """
    FeatureBank.open(bank.folder, other.source)
    added = 0
    for block in sound_blocks(other):
        lacking = set(bank.missing(block["keys"]))
        rows = [i for i, key in enumerate(hex_keys(block["keys"])) if key in lacking]
        if rows:
            bank.append(block["keys"][rows], **{name: block[name][rows] for name in bank.feature_dims})
            added += len(rows)
    for path in (other.folder / "text").glob("*.safetensors"):
        bank.copy_text(path)
    compact(bank)
    return added


def new_bank(folder: str | Path, like: str | Path) -> FeatureBank:
    """Open the bank at `folder`, made with the description of the bank `like` if there is none."""
    folder, like = Path(folder), Path(like)
    if not (folder / "bank.json").is_file():
        described = FeatureBank.open(like).source
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / "bank.json", [description(described)])
    return FeatureBank.open(folder)


def export_bank(bank: FeatureBank, path: str | Path) -> int:
    """Write all rows to one ``.npz`` file that numpy reads without unpickling; gives their number.

    Arrays: ``keys`` (uint8, [n, 32]), each kind of feature (float32, [n, width]), and ``source``, the
    name, widths and fingerprint of what made them, as JSON text. Memory stays bounded.
    """
    keys = bank.keys()

    def column(name: str) -> Iterator[NDArray]:
        for start in range(0, len(keys), _BLOCK):
            yield bank.read(keys[start : start + _BLOCK], name)

    told = {
        "name": bank.source.name,
        "feature_dims": dict(bank.feature_dims),
        "fingerprint": bank.source.fingerprint,
    }
    path = Path(path)
    with new_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        source = np.array(json.dumps(told, ensure_ascii=False))
        _store(archive, "source", (), source, source.dtype)
        _store(archive, "keys", keys.shape, keys, keys.dtype)
        for name, width in bank.feature_dims.items():
            _store(archive, name, (len(keys), width), column(name), np.dtype(np.float32))
    return len(keys)


def _store(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    blocks: NDArray | Iterator[NDArray],
    dtype: np.dtype,
) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for block in [blocks] if isinstance(blocks, np.ndarray) else blocks:
            file.write(np.ascontiguousarray(block).tobytes())
