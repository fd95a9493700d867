from .bank import FeatureBank
from .extraction import Extraction, extract
from .imports import import_features
from .keys import image_key
from .local import LocalBank, LocalView
from .source import FeatureSource

__all__ = [
    "Extraction",
    "FeatureBank",
    "FeatureSource",
    "LocalBank",
    "LocalView",
    "extract",
    "image_key",
    "import_features",
]
