from .prepare import Prepared, prepare_set
from .register import KnownSet, get_set, list_sets

__all__ = [
    "KnownSet",
    "Prepared",
    "get_set",
    "list_sets",
    "prepare_set",
]
