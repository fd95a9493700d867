"""Features made once: the bank on disk, and the pipeline that fills it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
