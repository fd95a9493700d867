from .checks import BadRowsError
from .manifest import Manifest
from .tables import SkippedRow

__all__ = [
    "BadRowsError",
    "Manifest",
    "SkippedRow",
]
