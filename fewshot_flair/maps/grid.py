"""From scores of tiles' cells to a map as large as the photograph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.images.tiles import View

__all__ = ["on_photograph"]

FLOOR = 0.02
"""Weight of a tile at its very edge, where the network knows least of what lies around; 1 in its middle."""


def on_photograph(scores: NDArray[np.floating], where: View) -> NDArray[np.float32]:
    """Lay tiles' scores over the photograph; tiles that overlap fade into each other.

    Parameters
    ----------
    scores : array of shape (tiles, h, w)
    where : View

    Returns
    -------
    float32 array of shape (H, W)
        NaN where no canvas shows the photograph.
    """
    import cv2

    height, width = where.shape
    total = np.zeros((height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    for tile, (top, left, tall, wide) in zip(np.asarray(scores, np.float32), where.tiles, strict=True):
        first, last = max(0, int(np.floor(top))), min(height, int(np.ceil(top + tall)))
        start, stop = max(0, int(np.floor(left))), min(width, int(np.ceil(left + wide)))
        # where in the tile, from 0 to 1, the middle of each pixel lies
        down = (np.arange(first, last) + 0.5 - top) / tall
        across = (np.arange(start, stop) + 0.5 - left) / wide
        rows = (down * tile.shape[0] - 0.5).astype(np.float32)
        columns = (across * tile.shape[1] - 0.5).astype(np.float32)
        x, y = np.meshgrid(columns, rows)
        values = cv2.remap(
            np.ascontiguousarray(tile), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        if len(where.tiles) == 1:
            total[first:last, start:stop], weight[first:last, start:stop] = values, 1
            continue
        fade = np.outer(_fade(down), _fade(across)).astype(np.float32)
        total[first:last, start:stop] += fade * values
        weight[first:last, start:stop] += fade
    with np.errstate(invalid="ignore"):
        return np.where(weight > 0, total / weight, np.float32(np.nan))


def _fade(places: NDArray) -> NDArray[np.float64]:
    edge = np.minimum(places, 1 - places)
    return np.clip(4 * edge, FLOOR, 1)
