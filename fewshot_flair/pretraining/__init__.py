"""Pre-training of a FLAIR network from images, categories and texts; stands beside the main line."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
