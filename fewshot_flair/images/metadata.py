"""What files hold besides pixels: kept small before it is read, and no reason to refuse sound pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import IO

from PIL import ExifTags, Image

__all__ = ["turn_of", "without_long_metadata"]

MAX_METADATA = 2**19
"""So many bytes of a PNG's profiles and texts, unpacked and taken together, are read; the rest is passed over."""
_METADATA = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
_TURNS = dict(
    enumerate(
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        start=2,
    )
)


def without_long_metadata(png: IO[bytes]) -> IO[bytes]:
    """Return a PNG's file, or one without the profiles and texts that Pillow would refuse for their length.

    Pillow's own limit holds for the whole process, so it is not changed.
    """
    kept: list[tuple[int, int]] = []
    start, spent, dropped = 8, 0, False
    png.seek(start)
    while len(header := png.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        spare = 0
        if kind in _METADATA:
            spare = _unpacked(kind, png.read(min(length, MAX_METADATA + 1)), MAX_METADATA - spent)
        if kind in _METADATA and spent + spare > MAX_METADATA:
            dropped = True
        else:
            kept.append((start, length + 12))
            spent += spare
        start += length + 12
        png.seek(start)
    png.seek(0)
    if not dropped:
        return png
    rest = io.BytesIO(png.read(8))
    rest.seek(0, io.SEEK_END)
    for place, length in kept:
        png.seek(place)
        rest.write(png.read(length))
    rest.seek(0)
    return rest


def _unpacked(kind: bytes, content: bytes, limit: int) -> int:
    """How many bytes a profile or text has when it is unpacked; unpacking stops above the limit."""
    packed = content.partition(b"\0")[2]
    if kind == b"iTXt":
        compressed, packed = packed[:1] == b"\1", packed[2:].split(b"\0", 2)[-1]
    else:
        compressed, packed = kind != b"tEXt", packed[1:]
    if not compressed:
        return len(content)
    try:
        return len(zlib.decompressobj().decompress(packed, limit + 1))
    except zlib.error:
        return 0


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return the turn that a loaded image's EXIF asks for; None where there is none, or it cannot be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # odd tags raise whatever Pillow's readers like; the pixels are sound
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None
