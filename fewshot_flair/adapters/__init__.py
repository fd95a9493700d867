"""Adapters: frozen features and a few labels in, a classifier out; one file a method."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
