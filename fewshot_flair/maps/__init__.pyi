from .cells import class_scores, local_class_scores, text_scores
from .grid import on_photograph
from .occlusion import occlusion_scores

__all__ = ["class_scores", "local_class_scores", "occlusion_scores", "on_photograph", "text_scores"]
