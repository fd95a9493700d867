from .choices import DataSet, DecisionChoice, EncoderChoice
from .clinic import Clinic, Rows
from .decisions import DecisionFigures
from .design import Study
from .encoding import Encoding
from .networks import Networks
from .provenance import Provenance
from .results import RunRecord, StudyResults
from .runner import load_clinics, run_study
from .scoring import evaluate_adapter
from .spec import AdapterSpec, MethodSpec

__all__ = [
    "AdapterSpec",
    "Clinic",
    "DataSet",
    "DecisionChoice",
    "DecisionFigures",
    "EncoderChoice",
    "Encoding",
    "MethodSpec",
    "Networks",
    "Provenance",
    "Rows",
    "RunRecord",
    "Study",
    "StudyResults",
    "evaluate_adapter",
    "load_clinics",
    "run_study",
]
