from .adapters import Adapter, create_adapter, fit_episodes, list_adapters, register
from .bank import FeatureBank, import_features
from .conformal import create_conformal, list_conformal
from .data import Manifest
from .encoders import FLAIRModel, load_encoder
from .episodes import EpisodeSampler
from .errors import FewshotFlairError
from .experiment import Study, run_study
from .images import ImagePreparation, Quality, assess_quality, prepare, read_image
from .models import load_adapter, save_adapter
from .text import TextPrototypes

__version__: str
__all__ = [
    "Adapter",
    "EpisodeSampler",
    "FLAIRModel",
    "FeatureBank",
    "FewshotFlairError",
    "ImagePreparation",
    "Manifest",
    "Quality",
    "Study",
    "TextPrototypes",
    "assess_quality",
    "create_adapter",
    "create_conformal",
    "fit_episodes",
    "import_features",
    "list_adapters",
    "list_conformal",
    "load_adapter",
    "load_encoder",
    "prepare",
    "read_image",
    "register",
    "run_study",
    "save_adapter",
]
