"""Public data sets: what is known of each, and from a folder that holds one to a checked manifest."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
