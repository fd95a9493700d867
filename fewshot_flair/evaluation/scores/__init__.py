"""Conformity scores: how badly a class fits a row, from class probabilities alone."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
