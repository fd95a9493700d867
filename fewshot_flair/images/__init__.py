"""Photographs as a frozen encoder wants them: decoded, cropped to the fundus, on a canvas, normalised."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
