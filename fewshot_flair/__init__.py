"""Few-shot adaptation of retinal vision-language models.

Photographs are encoded once with a frozen model; adapters are then fitted on k-shot support sets of the
stored features. Names are imported when first used, so that ``import fewshot_flair`` is quick.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
