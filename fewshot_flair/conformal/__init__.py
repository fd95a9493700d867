"""Sets of classes around an adapter that hold the true one as often as was asked for, one file a method."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
