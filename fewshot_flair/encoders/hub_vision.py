"""Any vision model of the hub that transformers knows, as a vision-only encoder."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fewshot_flair.encoders.base import FINGERPRINT_FORMAT, check_precision
from fewshot_flair.encoders.config import check_numbers, read_json
from fewshot_flair.encoders.hub import find_weights, hub_file, hub_weights, is_hub_id
from fewshot_flair.encoders.hub_preparation import read_preparation
from fewshot_flair.encoders.tower import TowerEncoder
from fewshot_flair.encoders.weights import file_digest, read_shapes
from fewshot_flair.errors import FewshotFlairError, InputError, MissingFileError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["HubVision"]

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SETTINGS = ("config.json", "preprocessor_config.json")
_UNPUBLISHED = 2**24
"""So many numbers may be missing, as of poolers, which are often left out of publication."""


class HubVision(TowerEncoder):
    """A model of transformers' AutoModel: ViT, DINOv2, Swin, ConvNeXt, ResNet, SigLIP's vision tower.

    The feature is the class token of the last hidden state where the model has one (BEiT's is not
    normalised), else its pooled output, else the mean over positions. Preparation is what
    preprocessor_config.json says, after the foreground crop. No code of the repository is run. A masked
    auto-encoder sees every patch, in order; a model whose features of one image differ from one pass to the
    next is refused.

    Parameters
    ----------
    folder : Path
        With config.json, preprocessor_config.json and the weights.
    name, device, precision : str
        See `Encoder`.
    """

    local_map = "patch tokens"

    def __init__(self, folder: Path, *, name: str, device: str = "cpu", precision: str | None = None) -> None:
        self.folder, self.name, self.device = folder, name, device
        self.precision = check_precision(precision)
        self.weights = find_weights(folder, WEIGHTS)
        self.preparation = read_preparation(folder / "preprocessor_config.json")
        settings = read_json(folder / "config.json")
        check_numbers(settings, folder / "config.json")
        vision = settings.get("vision_config")
        self._settings: dict[str, Any] = vision if isinstance(vision, dict) else settings

    @classmethod
    def open(cls, source: str, **options: Any) -> Self:
        """Open a hub id or a local folder."""
        name = f"hf:{source}"
        if Path(source).is_dir():
            for file in SETTINGS:
                if not (Path(source) / file).is_file():
                    raise MissingFileError(f"{name}: {source} lacks {file}; put the model's there")
            return cls(Path(source), name=name, **options)
        if Path(source).is_file():
            raise InputError(f"{name} is a file; give the folder that holds it: hf:{Path(source).parent}")
        if not is_hub_id(source):
            raise MissingFileError(f"{name}: no folder {source}, and not of the form hf:ORG/NAME")
        needed = f"{' or '.join(WEIGHTS)}, {' and '.join(SETTINGS)}"
        files = [hub_file(source, names, "--encoder hf:FOLDER", needed) for names in ((n,) for n in SETTINGS)]
        hub_weights(source, WEIGHTS, "--encoder hf:FOLDER", needed)
        return cls(files[0].parent, name=name, **options)

    @property
    def feature_dims(self) -> dict[str, int]:
        """Width of the feature, from config.json."""
        if isinstance(self._settings.get("hidden_size"), int):
            return {"backbone": int(self._settings["hidden_size"])}
        widths = self._settings.get("hidden_sizes")
        if isinstance(widths, list) and widths and isinstance(widths[-1], int):
            return {"backbone": widths[-1]}
        raise InputError(
            f"{self.name}: config.json has neither hidden_size nor hidden_sizes; is it a vision model?"
        )

    @cached_property
    def _files(self) -> dict[str, str]:
        """Digests of what the model is made from."""
        return {
            "weights": file_digest(self.weights),
            "config": file_digest(self.folder / "config.json"),
        }

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Digests of the weights and the configuration, and the settings that decide a feature."""
        return {
            "format": FINGERPRINT_FORMAT,
            "model": "hf",
            **self._files,
            "preparation": self.preparation.to_dict(),
            **self.arithmetic,
        }

    @cached_property
    def _vision(self) -> nn.Module:
        import torch
        from transformers import AutoConfig, AutoModel
        from transformers.utils import logging

        from fewshot_flair.encoders.inference import to_device

        shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()  # what is missing or left over is said below, as far as it matters
        safe: Any = {"local_files_only": True, "trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(self.folder, **safe)
            with torch.device("meta"):
                self._check_size(AutoModel.from_config(config, trust_remote_code=False))
            model, report = AutoModel.from_pretrained(self.folder, output_loading_info=True, **safe)
        except FewshotFlairError:
            raise
        except Exception as error:  # a configuration that is wrong raises whatever its model likes
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{self.name} cannot be loaded from {self.folder}: {reason:.300}") from error
        finally:
            logging.set_verbosity(verbosity)
            if shown:
                logging.enable_progress_bar()
        # Poolers are not used where there is a class token.
        missing = sorted(n for n in report["missing_keys"] if "pooler" not in n)
        if missing:
            raise InputError(
                f"{self.weights} lacks {len(missing)} tensors of the model ({', '.join(missing[:3])}, …)"
            )
        tower = to_device(getattr(model, "vision_model", model), self.device)
        tower = tower.to(getattr(torch, self.precision))
        if self._is_masked:
            tower.config.mask_ratio = 0.0
        self._check(tower)
        return tower

    @property
    def _is_masked(self) -> bool:
        """Whether the model leaves out patches at random, in evaluation too."""
        return self._settings.get("model_type") == "vit_mae"

    def _check_size(self, model: nn.Module) -> None:
        """Raise InputError where a model has far more numbers than its file: they would be made up first."""
        needed = sum(parameter.numel() for parameter in model.parameters())
        held = sum(math.prod(shape) for shape in read_shapes(self.weights).values())
        if needed > 2 * held + _UNPUBLISHED:
            raise InputError(
                f"{self.name}: config.json describes a network of {needed} numbers, and {self.weights.name} holds "
                f"{held}; give the config.json that it was published with"
            )

    def _check(self, tower: nn.Module) -> None:
        """Raise InputError where the model takes no images, draws at random, or gives another width."""
        import torch

        from fewshot_flair.encoders.inference import frozen, to_numpy

        side = self.preparation.image_size
        image = np.linspace(-1, 1, 3 * side * side, dtype=np.float32).reshape(1, 3, side, side)
        pixels = torch.from_numpy(image).to(self.device)
        try:
            with frozen(self.device):
                first, second = (to_numpy(self._pooled(tower, pixels)) for _ in range(2))
        except InputError:
            raise
        except Exception as error:  # as above
            wanted = self._settings.get("image_size")
            if wanted not in (None, side, [side, side]):
                raise InputError(
                    f"{self.name}: preprocessor_config.json makes inputs of {side} × {side} pixels, and the model "
                    f"takes those of config.json's image_size, {wanted}; give it the preprocessor_config.json that "
                    "it was published with"
                ) from error
            raise InputError(
                f"{self.name} does not encode images ({error}); is it a vision model?"
            ) from error
        if first.shape[1] != self.feature_dims["backbone"]:
            raise InputError(
                f"{self.name}: features are {first.shape[1]} wide, and config.json says "
                f"{self.feature_dims['backbone']}; models of this kind are not supported"
            )
        if not np.array_equal(first, second, equal_nan=True):
            raise InputError(
                f"{self.name} is not deterministic: two passes over one image gave features that differ by up "
                f"to {np.abs(first - second).max():.2g}; give a model that draws nothing at random in evaluation"
            )

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        """Pixels [B, 3, S, S], prepared, to the backbone feature in float32; no embedding."""
        return (self._pooled(self._vision, pixels),)

    def forward_with_map(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The feature, and the last hidden state of the patches as a map [B, h, w, width]; class tokens left out."""
        import torch

        out = self._states(self._vision, pixels.to(getattr(torch, self.precision)))
        states = out.last_hidden_state.float()
        if states.ndim == 4:
            local = states.permute(0, 2, 3, 1)
        else:
            # the patches come last, after the class token and what other tokens there are
            side = math.isqrt(states.shape[1])
            local = states[:, -side * side :].unflatten(1, (side, side))
        return (self._feature(out, self._vision),), (local,)

    def _pooled(self, tower: nn.Module, pixels: Tensor) -> Tensor:
        import torch

        return self._feature(self._states(tower, pixels.to(getattr(torch, self.precision))), tower)

    @staticmethod
    def _feature(out: Any, tower: nn.Module) -> Tensor:
        states = out.last_hidden_state
        if any(name.endswith("cls_token") for name, _ in tower.named_parameters()):
            return states[:, 0].float()
        if getattr(out, "pooler_output", None) is not None:
            return out.pooler_output.flatten(1).float()
        return (states.mean(dim=1) if states.ndim == 3 else states.mean(dim=(2, 3))).float()

    def _states(self, tower: nn.Module, pixels: Tensor) -> Any:
        import torch

        options = {}
        if self._is_masked:
            # The order that patches are shuffled to; it would be drawn, and move the features by rounding.
            patches: Any = tower.get_submodule("embeddings.patch_embeddings")
            options["noise"] = torch.arange(patches.num_patches, device=pixels.device).expand(
                pixels.shape[0], -1
            )
        return tower(pixel_values=pixels, **options)
