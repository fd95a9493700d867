from .export import export_model
from .predictions import predict_table
from .refit import refit, refit_all
from .selection import cross_validate
from .storage import load_adapter, save_adapter

__all__ = [
    "cross_validate",
    "export_model",
    "load_adapter",
    "predict_table",
    "refit",
    "refit_all",
    "save_adapter",
]
