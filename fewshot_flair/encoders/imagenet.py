"""ResNet-50 trained on ImageNet: what a fundus model is compared with first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_flair.encoders.config import ResNetConfig
from fewshot_flair.encoders.published import IMAGENET_MEAN, IMAGENET_STD, PublishedEncoder
from fewshot_flair.errors import InputError
from fewshot_flair.images.preparation import ImagePreparation

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ImageNetResNet", "with_counters"]

SECOND_TRAINING = "resnet50-11ad3fa6.pth"
"""ResNet50_Weights.IMAGENET1K_V2, as torchvision names the file."""


class ImageNetResNet(PublishedEncoder):
    """ResNet-50 in torchvision's layout, as torchvision and timm publish it; the classifier is left out.

    He et al., Deep Residual Learning for Image Recognition, CVPR 2016. Prepared as in its evaluation:
    shortest side 256 (232 for torchvision's second training, resnet50-11ad3fa6.pth), bilinear, the middle
    224 × 224, ImageNet's mean and deviation.
    """

    name = "imagenet-rn50"
    local_map = "exact"
    hub_id = "timm/resnet50.tv_in1k"
    files = ("model.safetensors", "resnet50-0676ba61.pth", SECOND_TRAINING, "pytorch_model.bin")
    preparation = ImagePreparation(
        224,
        canvas="center-crop",
        resize=256,
        round_pixels=True,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )

    def __init__(self, weights: Path, *, device: str = "cpu", precision: str | None = None) -> None:
        super().__init__(weights, device=device, precision=precision)
        if weights.name == SECOND_TRAINING:
            self.preparation = replace(self.preparation, resize=232)

    @property
    def feature_dims(self) -> dict[str, int]:
        """Width of the pooled feature, 2048 for ResNet-50."""
        return {"backbone": self._config.feature_dim}

    @property
    def _config(self) -> ResNetConfig:
        """The network's shape, read from the tensors', so that other bottleneck ResNets load too."""
        if self.shape("layer1.0.conv1.weight", 4)[2:] != (1, 1):
            raise InputError(f"{self.weights} has no bottleneck blocks; give a ResNet-50, -101 or -152")
        depths: list[int] = []
        while f"layer{len(depths) + 1}.0.conv1.weight" in self.shapes:
            stage = f"layer{len(depths) + 1}."
            depths.append(len({name.split(".")[1] for name in self.shapes if name.startswith(stage)}))
        widths = [self.shape(f"layer{i + 1}.0.conv1.weight", 4)[0] for i in range(len(depths))]
        return ResNetConfig("bottleneck", tuple(depths), tuple(widths))

    def _build_vision(self) -> nn.Module:
        from fewshot_flair.encoders.folding import fold_batch_norm
        from fewshot_flair.encoders.resnet import ResNet
        from fewshot_flair.encoders.weights import load_tensors, read_tensors

        tensors = read_tensors(self.weights)
        network = load_tensors(
            lambda: ResNet(self._config), with_counters(tensors), self.weights, spare=("fc.weight", "fc.bias")
        )
        return fold_batch_norm(network.eval()) if self.folds else network


def with_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a ResNet with the counters of batch normalisation that files from before PyTorch 0.4 lack."""
    import torch

    counters = {
        f"{name.removesuffix('running_var')}num_batches_tracked": torch.zeros((), dtype=torch.int64)
        for name in tensors
        if name.endswith("running_var")
    }
    return counters | dict(tensors)
