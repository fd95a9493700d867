"""Photographs as small pictures inside a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from fewshot_flair.errors import FewshotFlairError

__all__ = ["SIDE", "data_uri", "thumbnail"]

SIDE = 220
"""Longest side of a thumbnail, in pixels."""


def thumbnail(path: Path) -> str:
    """The photograph at most 220 pixels large, as a data URI; empty where it cannot be read."""
    from PIL import Image

    from fewshot_flair.images import read_image

    try:
        picture = Image.fromarray(read_image(path))
    except (FewshotFlairError, OSError, ValueError):
        return ""
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return data_uri(content.getvalue())


def data_uri(jpeg: bytes) -> str:
    """A JPEG picture as an address that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
