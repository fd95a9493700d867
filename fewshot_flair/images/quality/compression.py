"""How far JPEG compression has cut a photograph into blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["blockiness"]

_LIT = 12
"""Darker pixels are the surround, which has no blocks."""


def blockiness(rgb: NDArray[np.uint8]) -> float:
    """Steps of green between blocks of 8 pixels over steps within them, of uint8 [H, W, 3]; 1.4 where all is well.

    1 where the photograph is narrower than four blocks. Blocks that were resized later are not seen.
    """
    green = rgb[::3, :, 1].astype(np.int16)
    width = green.shape[1] // 8 * 8
    if width < 32:
        return 1.0
    steps = np.abs(np.diff(green, axis=1))
    lit = green[:, :-1] > _LIT
    # A crop may have moved the grid: the column of largest steps is taken for the blocks' edge.
    means = [
        float(steps[:, k : width - 1 : 8].mean(where=lit[:, k : width - 1 : 8]))
        if lit[:, k : width - 1 : 8].any()
        else 0.0
        for k in range(8)
    ]
    return (max(means) + 0.3) / (float(np.median(means)) + 0.3)
