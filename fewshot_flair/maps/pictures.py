"""A map as pictures: 16-bit grey levels, and colours over the photograph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["grey_levels", "jpeg", "overlay", "png", "strength"]

STRONG = 99.8
"""Percentile of what speaks for a class that gets the full colour."""
MOST_COLOUR = 0.7
LEVELS = 65_534


def grey_levels(values: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float, float]:
    """A map as 16-bit grey levels: 0 where no canvas shows the photograph (NaN), else 1 to 65,535.

    Returns
    -------
    uint16 array of shape (H, W)
    low, high : float
        ``value = low + (level − 1) / 65534 · (high − low)``.
    """
    seen = np.isfinite(values)
    if not seen.any():
        return np.zeros(values.shape, np.uint16), 0.0, 0.0
    low, high = float(values[seen].min()), float(values[seen].max())
    share = (values - low) / (high - low) if high > low else np.zeros_like(values)
    levels = np.rint(np.where(seen, share, 0) * LEVELS).astype(np.uint16) + np.uint16(1)
    return np.where(seen, levels, np.uint16(0)), low, high


def strength(values: NDArray[np.float32], base: float = 0.0) -> NDArray[np.float32]:
    """How much of the colour each pixel gets, 0 to 1: nothing up to `base`, all at the 99.8th percentile above."""
    over = np.nan_to_num(values - base, nan=0.0).clip(min=0)
    strong = over[over > 0]
    top = float(np.percentile(strong, STRONG)) if strong.size else 0.0
    return np.clip(over / top, 0, 1).astype(np.float32) if top > 0 else np.zeros(values.shape, np.float32)


def overlay(rgb: NDArray[np.uint8], share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours (viridis) over a photograph (H, W, 3), the stronger the more of them."""
    import cv2

    colours = cv2.applyColorMap(np.rint(255 * share).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    covered = (MOST_COLOUR * np.sqrt(share))[..., None]
    return np.rint(rgb * (1 - covered) + colours * covered).astype(np.uint8)


def png(levels: NDArray[np.uint16]) -> bytes:
    """Grey levels as the content of a PNG file."""
    import cv2

    done, content = cv2.imencode(".png", levels)
    assert done
    return content.tobytes()


def jpeg(rgb: NDArray[np.uint8], quality: int = 90) -> bytes:
    """A picture (H, W, 3) as the content of a JPEG file."""
    import cv2

    done, content = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return content.tobytes()
