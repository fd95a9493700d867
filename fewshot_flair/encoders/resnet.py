"""ResNet in torchvision's form (v1.5), with torchvision's tensor names and no classifier.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016; v1.5 puts the stride of a bottleneck
into its 3 × 3 convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

from fewshot_flair.encoders.config import ResNetConfig

__all__ = ["ResNet"]


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions around a shortcut."""

    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W] to [B, planes, H / stride, W / stride]."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)).add_(residual))


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 (with the stride) and 1 × 1 convolution, the last four times as wide."""

    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels, 4 * planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W] to [B, 4 * planes, H / stride, W / stride]."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)).add_(residual))


def _shortcut(channels: int, out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == out:
        return None
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """Convolutional tower: images [B, 3, H, W] to globally average-pooled features [B, feature_dim].

    Tensor names are conv1, bn1, layer1.0.conv1 … layer1.0.downsample.0/1, as torchvision publishes them.
    """

    def __init__(self, config: ResNetConfig | None = None) -> None:
        super().__init__()
        config = config or ResNetConfig()
        block = Bottleneck if config.block == "bottleneck" else BasicBlock
        channels = config.widths[0]
        self.conv1 = nn.Conv2d(
            3, channels, config.stem_kernel, config.stem_stride, config.stem_kernel // 2, bias=False
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if config.stem_pool else nn.Identity()
        self._stages: list[str] = []
        for number, (depth, planes) in enumerate(zip(config.depths, config.widths, strict=True), start=1):
            blocks = []
            for i in range(depth):
                blocks.append(block(channels, planes, stride=2 if i == 0 and number > 1 else 1))
                channels = planes * config.expansion
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            self._stages.append(f"layer{number}")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features, neither projected nor normalised."""
        return self._last_map(x).mean(dim=(2, 3))

    def with_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The pooled feature [B, feature_dim] and the map that it is the mean of, [B, h, w, feature_dim]."""
        last = self._last_map(x)
        return last.mean(dim=(2, 3)), last.permute(0, 2, 3, 1)

    def _last_map(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self._stages:
            x = self.get_submodule(stage)(x)
        return x
