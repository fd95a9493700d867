from .prepare import prepare_set
from .register import KnownSet, get_set, list_sets

__all__ = [
    "KnownSet",
    "get_set",
    "list_sets",
    "prepare_set",
]
