"""Photographs as a frozen encoder wants them: decoded, cropped to the fundus, on a canvas, normalised."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot_flair.errors import InputError
from fewshot_flair.images.decoding import ImageLike, read_image
from fewshot_flair.images.fast import crop_foreground_fast, read_reduced
from fewshot_flair.images.foreground import crop_foreground

__all__ = ["ImageLike", "ImagePreparation", "crop_foreground", "prepare", "read_image"]

CANVAS_MODES = ("pad", "stretch", "center-crop", "stretch-crop")
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
CHANNEL_ORDERS = ("rgb", "bgr")
CROP_OFFSETS = ("round", "floor")
MAX_SIDE = 4096
"""The largest canvas, and size before a crop: of a settings file that asks for more, memory would run out."""
_WHOLE_PIXELS = 2**23
"""So many pixels, and four times those that are kept, are resized whole before a crop."""
_REACH = 4
"""Pixels around a part that its resizing reads, and one to spare; Lanczos reads three."""


@dataclass(frozen=True)
class ImagePreparation:
    """How a photograph becomes an encoder's input; part of the encoder's fingerprint.

    Parameters
    ----------
    image_size : int
        Side S of the square canvas, in pixels.
    crop : bool
        Whether to crop to the foreground first (Li's threshold on the red channel).
    canvas : {"pad", "stretch", "center-crop", "stretch-crop"}
        "pad": the longest side becomes S, zeros at the right and bottom (FLAIR). "stretch": both sides
        become S. "center-crop": the shortest side becomes `resize`, the middle S × S is kept.
        "stretch-crop": both sides become `resize`, the middle S × S is kept.
    resize : int, optional
        Side before a crop, S or more; `image_size` where not given.
    interpolation : {"bilinear", "bicubic", "lanczos", "nearest"}
        Filter of the resizing, antialiased.
    round_pixels : bool
        Whether resized pixels are rounded to 8 bits, as models do whose preparation resizes with Pillow.
    mean, std : triples of float
        Subtracted from, and dividing, the [0, 1] pixels.
    fast : bool
        Whether large JPEGs are decoded at reduced size, and the foreground of photographs of 1,600 pixels
        and more is found on every few of them: many times as fast, nearly the same (docs/scale.md).
        Smaller photographs are prepared as ever.
    channels : {"rgb", "bgr"}
        Their order in what is handed to the model, and in `mean` and `std`.
    crop_offset : {"round", "floor"}
        Where a crop begins if an odd number of pixels falls away: half of it is rounded to the nearest
        even number (torchvision), or down (transformers).
    """

    image_size: int = 512
    crop: bool = True
    canvas: str = "pad"
    resize: int | None = None
    interpolation: str = "bilinear"
    round_pixels: bool = False
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fast: bool = False
    channels: str = "rgb"
    crop_offset: str = "round"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        if self.image_size < 1:
            raise InputError(f"image preparation: image_size is {self.image_size}; give a number of pixels")
        if max(self.image_size, self.resize or 0) > MAX_SIDE:
            raise InputError(
                f"image preparation: image_size {self.image_size}, resize {self.resize}: a side may have up to "
                f"{MAX_SIDE} pixels"
            )
        if self.resize is not None and self.resize < self.image_size:
            raise InputError(
                f"image preparation: resize {self.resize} is smaller than image_size {self.image_size}, which "
                "is cropped from it; give at least that"
            )
        for name, known in (
            ("canvas", CANVAS_MODES),
            ("interpolation", FILTERS),
            ("channels", CHANNEL_ORDERS),
            ("crop_offset", CROP_OFFSETS),
        ):
            if getattr(self, name) not in known:
                raise InputError(
                    f"image preparation: {name} {getattr(self, name)!r} is not one of {list(known)}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Every setting, as JSON takes it."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}


def prepare(image: ImageLike, preparation: ImagePreparation) -> NDArray[np.float32]:
    """Decode, crop, resize and normalise one photograph.

    Parameters
    ----------
    image : path, PIL image, or uint8 array of shape (H, W, 3)
    preparation : ImagePreparation

    Returns
    -------
    float32 array of shape (3, S, S)
        Channels first; in [0, 1] where mean is 0 and std is 1.

    Raises
    ------
    MissingFileError, InputError
        If the photograph is not there or cannot be read (see `read_image`).
    """
    rgb = (
        read_reduced(
            image,
            preparation.resize or preparation.image_size,
            shortest=preparation.canvas != "pad",
            crop=preparation.crop,
        )
        if preparation.fast
        else read_image(image)
    )
    if preparation.crop:
        rgb = crop_foreground_fast(rgb) if preparation.fast else crop_foreground(rgb)
    pixels = _on_canvas(rgb, preparation)
    if preparation.channels == "bgr":
        pixels = np.ascontiguousarray(pixels[::-1])
    mean = np.array(preparation.mean, dtype=np.float32)[:, None, None]
    std = np.array(preparation.std, dtype=np.float32)[:, None, None]
    if mean.any():
        pixels -= mean
    if (std != 1).any():
        pixels /= std
    return pixels


def _on_canvas(rgb: NDArray[np.uint8], preparation: ImagePreparation) -> NDArray[np.float32]:
    """Resized pixels in [0, 1], float32 [3, S, S]."""
    height, width = rgb.shape[:2]
    size = preparation.image_size
    if preparation.canvas == "stretch" or (preparation.canvas == "pad" and height == width):
        return _resize(rgb, size, size, preparation)
    if preparation.canvas == "pad":
        # Divided twice, not multiplied once: the release's floating-point result decides the last pixel row.
        scale = max(height, width) / size
        resized = _resize(rgb, max(1, int(height / scale)), max(1, int(width / scale)), preparation)
        canvas = np.zeros((3, size, size), dtype=np.float32)
        canvas[:, : resized.shape[1], : resized.shape[2]] = resized
        return canvas
    shortest = preparation.resize or size
    whole = shortest, shortest
    if preparation.canvas == "center-crop":
        # Multiplied first, and the fraction dropped, as torchvision and transformers do.
        longest = int(shortest * max(height, width) / min(height, width))
        whole = (shortest, longest) if height <= width else (longest, shortest)
    spare = [side - size for side in whole]
    top, left = (side // 2 if preparation.crop_offset == "floor" else round(side / 2) for side in spare)
    return _resize(rgb, *whole, preparation, (slice(top, top + size), slice(left, left + size)))


def _resize(
    rgb: NDArray[np.uint8],
    height: int,
    width: int,
    preparation: ImagePreparation,
    kept: tuple[slice, slice] | None = None,
) -> NDArray[np.float32]:
    """Antialiased resize of uint8 [H, W, 3] to float32 [3, height, width] in [0, 1], or to the part kept."""
    rows, columns = kept or (slice(0, height), slice(0, width))
    whole, resample = (height, width), FILTERS[preparation.interpolation]
    if preparation.round_pixels:
        small = _resize_part(rgb, whole, (rows, columns), resample)
        return np.ascontiguousarray(small.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
    out = np.empty((3, rows.stop - rows.start, columns.stop - columns.start), dtype=np.float32)
    for channel in range(3):
        plane = _resize_part(rgb[..., channel].astype(np.float32), whole, (rows, columns), resample)
        np.divide(plane, np.float32(255), out=out[channel])
    return out


def _resize_part(
    pixels: NDArray[Any], whole: tuple[int, int], kept: tuple[slice, slice], resample: Image.Resampling
) -> NDArray[Any]:
    """Resize to the whole size with Pillow, and keep a part.

    Where the whole is far larger than the part, as of a strip, only what the part is made from is resized. Its
    pixels are then those of the whole, but where one lies between two levels and rounding decides.
    """
    height, width = (part.stop - part.start for part in kept)
    if whole[0] * whole[1] <= max(_WHOLE_PIXELS, 4 * height * width):
        return np.asarray(Image.fromarray(pixels).resize(whole[::-1], resample))[kept]
    box: list[float] = []
    for axis, part in enumerate(kept):
        length = pixels.shape[axis]
        scale = length / whole[axis]
        start, stop = part.start * scale, min(part.stop * scale, length)
        first = max(0, math.floor(start - _REACH * max(scale, 1)))
        last = math.ceil(stop + _REACH * max(scale, 1))
        pixels = pixels[first:last] if axis == 0 else pixels[:, first:last]
        box += [start - first, stop - first]
    top, bottom, left, right = box
    part_of = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(part_of.resize((width, height), resample, (left, top, right, bottom)))
