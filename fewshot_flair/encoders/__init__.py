"""Frozen models behind one contract: images to features, texts to embeddings, and a fingerprint."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
