from .decoding import ImageLike, read_image
from .foreground import crop_foreground
from .preparation import ImagePreparation, prepare

__all__ = [
    "ImageLike",
    "ImagePreparation",
    "crop_foreground",
    "prepare",
    "read_image",
]
