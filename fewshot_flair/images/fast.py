"""The fast preparation: reduced decoding, and the fundus found on a small copy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.images.decoding import ImageLike, jpeg_size, read_image
from fewshot_flair.images.foreground import foreground_box

__all__ = ["crop_foreground_fast", "fast_box", "read_reduced"]

_SPARE = 1.5
"""A photograph is decoded to at least so many times the pixels that the canvas takes."""
_SEARCHED_SIDE = 800
"""The fundus is searched on a copy whose longest side has at least so many pixels."""
_SIZED_SIDE = 200
"""How large the fundus is, is told from a copy whose longest side has at least so many pixels."""


def read_reduced(image: ImageLike, side: int, shortest: bool, crop: bool) -> NDArray[np.uint8]:
    """Decode a JPEG at a half, a quarter or an eighth of its size, if that is still large enough.

    The decoder leaves out the high frequencies, which the resizing that follows would remove. The side that
    counts keeps 1.5 times the canvas's pixels. Where the photograph is then cropped to a fundus that has
    fewer than the canvas's, it is decoded again, larger, so that the fundus is only enlarged where it would
    be without this. Everything but JPEG is decoded whole, and whatever `read_image` refuses is refused alike.

    Parameters
    ----------
    image : path, PIL image, or uint8 array
    side : int
        Pixels that the side that counts will have on the canvas.
    shortest : bool
        Whether that is the shortest side ("stretch", "stretch-crop", "center-crop") or the longest ("pad").
    crop : bool
        Whether the photograph is cropped to the fundus afterwards.

    Returns
    -------
    uint8 array of shape (ceil(H / k), ceil(W / k), 3), k being 1, 2, 4 or 8
    """
    size = jpeg_size(Path(image)) if isinstance(image, str | os.PathLike) else None
    if size is None:
        return read_image(image)
    counts = min if shortest else max
    # Decoders leave at least a pixel, and reduce a photograph of fewer than k rows by less than k.
    scales = [k for k in (8, 4, 2, 1) if k <= min(size) and counts(size) >= k * _SPARE * side] or [1]
    rgb = read_image(image, reduce=scales[0])
    if not crop or scales[0] == 1:
        return rgb
    step = max(1, max(rgb.shape[:2]) // _SIZED_SIDE)
    top, left, bottom, right = foreground_box(rgb[::step, ::step])
    # At least so much of it: between the first and the last pixel that was looked at.
    fundus = (counts(bottom - top, right - left) - 1) * step * scales[0]
    scale = next((k for k in scales if fundus >= k * side), 1)
    return rgb if scale == scales[0] else read_image(image, reduce=scale)


def fast_box(rgb: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """`foreground_box` found on every k-th pixel of every k-th row.

    k is the largest integer that leaves the longest side 800 pixels or more. A side where the field ends in
    an edge of k pixels or more, as the round or straight one of a fundus, is off by less than k pixels.
    What is thinner than k pixels can be missed, or parted from the field that it touches, and the side is
    then off by as much as that reaches beyond the field.
    """
    step = max(1, max(rgb.shape[:2]) // _SEARCHED_SIDE)
    if step == 1:
        return foreground_box(rgb)
    top, left, bottom, right = foreground_box(rgb[::step, ::step])
    height, width = rgb.shape[:2]
    return top * step, left * step, min(bottom * step, height), min(right * step, width)


def crop_foreground_fast(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop uint8 [H, W, 3] to `fast_box`; a view, no copy."""
    top, left, bottom, right = fast_box(rgb)
    return rgb[top:bottom, left:right]
