"""How near two encoders' features of the same images are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.bank import FeatureBank
from fewshot_flair.errors import InputError

__all__ = ["compare"]

_BLOCK = 4096


def compare(bank: FeatureBank, other: FeatureBank) -> dict[str, NDArray[np.float64]]:
    """Cosine between the features that two banks hold of the same image, for every image in both.

    Returns
    -------
    dict of str to float64 array of shape (n,)
        By kind of feature, for the kinds that both have in the same width.

    Raises
    ------
    InputError
        If no image, or no kind of feature, is in both.
    """
    kinds = [name for name, width in bank.feature_dims.items() if other.feature_dims.get(name) == width]
    keys = bank.keys()
    lacking = set(other.missing(keys))
    keys = keys[[bytes(key).hex() not in lacking for key in keys]]
    if not kinds or not len(keys):
        raise InputError(
            f"{bank.folder} and {other.folder} have no {'images' if kinds else 'kind of feature'} in common"
        )
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in kinds}
    for start in range(0, len(keys), _BLOCK):
        for name in kinds:
            a, b = (
                each.read(keys[start : start + _BLOCK], name).astype(np.float64) for each in (bank, other)
            )
            scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
            found[name].append((a * b).sum(axis=1) / np.maximum(scale, np.finfo(np.float64).tiny))
    return {name: np.concatenate(parts) for name, parts in found.items()}
