"""Fitted adapters for use: kept in folders, loaded again, and asked about new photographs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
