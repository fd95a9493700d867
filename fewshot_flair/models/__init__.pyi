from .predictions import predict_table
from .storage import load_adapter, save_adapter

__all__ = [
    "load_adapter",
    "predict_table",
    "save_adapter",
]
