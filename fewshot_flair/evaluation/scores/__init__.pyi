from .aps import APS
from .base import SCORES, ConformityScore, score_of
from .lac import LAC
from .raps import RAPS

__all__ = ["APS", "LAC", "RAPS", "SCORES", "ConformityScore", "score_of"]
