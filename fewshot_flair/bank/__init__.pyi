from .bank import FeatureBank
from .extraction import Extraction, extract
from .imports import import_features
from .keys import image_key
from .source import FeatureSource

__all__ = [
    "Extraction",
    "FeatureBank",
    "FeatureSource",
    "extract",
    "image_key",
    "import_features",
]
