"""What a FLAIR checkpoint is made of, as its config.json says; nothing here imports torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.text.knowledge import TEMPLATE

__all__ = ["LOGIT_SCALE_RANGE", "BertConfig", "FLAIRConfig", "ResNetConfig", "check_numbers", "read_json"]

CLINICAL_BERT = "emilyalsentzer/Bio_ClinicalBERT"
LOGIT_SCALE_RANGE = (0.0, 4.6052)
"""What FLAIR clamps the logarithm of its inverse temperature to: 1 to 100."""


MAX_JSON_BYTES = 2**25
"""Vocabularies in JSON take a few million bytes."""
MAX_NUMBER, MAX_LAYERS, MAX_STAGES, MAX_STAGE = 10**6, 200, 16, 10**4
"""The largest number in a configuration, of layers or blocks, and of a ResNet's stages and their planes."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or raise MissingFileError / InputError naming the file."""
    if not path.is_file():
        raise MissingFileError(f"no file {path}; it belongs beside the model's weights")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise InputError(
            f"{path} has more than {MAX_JSON_BYTES} bytes, and is no settings file; fetch it again"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON that can be read ({error}); fetch the file again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def check_numbers(settings: dict[str, Any], place: Path) -> None:
    """Raise InputError where a configuration asks, however deep, for a number that no network has."""
    left: list[tuple[str, Any]] = list(settings.items())
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += [(name, each) for each in value]
        elif isinstance(value, int | float):
            largest = MAX_LAYERS if "layers" in name else MAX_NUMBER
            if not abs(value) <= largest:
                raise InputError(f"{place}: {name} is {value}, and at most {largest}; fetch the file again")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return content


def _check_types(config: Any, name: str) -> None:
    """Raise InputError where a setting is not of its default's type, or a number no network has."""
    for setting in fields(config):
        value, default = getattr(config, setting.name), setting.default
        if isinstance(default, bool | str):
            fits = type(value) is type(default)
        elif isinstance(default, int):
            fits = type(value) is int and (default == 0 or value >= 1) and 0 <= value <= MAX_NUMBER
        elif isinstance(default, float):
            fits = type(value) in (int, float) and 0 <= value <= MAX_NUMBER
        elif isinstance(default, tuple):
            fits = 0 < len(value) <= MAX_STAGES and all(type(v) is int and 1 <= v <= MAX_STAGE for v in value)
        else:
            fits = isinstance(value, ResNetConfig)
        if not fits:
            raise InputError(
                f"{name}: {setting.name} is {value!r:.80}, which no such network has; fetch it again"
            )


@dataclass(frozen=True)
class ResNetConfig:
    """Shape of a ResNet in torchvision's form; the defaults are ResNet-50.

    Parameters
    ----------
    block : {"bottleneck", "basic"}
        Residual block: three convolutions and an expansion of 4, or two 3 × 3 convolutions.
    depths, widths : sequences of int
        Blocks of each stage, and their planes before expansion. Every stage but the first halves the map.
    stem_kernel, stem_stride : int
        The first convolution.
    stem_pool : bool
        Whether a 3 × 3 max-pool of stride 2 follows it.
    """

    block: str = "bottleneck"
    depths: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem_kernel: int = 7
    stem_stride: int = 2
    stem_pool: bool = True

    def __post_init__(self) -> None:
        for name in ("depths", "widths"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple):
                raise InputError(f"ResNet: {name} are {value!r:.80}; give one number for each stage")
            object.__setattr__(self, name, tuple(value))
        if self.block not in ("bottleneck", "basic"):
            raise InputError(f"ResNet: block {self.block!r} is unknown; it is 'bottleneck' or 'basic'")
        if not self.depths or len(self.depths) != len(self.widths):
            raise InputError(
                f"ResNet: {len(self.depths)} depths and {len(self.widths)} widths; each stage needs one of each"
            )
        _check_types(self, "ResNet")
        if sum(self.depths) > MAX_LAYERS:
            raise InputError(f"ResNet: depths ask for {sum(self.depths)} blocks, more than {MAX_LAYERS}")

    @property
    def expansion(self) -> int:
        """Output channels of a block as a multiple of its planes."""
        return 4 if self.block == "bottleneck" else 1

    @property
    def feature_dim(self) -> int:
        """Width of the pooled feature (2048 for ResNet-50)."""
        return self.widths[-1] * self.expansion


@dataclass(frozen=True)
class BertConfig:
    """The keys of a BERT config.json that shape the network (names as published)."""

    vocab_size: int = 28996
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        _check_types(self, "text tower")
        if self.num_hidden_layers > MAX_LAYERS:
            raise InputError(
                f"text tower: num_hidden_layers {self.num_hidden_layers} is more than {MAX_LAYERS}"
            )
        if self.hidden_act != "gelu":
            raise InputError(f"text tower: hidden_act {self.hidden_act!r} is not supported; BERT has 'gelu'")
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"text tower: hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read from a BERT config.json; keys that don't shape the network are passed over."""
        content = read_json(path)
        return cls(**{f.name: content[f.name] for f in fields(cls) if f.name in content})

    def to_dict(self) -> dict[str, Any]:
        """The config.json of a text encoder, as transformers reads it too."""
        return {"model_type": "bert", "architectures": ["BertModel"], **asdict(self)}


@dataclass(frozen=True)
class FLAIRConfig:
    """The config.json of a FLAIR checkpoint; the defaults are the published model.

    Parameters
    ----------
    vision_type : str
        "resnet_v1" or "resnet_v2": both are ResNet-50, from two ImageNet trainings.
    bert_type : str
        Hub id of the text encoder whose vocabulary and shape the checkpoint goes with. A folder
        ``text_encoder/`` beside the weights goes before it.
    proj_dim : int
        Width of the embedding.
    proj_bias : bool
        Whether the projections have a bias (published: no).
    image_size : int
        Side of the square canvas, in pixels.
    caption : str
        Prompt template; "[CLS]" stands for the category.
    vision : ResNetConfig
        Ours, optional in the file: a vision tower other than ResNet-50.
    """

    vision_type: str = "resnet_v1"
    bert_type: str = CLINICAL_BERT
    proj_dim: int = 512
    proj_bias: bool = False
    image_size: int = 512
    caption: str = TEMPLATE
    projection: bool = True
    norm_features: bool = True
    vision: ResNetConfig = field(default_factory=ResNetConfig)

    def __post_init__(self) -> None:
        _check_types(self, "FLAIR config")
        if self.vision_type not in ("resnet_v1", "resnet_v2"):
            raise InputError(
                f"FLAIR config: vision_type {self.vision_type!r} is not supported; "
                "the published model has 'resnet_v1'"
            )
        if not (self.projection and self.norm_features):
            raise InputError(
                "FLAIR config: projection and norm_features must both be true, as in the published model"
            )
        if "[CLS]" not in self.caption:
            raise InputError(
                f"FLAIR config: caption {self.caption!r} has no '[CLS]' for the category's place"
            )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Build from a config.json's content; keys of the release's training are passed over."""
        known = {f.name: content[f.name] for f in fields(cls) if f.name in content}
        if isinstance(known.get("vision"), dict):
            try:
                known["vision"] = ResNetConfig(**known["vision"])
            except TypeError as error:
                raise InputError(f"FLAIR config: 'vision' cannot be read ({error})") from error
        return cls(**known)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read from a config.json."""
        return cls.from_dict(read_json(path))

    def to_dict(self) -> dict[str, Any]:
        """The config.json; `vision` only where it isn't the published ResNet-50."""
        content = asdict(self)
        if self.vision == ResNetConfig():
            del content["vision"]
        return content
