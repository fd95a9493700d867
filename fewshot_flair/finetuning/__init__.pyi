from .base import METHODS, FineTuning, create_finetuning, list_finetuning
from .network import TunedNetwork
from .saving import save_tuned
from .settings import TuningSettings
from .tuning import TrainingSide, Tuned, fine_tune
from .weights import interpolate, soup

__all__ = [
    "METHODS",
    "FineTuning",
    "TrainingSide",
    "Tuned",
    "TunedNetwork",
    "TuningSettings",
    "create_finetuning",
    "fine_tune",
    "interpolate",
    "list_finetuning",
    "save_tuned",
    "soup",
]
