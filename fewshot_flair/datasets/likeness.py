"""Photographs that are nearly the same: one picture at two sizes, cut or saved anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["alike_pairs", "fingerprint_of", "fingerprints"]

SIDE = 64
BLUR = 6.0
"""Of the Gaussian that is taken away, in pixels of a fingerprint: the disc of the fundus and its shading go with it."""
ALIKE = 0.9
"""Correlation of two fingerprints from which on they count as one picture; docs/data-sets.md says how it was chosen."""
BLOCK = 2048


def fingerprint_of(path: Path) -> NDArray[np.float32] | None:
    """What a photograph looks like, whatever its size: the green channel of the fundus without slow changes.

    Returns
    -------
    float32 array of shape (2284,) or None
        Of mean 0 and norm 1; None where the file cannot be decoded, or shows nothing.
    """
    import cv2

    from fewshot_flair.errors import InputError
    from fewshot_flair.images.decoding import jpeg_size, read_image
    from fewshot_flair.images.foreground import crop_foreground

    try:
        size = jpeg_size(path)
        reduce = 1 if size is None else max(k for k in (1, 2, 4, 8) if k == 1 or min(size) // k >= 4 * SIDE)
        green = crop_foreground(read_image(path, reduce=reduce))[..., 1].astype(np.float32)
    except (InputError, OSError):
        return None
    small = cv2.resize(green, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    fine = (small - cv2.GaussianBlur(small, (0, 0), BLUR))[_within()]
    fine -= fine.mean()
    norm = float(np.linalg.norm(fine))
    return fine / norm if norm > 1e-3 else None


@cache
def _within() -> NDArray[np.bool_]:
    """Pixels well within the disc of the fundus, whose rim is alike in all photographs."""
    at = np.arange(SIDE) - (SIDE - 1) / 2
    return np.hypot(at[:, None], at[None, :]) < 0.42 * SIDE


def fingerprints(
    paths: Sequence[Path], told: Callable[[int], None] = lambda done: None
) -> list[NDArray[np.float32] | None]:
    """`fingerprint_of` each file, on two threads; `told` how many are done."""
    found = []
    with ThreadPoolExecutor(2) as threads:
        for i, each in enumerate(threads.map(fingerprint_of, paths)):
            found.append(each)
            told(i + 1)
    return found


def alike_pairs(prints: Sequence[NDArray[np.float32] | None]) -> list[tuple[int, int, float]]:
    """Pairs of photographs that are nearly the same.

    Returns
    -------
    list of (int, int, float)
        Places of the two, the first before the second, and their correlation (at least ALIKE).
    """
    known = [(i, each) for i, each in enumerate(prints) if each is not None]
    if not known:
        return []
    places = [i for i, _ in known]
    X = np.stack([each for _, each in known])
    pairs = []
    for start in range(0, len(X), BLOCK):
        likeness = X[start : start + BLOCK] @ X[start:].T
        for i, j in zip(*np.nonzero(likeness >= ALIKE), strict=True):
            if j > i:
                pairs.append((places[start + i], places[start + j], float(likeness[i, j])))
    return pairs
