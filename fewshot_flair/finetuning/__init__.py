"""Fine-tuning of an encoder's vision tower, between its start and its end, and measured where it was not trained."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
