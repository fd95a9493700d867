"""DICOM fundus photographs (needs the extra ``dicom``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["read_dicom"]

_ROWS = 64
"""So many rows are scaled at a time: the floating-point levels of a whole photograph take 8 times its memory."""


def read_dicom(path: Path, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a DICOM photograph's first frame to RGB, uint8 (H, W, 3).

    Levels of more than 8 bits are divided so that the largest that the file's bits can hold becomes 255;
    MONOCHROME1 (white is 0) is inverted; YBR is converted.

    Raises
    ------
    InputError
        If pydicom is not installed, or the file holds no picture that it can decode.
    """
    try:
        from pydicom import dcmread
    except ImportError as error:
        raise InputError(
            f"{path} is DICOM, which needs pydicom: pip install 'fewshot-flair[dicom]'"
        ) from error
    try:
        content = dcmread(path, force=True)
        _complete_meta(content)
        height, width = int(content.Rows), int(content.Columns)
        if height * width > max_pixels:
            raise InputError(
                f"{path} has {width} × {height} pixels, more than the {max_pixels // 10**6} million that a "
                "photograph may have; make it smaller"
            )
        return _rgb(content, _first_frame(content))
    except InputError:
        raise
    except Exception as error:  # a broken file raises whatever the decoder for its compression likes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is DICOM without a picture that can be decoded ({reason})") from error


def _complete_meta(content: Dataset) -> None:
    """Where a file has no meta header, say how it is written, as it was found to be when it was read."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(content, "file_meta", None) or FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        is_implicit, is_little = content.original_encoding
        explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
        content.file_meta = meta


def _first_frame(content: Dataset) -> NDArray[Any]:
    from pydicom.pixels.utils import pixel_array

    # raw=False converts YBR to RGB.
    return pixel_array(content, index=0, raw=False)


def _rgb(content: Dataset, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    bits = int(content.BitsStored)
    lowest = -(2 ** (bits - 1)) if int(content.get("PixelRepresentation", 0)) else 0
    photometric = content.get("PhotometricInterpretation")
    if photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        # The palette's colours are unsigned, whatever the stored numbers that point into it are.
        pixels = apply_color_lut(pixels, content)
        bits, lowest = 8 * pixels.itemsize, 0
    eight = pixels if pixels.dtype == np.uint8 and bits == 8 and not lowest else _scaled(pixels, bits, lowest)
    if photometric == "MONOCHROME1":
        eight = 255 - eight
    if eight.ndim == 2:
        eight = eight[..., None]
    return np.ascontiguousarray(np.broadcast_to(eight[..., :3], (*eight.shape[:2], 3)))


def _scaled(pixels: NDArray[Any], bits: int, lowest: int) -> NDArray[np.uint8]:
    eight = np.empty(pixels.shape, dtype=np.uint8)
    for top in range(0, len(pixels), _ROWS):
        levels = pixels[top : top + _ROWS].astype(np.float64) - lowest
        if bits != 8:
            levels = np.rint(levels * (255 / (2**bits - 1)))
        eight[top : top + _ROWS] = levels.clip(0, 255)
    return eight
