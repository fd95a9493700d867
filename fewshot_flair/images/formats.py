"""The formats of photographs that are taken: what files of each begin with, and what they are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fewshot_flair.disk import open_file

__all__ = ["FORMATS", "FORMAT_NAMES", "HEAD_BYTES", "IMAGE_SUFFIXES", "Format", "format_of"]

HEAD_BYTES = 132
"""So many bytes of a file tell its format; DICOM's mark stands last, after a preamble of 128."""


@dataclass(frozen=True)
class Format:
    """A format: its name, the pattern that its files begin with, their suffixes and Pillow's plugin."""

    name: str
    mark: re.Pattern[bytes]
    suffixes: tuple[str, ...]
    plugin: str | None


def _format(name: str, mark: bytes, suffixes: str, plugin: str | None) -> Format:
    return Format(name, re.compile(mark, re.DOTALL), tuple(suffixes.split()), plugin)


FORMATS = (
    # First, as its preamble may hold the mark of another format. Without a preamble, a file begins with its first
    # element, of group 2 or 8, with the name of its type or the length of its value.
    _format(
        "DICOM",
        rb".{128}DICM|\x02\0[\0\x01]\0(UL|OB)|\x08\0[\0-\x1f]\0([A-Z]{2}|.\0\0\0)|\0\x08\0[\0-\x1f][A-Z]{2}",
        ".dcm .dicom",
        None,
    ),
    _format("JPEG", rb"\xff\xd8\xff", ".jpg .jpeg .jpe .jfif", "JPEG"),
    _format("PNG", rb"\x89PNG\r\n\x1a\n", ".png", "PNG"),
    _format("TIFF", rb"II[*+]\0|MM\0[*+]", ".tif .tiff", "TIFF"),
    _format("BMP", rb"BM", ".bmp", "BMP"),
    _format("GIF", rb"GIF8[79]a", ".gif", "GIF"),
    _format("WebP", rb"RIFF.{4}WEBP", ".webp", "WEBP"),
    # Of the common brands mif1 and msf1, the list of compatible ones that follows says which it is.
    _format("AVIF", rb".{4}ftyp(avi[fs]|m(if|sf)1.{4}(.{4})*avi[fs])", ".avif", "AVIF"),
    _format("HEIF", rb".{4}ftyp(he[iv][cmsx]|m(if|sf)1)", ".heic .heif .hif", "HEIF"),
    _format("PNM", rb"P[1-6][\s#]", ".pbm .pgm .ppm .pnm", "PPM"),
    _format("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", ".jp2 .j2k", "JPEG2000"),
)
"""Everything that `read_image` reads; what a manifest's rows and folders are looked through for."""

FORMAT_NAMES = ", ".join([*(kind.name for kind in FORMATS[1:]), FORMATS[0].name])
IMAGE_SUFFIXES = frozenset(suffix for kind in FORMATS for suffix in kind.suffixes)


def format_of(path: Path) -> Format | None:
    """Tell a file's format by its first bytes, or DICOM by its suffix alone; None where it is none of them.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If no file can have such a path.
    """
    with open_file(path) as file:
        head = file.read(HEAD_BYTES)
    for kind in FORMATS if head else ():
        # DICOM files written without the preamble have no mark.
        if kind.mark.match(head) or (kind.name == "DICOM" and path.suffix.lower() in kind.suffixes):
            return kind
    return None
