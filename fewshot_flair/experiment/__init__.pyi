from .adaptation import run_adaptation
from .clinic import EncodedClinic
from .design import DataSet, EncoderChoice, Study
from .encoding import prepare_clinic, read_manifests
from .folder import write_run
from .results import StudyResults
from .runner import run_study
from .scoring import AdapterSpec, evaluate_adapter

__all__ = [
    "AdapterSpec",
    "DataSet",
    "EncodedClinic",
    "EncoderChoice",
    "Study",
    "StudyResults",
    "evaluate_adapter",
    "prepare_clinic",
    "read_manifests",
    "run_adaptation",
    "run_study",
    "write_run",
]
