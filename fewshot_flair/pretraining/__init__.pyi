from .captions import Captions, build_vocabulary
from .image_sets import ManifestImages
from .objective import alignment_loss
from .renderings import RenderedImages, render_images
from .training import TrainingPlan, pretrain

__all__ = [
    "Captions",
    "ManifestImages",
    "RenderedImages",
    "TrainingPlan",
    "alignment_loss",
    "build_vocabulary",
    "pretrain",
    "render_images",
]
