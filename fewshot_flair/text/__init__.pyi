from .knowledge import descriptions
from .prompts import read_prompts
from .prototypes import TextPrototypes

__all__ = [
    "TextPrototypes",
    "descriptions",
    "read_prompts",
]
