"""What a clinic writes down: manifests and folders, their checks, grades and splits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
