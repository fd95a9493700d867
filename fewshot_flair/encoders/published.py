"""What the comparison's encoders share: one weights file, one tower, their own image preparation."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from fewshot_flair.encoders.base import FINGERPRINT_FORMAT, check_precision
from fewshot_flair.encoders.hub import find_weights, hub_file, hub_weights
from fewshot_flair.encoders.tower import TowerEncoder
from fewshot_flair.encoders.weights import file_digest, read_shapes
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.text.knowledge import TEMPLATE

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["CLIP_MEAN", "CLIP_STD", "IMAGENET_MEAN", "IMAGENET_STD", "PublishedEncoder"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class PublishedEncoder(TowerEncoder):
    """A frozen model from one published weights file.

    A subclass says where it is published, how its tower is built, and what its preparation is.

    Parameters
    ----------
    weights : Path
    device, precision : str
        See `Encoder`.

    Attributes
    ----------
    hub_id : str
        Where the weights are published.
    files : tuple of str
        Names that the weights file may have, the preferred first.
    beside : tuple of str
        Files that belong beside it.
    """

    hub_id: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    beside: ClassVar[tuple[str, ...]] = ()
    template = TEMPLATE

    def __init__(self, weights: Path, *, device: str = "cpu", precision: str | None = None) -> None:
        self.weights, self.device = weights, device
        self.precision = check_precision(precision)

    @classmethod
    def open(cls, source: str | Path | None = None, **options: Any) -> Self:
        """Open a local folder or file, or what the hub has; `options` as the constructor takes them."""
        if source is not None:
            weights = find_weights(Path(source), cls.files)
            for name in cls.beside:
                if not (weights.parent / name).is_file():
                    raise MissingFileError(
                        f"{cls.name}: {weights.parent} lacks {name}; put that of https://huggingface.co/"
                        f"{cls.hub_id} beside the weights"
                    )
            return cls(weights, **options)
        needed = " and ".join([" or ".join(cls.files), *cls.beside])
        option = f"--encoder {cls.name}:FOLDER"
        for name in cls.beside:
            hub_file(cls.hub_id, [name], option, needed)
        return cls(hub_weights(cls.hub_id, cls.files, option, needed), **options)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the file's tensors."""
        return read_shapes(self.weights)

    def shape(self, name: str, dims: int) -> tuple[int, ...]:
        """Shape of one tensor; InputError where it has another number of axes, or the file is of another model."""
        shape = self.shapes.get(name, ())
        if len(shape) != dims or 0 in shape:
            found = (
                f"gives {name} the shape {list(shape)}" if name in self.shapes else f"has no tensor {name}"
            )
            raise InputError(f"{self.weights} {found}; is it a checkpoint of {self.name}?")
        return shape

    @cached_property
    def _files(self) -> dict[str, Any]:
        """Digests of what the towers are made from."""
        return {
            "weights": file_digest(self.weights),
            "text": {name: file_digest(self.weights.parent / name) for name in self.beside},
        }

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Digest of the weights, and every setting that decides a feature."""
        return {
            "format": FINGERPRINT_FORMAT,
            "model": self.name,
            **self._files,
            "preparation": self.preparation.to_dict(),
            **self.arithmetic,
        }

    @abstractmethod
    def _build_vision(self) -> nn.Module:
        """The vision tower with its weights: float [B, 3, S, S] to backbone [B, D], or to it and [B, E]."""

    @cached_property
    def _vision(self) -> nn.Module:
        import torch

        from fewshot_flair.encoders.inference import to_device

        tower = to_device(self._build_vision(), self.device).to(getattr(torch, self.precision))
        return tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Pixels [B, 3, S, S], prepared, to features in float32; embeddings are unit vectors."""
        import torch
        from torch.nn import functional

        out = self._vision(
            pixels.to(getattr(torch, self.precision)).contiguous(memory_format=torch.channels_last)
        )
        if isinstance(out, torch.Tensor):
            return (out.float(),)
        backbone, embedding = out
        return backbone.float(), functional.normalize(embedding.float(), dim=-1)

    def forward_with_map(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Features as `forward` gives them, and their maps [B, h, w, width], float32."""
        import torch
        from torch.nn import functional

        tower: Any = self._vision
        shaped = pixels.to(getattr(torch, self.precision)).contiguous(memory_format=torch.channels_last)
        backbone, local = tower.with_map(shaped)
        if not self.has_text:
            return (backbone.float(),), (local.float(),)
        embedding, projected = tower.projection(backbone), tower.projection(local)
        unit = functional.normalize(embedding.float(), dim=-1)
        return (backbone.float(), unit), (local.float(), projected.float())
