from .assembled import Trained, pretrain_assembly
from .assembly import Assembly, HeldOut, Recipe, SourceSet, Start
from .captions import Captions, build_vocabulary
from .frequencies import concept_frequencies
from .image_sets import ManifestImages
from .objective import alignment_loss
from .parallel import Ranks, joined
from .photographs import Photographs, assemble
from .renderings import RenderedImages, render_images
from .training import TrainingPlan, pretrain

__all__ = [
    "Assembly",
    "Captions",
    "HeldOut",
    "ManifestImages",
    "Photographs",
    "Ranks",
    "Recipe",
    "RenderedImages",
    "SourceSet",
    "Start",
    "Trained",
    "TrainingPlan",
    "alignment_loss",
    "assemble",
    "build_vocabulary",
    "concept_frequencies",
    "joined",
    "pretrain",
    "pretrain_assembly",
    "render_images",
]
