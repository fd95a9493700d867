"""Where the fundus is in a photograph: Li's threshold, the largest component, its bounding box."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["crop_foreground", "foreground_box", "li_threshold"]

_COUNTED = 2**20
"""So many pixels are counted at a time."""


def li_threshold(histogram: NDArray[np.int64]) -> float | None:
    """Threshold that minimises the cross-entropy of an 8-bit image and its two-level version.

    Works on the histogram, so its cost does not grow with the iterations; equal to scikit-image's
    ``threshold_li`` on the pixels.

    Parameters
    ----------
    histogram : int array of shape (256,)
        Number of pixels of each level.

    Returns
    -------
    float or None
        In levels; None where all pixels are of one level.

    References
    ----------
    Li and Lee, Minimum cross entropy thresholding, Pattern Recognition 26, 1993; the iteration of
    Li and Tam, Pattern Recognition Letters 19, 1998.
    """
    used = np.flatnonzero(histogram)
    if used.size < 2:
        return None
    # Counted from the darkest level, as logarithms need means above zero.
    levels = (used - used[0]).astype(np.float64)
    counts = histogram[used].astype(np.float64)
    tolerance = np.diff(levels).min() / 2
    current = float(counts @ levels / counts.sum())
    previous = -2 * tolerance
    while abs(current - previous) > tolerance:
        previous = current
        bright = levels > current
        mean_bright = float(counts[bright] @ levels[bright] / counts[bright].sum())
        mean_dark = float(counts[~bright] @ levels[~bright] / counts[~bright].sum())
        if mean_dark == 0:
            break
        current = (mean_dark - mean_bright) / (math.log(mean_dark) - math.log(mean_bright))
    return current + float(used[0])


def foreground_box(rgb: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Bounding box (top, left, bottom, right; the last two exclusive) of the fundus.

    The red channel's pixels above Li's threshold, of which the largest component (8 neighbours) is kept.
    A photograph of one colour, an all-black one included, has no foreground: the box is the whole of it.
    """
    import cv2

    red = np.ascontiguousarray(rgb[..., 0])
    # By parts: the numbers that are counted take eight times the memory of the levels.
    parts = np.array_split(red.reshape(-1), 1 + red.size // _COUNTED)
    threshold = li_threshold(np.sum([np.bincount(part, minlength=256) for part in parts], axis=0))
    if threshold is None:
        return 0, 0, *rgb.shape[:2]
    mask = (red > threshold).view(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, width, height, _ = stats[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])].tolist()
    return top, left, top + height, left + width


def crop_foreground(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop uint8 [H, W, 3] to `foreground_box`; a view, no copy."""
    top, left, bottom, right = foreground_box(rgb)
    return rgb[top:bottom, left:right]
