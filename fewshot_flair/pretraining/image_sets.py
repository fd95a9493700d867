"""What pre-training reads: images with the categories that are true of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fewshot_flair.rendering import GRADES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fewshot_flair.data.manifest import Manifest
    from fewshot_flair.images.preparation import ImagePreparation

__all__ = ["CATEGORIES", "ImageSet", "ManifestImages", "Sample"]

CATEGORIES = (
    *GRADES,
    "no proliferative diabetic retinopathy", "diabetic macular edema", "no referable diabetic macular edema",
    "non clinically significant diabetic macular edema", "microaneurysms", "red small dots", "haemorrhages",
    "hard exudates", "exudates", "cotton wool spots", "soft exudates", "intraretinal microvascular abnormalities",
    "drusens", "age-related macular degeneration", "glaucoma", "normal", "a disease", "media haze", "tessellation",
    "pathologic myopia", "optic disc pallor", "branch retinal vein occlusion", "asteroid hyalosis", "macular hole",
    "central serous retinopathy", "epiretinal membrane", "retinitis pigmentosa", "laser scar",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One image [S, S, 3] (uint8 RGB), its categories [K] (bool), and lesion maps and counts if known."""

    image: np.ndarray
    relation: np.ndarray
    maps: np.ndarray | None = None
    counts: np.ndarray | None = None


class ImageSet(Protocol):
    """Anything with categories, a relation of images to them, and samples by index."""

    @property
    def categories(self) -> Sequence[str]:
        """Names of the categories."""

    @property
    def relation(self) -> np.ndarray:
        """Which categories are true of each image, bool [n, K]."""

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Sample:
        """The `index`-th image."""


class ManifestImages:
    """The images of a manifest, each with its label as the one category.

    Parameters
    ----------
    manifest : Manifest
        Whose rows are read.
    preparation : ImagePreparation
        How an image gets onto its canvas.
    """

    def __init__(self, manifest: Manifest, preparation: ImagePreparation):
        self._paths = manifest.paths
        self._preparation = preparation
        self.categories = list(manifest.classes)
        self.relation = np.eye(len(self.categories), dtype=bool)[manifest.y]

    def __len__(self) -> int:
        return len(self._paths)

    def sample(self, index: int) -> Sample:
        """The `index`-th image, prepared."""
        from fewshot_flair.images.preparation import prepare

        pixels = prepare(self._paths[index], self._preparation)
        image = np.round(255.0 * pixels.transpose(1, 2, 0)).astype(np.uint8)
        return Sample(image, self.relation[index])
