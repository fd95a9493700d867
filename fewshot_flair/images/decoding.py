"""Decode photographs to 8-bit RGB, refusing what cannot be read in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.images.dicom import read_dicom
from fewshot_flair.images.formats import FORMAT_NAMES, Format, format_of
from fewshot_flair.images.levels import eight_bits, full_levels, has_spare_bits, is_deep, mend_planes
from fewshot_flair.images.metadata import turn_of, without_long_metadata

__all__ = ["MAX_PIXELS", "ImageLike", "jpeg_size", "read_image"]

ImageLike = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
"""A photograph: its path, a Pillow image, or a uint8 array of shape (H, W), (H, W, 3) or (H, W, 4)."""

# Fundus cameras stay under 60 megapixels; more than twice that is no photograph, and would fill the memory.
MAX_PIXELS = 150_000_000


def read_image(image: ImageLike, *, reduce: int = 1) -> NDArray[np.uint8]:
    """Decode a photograph to RGB.

    JPEG, PNG, TIFF, BMP, GIF, WebP, AVIF, HEIF, PNM, JPEG 2000 (`FORMATS`), and DICOM (with the extra
    ``dicom``, see `read_dicom`). EXIF rotation is applied, where the EXIF can be read; long profiles and texts
    of a PNG are passed over; grey becomes three equal channels; 16-bit grey levels are divided by 257, and of
    16-bit colour in files the high byte is kept. Where no level of 16 bits is above 4095, 1023 or 255, they are
    taken as levels of 12, 10 or 8 bits, whose largest becomes 255. Transparent pixels are laid on black; CMYK
    is converted; of an animated file the first frame is read.

    Parameters
    ----------
    image : path, PIL image, or array
        Arrays are uint8 (or uint16, scaled as those of files) of shape (H, W), (H, W, 3) or (H, W, 4).
    reduce : {1, 2, 4, 8}
        Decode a JPEG at this fraction of its size, which takes a fraction of the time.

    Returns
    -------
    uint8 array of shape (H, W, 3)

    Raises
    ------
    MissingFileError
        If there is no such file.
    InputError
        If it is empty, of no format that is read, truncated, of more than `MAX_PIXELS` pixels, or its levels
        have no known range (floating-point, signed or 32-bit pixels).
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, Image.Image):
        with _damage_named("image"):
            return _to_rgb(image, "image")
    if not isinstance(image, str | os.PathLike):
        raise InputError(f"image: a {type(image).__name__} is neither a path, a PIL image nor an array")
    path = Path(image)
    kind = _format_of_image(path)
    if kind.plugin is None:
        return read_dicom(path, MAX_PIXELS)
    with _opened(path, kind) as opened:
        return _to_rgb(opened, str(path), reduce)


def jpeg_size(path: Path) -> tuple[int, int] | None:
    """Width and height that a JPEG's header states, before any rotation; None for every other format.

    Raises
    ------
    MissingFileError, InputError
        If `read_image` would refuse the file for its first bytes.
    """
    kind = _format_of_image(path)
    if kind.plugin != "JPEG":
        return None
    with _opened(path, kind) as opened:
        return opened.size


def _format_of_image(path: Path) -> Format:
    try:
        kind = format_of(path)
        empty = kind is None and path.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise MissingFileError(f"no image {path}") from error
    except OSError as error:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not an image; give a file") from error
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); see to its permissions and its disk"
        ) from error
    if empty:
        raise InputError(f"{path} is empty (0 bytes); fetch the file again")
    if kind is None:
        raise InputError(f"{path} is not an image that can be read ({FORMAT_NAMES}); save it as one of these")
    return kind


@contextmanager
def _opened(path: Path, kind: Format) -> Iterator[Image.Image]:
    """Open a file with its format's plugin of Pillow, refused by name where it is damaged.

    ``Image.open`` warns of pictures of little more than half the pixels that are refused here. To silence it
    means to change the process's warning filters, which threads that decode at the same time cannot do
    safely; the plugins themselves do not warn (but for TIFF's, which then says so once).
    """
    plugin = kind.plugin or ""
    if plugin == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    if plugin not in Image.OPEN:
        Image.init()
    if plugin not in Image.OPEN:
        raise InputError(
            f"{path} is {kind.name}, which this Pillow cannot read; pip install --upgrade pillow"
        )
    factory, _ = Image.OPEN[plugin]
    with _damage_named(str(path)), path.open("rb") as file:
        try:
            content = without_long_metadata(file) if plugin == "PNG" else file
            # Without its name: given one, Pillow maps grey TIFFs into memory, and scrambles those to be turned.
            opened = factory(content, "")
        except SyntaxError as error:  # so plugins say that a file is none of theirs, or of an unknown kind
            raise InputError(
                f"{path} is no {kind.name} file that can be read ({error}); fetch it again, or save it anew"
            ) from error
        with opened:
            yield opened


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} is too large to decode: {error}") from error
    except Exception as error:  # a damaged file raises whatever the decoder of its format likes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name} is truncated or damaged ({reason}); fetch the file again") from error


def _to_rgb(image: Image.Image, name: str, reduce: int = 1) -> NDArray[np.uint8]:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name} has {width} × {height} pixels, more than the {MAX_PIXELS // 10**6} million that a photograph "
            "may have; make it smaller"
        )
    if image.mode == "F":
        raise InputError(
            f"{name} holds floating-point pixels, whose range is unknown; save it with 8 or 16 bits"
        )
    # 16 unsigned bits are "I;16" or, in PNM and in older Pillow's PNG, "I"; elsewhere "I" is anything.
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise InputError(
            f"{name} holds signed or 32-bit pixels, whose range is unknown; save it with 8 or 16 bits, unsigned"
        )
    # Pillow inverts TIFFs whose white is 0 (tag 262 is 0) where they have up to 8 bits, but not these.
    white_is_zero = image.mode.startswith("I") and getattr(image, "tag_v2", {}).get(262) == 0
    if reduce > 1:
        image.draft(None, (max(1, width // reduce), max(1, height // reduce)))
    deep = is_deep(image)
    mend_planes(image)
    image.load()
    turn = turn_of(image)
    if image.mode.startswith("I"):
        levels = eight_bits(np.asarray(image.convert("I")).clip(0, 65535).astype(np.uint16))
        image = Image.fromarray(255 - levels if white_is_zero else levels)
    elif deep and has_spare_bits(image):
        image = Image.fromarray(eight_bits(full_levels(image, name)))
    if turn is not None:
        image = image.transpose(turn)
    if image.has_transparency_data:
        return _on_black(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        raise InputError(f"image: an array of shape {array.shape} is no image; give (H, W) or (H, W, 3)")
    if array.dtype == np.uint16:
        array = eight_bits(array)
    if array.dtype != np.uint8:
        raise InputError(f"image: an array of {array.dtype} has an unknown range; give uint8 from 0 to 255")
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] == 4:
        return _on_black(array)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _on_black(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)
