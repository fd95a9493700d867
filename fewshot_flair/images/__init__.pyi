from .corruptions.base import CORRUPTIONS, Corruption, corruption_of, list_corruptions
from .decoding import ImageLike, read_image
from .foreground import crop_foreground
from .preparation import ImagePreparation, prepare
from .quality.assessment import Quality, assess_quality

__all__ = [
    "CORRUPTIONS",
    "Corruption",
    "ImageLike",
    "ImagePreparation",
    "Quality",
    "assess_quality",
    "corruption_of",
    "crop_foreground",
    "list_corruptions",
    "prepare",
    "read_image",
]
