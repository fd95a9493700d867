"""The field of view: where it is in the photograph, how round and how large; and it alone at a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Field", "find_field"]

SIDE = 256
"""Longest side of the field, in pixels, at which everything is measured."""
_SEARCHED = 256
_RIM = 0.03
"""So much of the field's size is left out at its edge, where light falls off."""


@dataclass(frozen=True)
class Field:
    """A field of view at working size.

    Attributes
    ----------
    rgb : uint8 array of shape (h, w, 3)
        The photograph cropped to the field; its longest side has `SIDE` pixels.
    inside : bool array of shape (h, w)
        The field without its rim.
    framed : bool
        Whether there is a dark surround.
    fill : float
        Share of the field's bounding box that it fills: 0.785 of a circle, 1 of a square.
    roundness : float
        Share of the smallest circle around it that it fills, as far as that circle lies in the bounding box.
    seen : float
        Share of the whole circle that it fills: 0.64 of a square within it.
    aspect : float
        Shorter over longer side of the box.
    share : float
        Share of the photograph that the field takes.
    diameter : int
        Longest side of the field in the photograph's own pixels.
    """

    rgb: NDArray[np.uint8]
    inside: NDArray[np.bool_]
    framed: bool
    fill: float
    roundness: float
    seen: float
    aspect: float
    share: float
    diameter: int


def find_field(rgb: NDArray[np.uint8]) -> Field:
    """Find the field of view in uint8 [H, W, 3]: what is brighter than a dark surround, or everything.

    The surround is known by the corners: the two darkest must be dark beside the photograph's bright parts.
    """
    height, width = rgb.shape[:2]
    small = _shrunk(rgb, _SEARCHED)
    mask, framed = _field_mask(small)
    box = cv2.boundingRect(mask)
    fill, roundness, seen = _shape(mask, box)
    left, top = box[0] * width // mask.shape[1], box[1] * height // mask.shape[0]
    right = max(left + 1, -(-(box[0] + box[2]) * width // mask.shape[1]))
    bottom = max(top + 1, -(-(box[1] + box[3]) * height // mask.shape[0]))
    crop: NDArray[Any] = _shrunk(rgb[top:bottom, left:right], SIDE)
    scale = SIDE / max(crop.shape[:2])
    if scale > 1:
        size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC)
    inside = cv2.resize(
        mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]],
        crop.shape[1::-1],
        interpolation=cv2.INTER_LINEAR,
    )
    return Field(
        np.ascontiguousarray(crop),
        _without_rim(inside),
        framed,
        fill,
        roundness,
        seen,
        min(box[2], box[3]) / max(box[2], box[3]),
        float(np.count_nonzero(mask)) / mask.size,
        max(bottom - top, right - left),
    )


def _shrunk(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    scale = side / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    # Every few pixels first: a mean over all of a large photograph takes longer than everything else.
    step = max(1, int(0.5 / scale))
    return np.asarray(
        cv2.resize(np.ascontiguousarray(rgb[::step, ::step]), size, interpolation=cv2.INTER_AREA)
    )


def _field_mask(small: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bool]:
    """0 or 1 of each pixel, and whether there is a surround."""
    brightest = small.max(axis=2)
    everything = np.ones(brightest.shape, np.uint8)
    side = max(1, min(brightest.shape) // 20)
    corners = sorted(
        float(np.median(part))
        for part in (
            brightest[:side, :side],
            brightest[:side, -side:],
            brightest[-side:, :side],
            brightest[-side:, -side:],
        )
    )
    high = float(np.percentile(brightest, 95))
    if corners[1] > 0.3 * high or high - corners[1] < 8:
        return everything, False
    level = corners[1] + 0.12 * (high - corners[1]) + 2
    bright = (cv2.GaussianBlur(brightest, (0, 0), 1.0) > level).astype(np.uint8)
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    if count < 2:
        return everything, False
    mask = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, cv2.FILLED), True


def _shape(mask: NDArray[np.uint8], box: Sequence[int]) -> tuple[float, float, float]:
    """`fill`, `roundness` and `seen` of a mask."""
    left, top, width, height = box
    area = float(np.count_nonzero(mask))
    outline = np.concatenate(cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0])
    (x, y), radius = cv2.minEnclosingCircle(outline)
    rows, columns = np.mgrid[top : top + height, left : left + width]
    circle = int(np.count_nonzero((columns - x) ** 2 + (rows - y) ** 2 <= (radius + 0.5) ** 2))
    whole = np.pi * (radius + 0.5) ** 2
    return area / float(width * height), min(1.0, area / max(1.0, float(circle))), min(1.0, area / whole)


def _without_rim(mask: NDArray[Any]) -> NDArray[np.bool_]:
    reach = 2 * round(_RIM * SIDE) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    inner = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray((inner if inner.any() else mask) > 0)
