"""Levels of 16-bit files, brought to 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot_flair.errors import InputError

__all__ = ["eight_bits", "full_levels", "has_spare_bits", "is_deep", "mend_planes"]

_BITS, _PLANAR = 258, 284
"""Tags of a TIFF: bits of a sample, and whether each colour has its plane (2)."""


def eight_bits(levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Scale 16-bit levels to 8 bits; where none is above 4095, 1023 or 255, the levels have 12, 10 or 8 bits."""
    if levels.ndim == 3 and levels.shape[2] == 4:  # opaque is 65535, whatever bits the colours have
        return np.dstack([eight_bits(levels[..., :3]), eight_bits(levels[..., 3])])
    highest = int(levels.max(initial=0))
    top = next(top for top in (255, 1023, 4095, 65535) if highest <= top)
    # Rounded to the nearest level; 65535 / 255 is 257.
    return ((levels.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def _tag(image: Image.Image, tag: int) -> Any:
    value = getattr(image, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) else value


def is_deep(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet has 16-bit colour, of which Pillow keeps the high byte."""
    if image.mode not in ("RGB", "RGBA") or image.format not in ("PNG", "TIFF"):
        return False
    return _tag(image, _BITS) == 16 or any(";16" in str(tile.args) for tile in getattr(image, "tile", []))


def has_spare_bits(image: Image.Image) -> bool:
    """Whether the high bytes that Pillow gives of 16-bit colour hold four bits at most."""
    return max(highest for _, highest in image.getextrema()[:3]) < 16  # type: ignore[misc]


def mend_planes(image: Any) -> None:
    """Let Pillow read the 16-bit planes of an uncompressed TIFF as such, not as 8-bit ones."""
    if _tag(image, _BITS) == 16 and _tag(image, _PLANAR) == 2:
        order = "B" if image.tag_v2.prefix == b"MM" else "L"
        image.tile = [
            tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:]))
            if tile.codec_name == "raw" and tile.args[0] in tuple("RGBA")
            else tile
            for tile in image.tile
        ]


def full_levels(image: Image.Image, name: str) -> NDArray[np.uint16]:
    """All bits of a 16-bit colour file, (H, W, 3 or 4), read again with OpenCV."""
    import cv2

    if _tag(image, _PLANAR) == 2:
        raise InputError(
            f"{name} holds 12-bit levels in 16-bit planes, which cannot be read; save it with 8 bits, or as PNG"
        )
    levels: Any = cv2.imdecode(np.frombuffer(Path(name).read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.dtype != np.uint16 or levels.ndim != 3:
        raise ValueError("its 16-bit levels cannot be read")
    return cv2.cvtColor(levels, cv2.COLOR_BGR2RGB if levels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
