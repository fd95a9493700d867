from .decoding import ImageLike, read_image
from .foreground import crop_foreground
from .preparation import ImagePreparation, prepare
from .quality.assessment import Quality, assess_quality

__all__ = [
    "ImageLike",
    "ImagePreparation",
    "Quality",
    "assess_quality",
    "crop_foreground",
    "prepare",
    "read_image",
]
