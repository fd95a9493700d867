"""Adapters: frozen features and a few labels in, a classifier out; one file a method."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "Adapter": "base",
    "AdapterInfo": "registry",
    "EpisodeBatch": "batch",
    "EpisodeFits": "fitting",
    "Head": "heads",
    "KernelHead": "heads",
    "LinearHead": "heads",
    "cosine_head": "heads",
    "create_adapter": "registry",
    "fit_episodes": "fitting",
    "get_adapter_class": "registry",
    "list_adapters": "registry",
    "load_adapter": "storage",
    "register": "registry",
    "save_adapter": "storage",
    "use_adapters_from": "registry",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
