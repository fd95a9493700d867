from .base import Encoder, ImageFeatures
from .catalogue import EncoderInfo, list_encoders, load_encoder
from .flair import FLAIRModel

__all__ = [
    "Encoder",
    "EncoderInfo",
    "FLAIRModel",
    "ImageFeatures",
    "list_encoders",
    "load_encoder",
]
