from .decision import Decision, OperatingPoint, Referral, Shift, calibrated, decide, estimated_prevalence
from .export import export_model
from .mistakes import Mistake, Mistakes, worst_mistakes
from .predictions import predict_table
from .refit import refit, refit_all
from .selection import CrossValidation, cross_validate
from .storage import load_adapter, save_adapter

__all__ = [
    "CrossValidation",
    "Decision",
    "Mistake",
    "Mistakes",
    "OperatingPoint",
    "Referral",
    "Shift",
    "calibrated",
    "cross_validate",
    "decide",
    "estimated_prevalence",
    "export_model",
    "load_adapter",
    "predict_table",
    "refit",
    "refit_all",
    "save_adapter",
    "worst_mistakes",
]
