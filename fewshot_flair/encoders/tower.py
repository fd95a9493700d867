"""Encoders whose vision tower is a torch module: one pass for encoding, and for graphs of other engines."""

from __future__ import annotations

import copy
import tempfile
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.base import Encoder, ImageFeatures
from fewshot_flair.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewshot_flair.encoders.graphs import Run

__all__ = ["TowerEncoder"]


class TowerEncoder(Encoder):
    """An encoder whose vision tower torch runs, or another engine runs its graph.

    Attributes
    ----------
    folds : bool
        Whether batch normalisation is folded into the convolutions before it, which a tower that is trained must not
        have done.
    """

    folds: bool = True

    def trainable(self) -> Self:
        """A copy with a tower of its own, read anew: float32, in torch, nothing folded, gradients off until asked for.

        Its `forward` is differentiable; this encoder stays as it is.
        """
        own = copy.copy(self)
        for kept in ("_vision", "_network", "_graph"):
            own.__dict__.pop(kept, None)
        own.folds, own.engine, own.precision = False, "torch", "float32"
        _ = own._vision
        own.__dict__.pop("_network", None)  # of CLIP, whose text tower is not needed
        return own

    @property
    @abstractmethod
    def _vision(self) -> nn.Module:
        """The vision tower on its device, its weights read."""

    @abstractmethod
    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Pixels float32 [B, 3, S, S] on the device to the tensors of `ImageFeatures`, in their order."""

    @abstractmethod
    def forward_with_map(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """What `forward` gives, and for each of its tensors the map [B, h, w, width] before pooling, from one pass."""

    @property
    def arithmetic(self) -> dict[str, str]:
        """How the tower computes, for the fingerprint; the engine is named where it is not torch."""
        return {"precision": self.precision} | ({} if self.engine == "torch" else {"engine": self.engine})

    def encode_prepared(self, batch: NDArray[np.float32]) -> ImageFeatures:
        """Encode images that `prepare` made, float32 [B, 3, S, S], to float32 features."""
        if self.engine != "torch":
            return ImageFeatures(*self._graph(np.ascontiguousarray(batch)))
        import torch

        from fewshot_flair.encoders.inference import frozen, to_numpy

        _ = self._vision  # loaded out here: what is loaded without gradients can never have them
        with frozen(self.device):
            found = self.forward(torch.from_numpy(batch).to(self.device))
        return ImageFeatures(*(to_numpy(feature) for feature in found))

    def encode_with_map(self, batch: NDArray[np.float32]) -> ImageFeatures:
        """As `encode_prepared`, in the same single pass, with the local maps; torch alone gives them."""
        if self.engine != "torch":
            raise InputError(f"local features come from torch alone; leave --engine {self.engine} out")
        import torch

        from fewshot_flair.encoders.inference import frozen, to_numpy

        _ = self._vision
        with frozen(self.device):
            found, maps = self.forward_with_map(torch.from_numpy(batch).to(self.device))
        names = ("local", "local_embedding")
        local = {name: to_numpy(each) for name, each in zip(names, maps, strict=False)}
        return ImageFeatures(*(to_numpy(feature) for feature in found), **local)

    @cached_property
    def _graph(self) -> Run:
        from fewshot_flair.encoders.graphs import Vision, open_graph, write_graph

        extra = "openvino" if self.engine == "openvino" else "onnx"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "vision.onnx"
            network = Vision(self._vision, self.forward)
            write_graph(network, self.preparation.image_size, path, list(self.feature_dims), extra)
            return open_graph(path, self.engine)
