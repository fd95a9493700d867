from .base import Adapter
from .batch import EpisodeBatch
from .fitting import EpisodeFits, fit_episodes
from .heads import Head, KernelHead, LinearHead, cosine_head
from .registry import (
    AdapterInfo,
    create_adapter,
    get_adapter_class,
    list_adapters,
    register,
    use_adapters_from,
)

__all__ = [
    "Adapter",
    "AdapterInfo",
    "EpisodeBatch",
    "EpisodeFits",
    "Head",
    "KernelHead",
    "LinearHead",
    "cosine_head",
    "create_adapter",
    "fit_episodes",
    "get_adapter_class",
    "list_adapters",
    "register",
    "use_adapters_from",
]
