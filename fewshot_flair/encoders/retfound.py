"""RETFound: a masked auto-encoder of fundus photographs; vision only.

Zhou et al., A foundation model for generalizable disease detection from retinal images, Nature 622, 2023.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from fewshot_flair.encoders.published import IMAGENET_MEAN, IMAGENET_STD, PublishedEncoder
from fewshot_flair.images.preparation import ImagePreparation

if TYPE_CHECKING:
    from torch import nn

    from fewshot_flair.encoders.vit import ViTConfig

__all__ = ["RETFound"]


class RETFound(PublishedEncoder):
    """ViT-L/16; the feature is the normalised mean of the patches, as in the published fine-tuning.

    A pre-training checkpoint has no ``fc_norm``: it starts as the plain norm (gain 1, shift 0) there, and
    here. Its ``norm`` and its decoder are left out, as the fine-tuning leaves them out.

    Prepared as in its evaluation: shortest side 256, bicubic, the middle 224 × 224, ImageNet's mean and
    deviation.
    """

    name = "retfound"
    local_map = "exact"
    hub_id = "YukunZhou/RETFound_mae_natureCFP"
    files = ("RETFound_cfp_weights.pth", "RETFound_mae_natureCFP.pth", "model.safetensors")
    preparation = ImagePreparation(
        224,
        canvas="center-crop",
        resize=256,
        interpolation="bicubic",
        round_pixels=True,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )

    @property
    def feature_dims(self) -> dict[str, int]:
        """Width of the feature, 1024 for ViT-L."""
        return {"backbone": self._config.width}

    @cached_property
    def _config(self) -> ViTConfig:
        from fewshot_flair.encoders.vit import ViTConfig

        return ViTConfig.from_shapes(self.shape, set(self.shapes), "", "mean")

    def _build_vision(self) -> nn.Module:
        import torch

        from fewshot_flair.encoders.vit import ViT
        from fewshot_flair.encoders.weights import load_tensors, read_tensors

        tensors = read_tensors(self.weights)
        spare = [n for n in tensors if n.startswith(("decoder_", "head.", "norm.")) or n == "mask_token"]
        width = self._config.width
        plain = {"fc_norm.weight": torch.ones(width), "fc_norm.bias": torch.zeros(width)}
        return load_tensors(lambda: ViT(self._config), plain | tensors, self.weights, spare=spare)
