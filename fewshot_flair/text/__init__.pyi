from .knowledge import descriptions
from .prototypes import TextPrototypes

__all__ = [
    "TextPrototypes",
    "descriptions",
]
