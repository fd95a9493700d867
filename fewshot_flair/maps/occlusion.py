"""Plain occlusion: what the answer loses when a part of the picture is blurred away.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014; what is covered takes the colour
around it here, as a grey patch would be a finding of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.maps.cells import centred

__all__ = ["occlusion_scores"]

PLACES = 16
"""So many patches in each direction."""
BATCH = 16


def occlusion_scores(
    logits: Callable[[NDArray[np.float32]], NDArray], canvas: NDArray[np.float32], places: int = PLACES
) -> NDArray[np.float64]:
    """What each class's logit, less the mean of all, loses where a patch is covered.

    Parameters
    ----------
    logits : callable
        Of canvases (n, 3, S, S), the encoder's pass included: (n, C).
    canvas : float32 array of shape (3, S, S)
        As the encoder takes it.
    places : int
        Patches a side; each is twice as large as their distance, so that they overlap.

    Returns
    -------
    float64 array of shape (places, places, C)
    """
    import cv2

    side = canvas.shape[1]
    step = side / places
    around = np.stack([cv2.GaussianBlur(np.ascontiguousarray(plane), (0, 0), side / 12) for plane in canvas])
    middles = (np.arange(places) + 0.5) * step
    spans = [(max(0, round(m - step)), min(side, round(m + step))) for m in middles]
    boxes = [(rows, columns) for rows in spans for columns in spans]
    whole = centred(logits(canvas[None]))
    parts = []
    for start in range(0, len(boxes), BATCH):
        batch = np.repeat(canvas[None], len(boxes[start : start + BATCH]), axis=0)
        for covered, ((top, bottom), (left, right)) in zip(batch, boxes[start : start + BATCH], strict=True):
            covered[:, top:bottom, left:right] = around[:, top:bottom, left:right]
        parts.append(whole - centred(logits(batch)))
    return np.concatenate(parts).reshape(places, places, -1)
