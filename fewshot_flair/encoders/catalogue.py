"""Encoders by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from fewshot_flair.encoders.base import Encoder, check_engine
from fewshot_flair.encoders.config import FLAIRConfig
from fewshot_flair.encoders.hub import is_hub_id
from fewshot_flair.encoders.processor import has_bfloat16
from fewshot_flair.errors import InputError

__all__ = ["EncoderInfo", "list_encoders", "load_encoder"]

MINI = Path(__file__).parent / "weights" / "mini"


@dataclass(frozen=True)
class EncoderInfo:
    """What there is to know of an encoder before it is loaded.

    Attributes
    ----------
    name : str
        What `load_encoder` takes; ``name:PATH`` loads a local folder or file instead of the hub's.
    description : str
    hub_id : str or None
        Where the weights are published; None for the one in the package.
    files : str
        The files to download for use without the hub.
    has_text : bool
    feature_dims : dict of str to int
        Empty where it depends on the model.
    image_size : int
        Side of the input in pixels; 0 where it depends on the model.
    licence : str
        Of the weights, as their publisher states it.
    local_map : str
        What its local features are (see `Encoder.local_map`).
    """

    name: str
    description: str
    hub_id: str | None
    files: str
    has_text: bool
    feature_dims: dict[str, int]
    image_size: int
    licence: str
    local_map: str = "patch tokens"

    @property
    def needs_download(self) -> bool:
        """Whether the weights are not in the package."""
        return self.hub_id is not None


def _mini() -> EncoderInfo:
    config = FLAIRConfig.read(MINI / "config.json")
    return EncoderInfo(
        "mini",
        "small FLAIR trained on rendered photographs, in the package; for learning the tool, not for patients",
        None,
        "",
        True,
        {"backbone": config.vision.feature_dim, "embedding": config.proj_dim},
        config.image_size,
        "Apache-2.0",
        "exact",
    )


PUBLISHED = (
    EncoderInfo(
        "flair",
        "FLAIR: ResNet-50 and Bio_ClinicalBERT, 37 fundus data sets with expert knowledge (MedIA 2025)",
        "jusiro2/FLAIR",
        "model.safetensors, config.json",
        True,
        {"backbone": 2048, "embedding": 512},
        512,
        "Apache-2.0 (code); see the hub",
        "exact",
    ),
    EncoderInfo(
        "clip-vit-b32",
        "CLIP ViT-B/32: natural photographs and captions (ICML 2021)",
        "openai/clip-vit-base-patch32",
        "model.safetensors or pytorch_model.bin, config.json, vocab.json, merges.txt",
        True,
        {"backbone": 768, "embedding": 512},
        224,
        "MIT (code); see the hub",
    ),
    EncoderInfo(
        "biomedclip",
        "BiomedCLIP: ViT-B/16 and PubMedBERT, figures of biomedical articles (NEJM AI 2025)",
        "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        "open_clip_pytorch_model.bin, vocab.txt",
        True,
        {"backbone": 768, "embedding": 512},
        224,
        "MIT; see the hub",
    ),
    EncoderInfo(
        "imagenet-rn50",
        "ResNet-50 trained on ImageNet-1k; vision only (CVPR 2016)",
        "timm/resnet50.tv_in1k",
        "model.safetensors, or torchvision's resnet50-0676ba61.pth",
        False,
        {"backbone": 2048},
        224,
        "BSD-3-Clause (code); see the hub",
        "exact",
    ),
    EncoderInfo(
        "retfound",
        "RETFound: ViT-L/16, masked auto-encoder of colour fundus photographs; vision only (Nature 2023)",
        "YukunZhou/RETFound_mae_natureCFP",
        "RETFound_cfp_weights.pth",
        False,
        {"backbone": 1024},
        224,
        "CC BY-NC 4.0; see the hub",
        "exact",
    ),
    EncoderInfo(
        "hf:ORG/NAME",
        "any vision model of the hub that transformers knows, or hf:FOLDER; vision only",
        "ORG/NAME",
        "model.safetensors or pytorch_model.bin, config.json, preprocessor_config.json",
        False,
        {},
        0,
        "the model's own",
    ),
)
_CLASSES = {
    "clip-vit-b32": ("fewshot_flair.encoders.clip", "CLIP"),
    "biomedclip": ("fewshot_flair.encoders.biomedclip", "BiomedCLIP"),
    "imagenet-rn50": ("fewshot_flair.encoders.imagenet", "ImageNetResNet"),
    "retfound": ("fewshot_flair.encoders.retfound", "RETFound"),
}


def list_encoders() -> list[EncoderInfo]:
    """The encoders by name, the embedded one first; loads no weights."""
    return [_mini(), *PUBLISHED]


def load_encoder(
    name_or_path: str | Path,
    *,
    text_encoder: str | Path | None = None,
    device: str = "cpu",
    precision: str | None = None,
    fast: bool = False,
    engine: str = "torch",
) -> Encoder:
    """Open an encoder; its weights are read when something is first encoded.

    Parameters
    ----------
    name_or_path : str or path
        A name of `list_encoders`; ``name:PATH`` for that model in a local folder or file; ``hf:ORG/NAME``
        for a vision model of the hub; or a folder or file with a FLAIR checkpoint.
    text_encoder : str or path, optional
        Hub id or folder of the text tower's tokenizer and configuration (FLAIR only).
    device : str
        Where torch runs it.
    precision : {"float32", "bfloat16"}, optional
        Of the vision tower; float32 by default, for agreement with published numbers.
    fast : bool
        Prepare photographs the fast way (see `ImagePreparation`), in bfloat16 where the device computes
        in it and no precision is given. The fingerprint says so: such features have their own bank.
    engine : {"torch", "onnxruntime", "openvino"}
        What runs the vision tower. The others than torch need an extra of their name (``onnx``, ``openvino``),
        compute in float32 on the processor, and differ from torch by rounding; the fingerprint says so.

    Raises
    ------
    InputError
        If the name is unknown (says which exist and which is nearest), or the engine cannot do what is asked.
    MissingFileError
        If a file is absent, truncated or out of reach; says what to get.
    """
    check_engine(engine, precision, device)
    if fast and precision is None:
        precision = "bfloat16" if engine == "torch" and has_bfloat16(device) else "float32"
    encoder = _open(str(name_or_path), text_encoder, device, precision)
    encoder.engine = engine
    if fast:
        encoder.preparation = replace(encoder.preparation, fast=True)
    return encoder


def _open(asked: str, text_encoder: str | Path | None, device: str, precision: str | None) -> Encoder:
    name, _, path = asked.partition(":")
    common: dict[str, Any] = {"device": device, "precision": precision}
    if asked == "mini":
        return _flair(MINI, text_encoder, name="mini", **common)
    if name == "flair":
        return _flair(path or "jusiro2/FLAIR", text_encoder, name="flair", **common)
    if name == "hf" and path:
        from fewshot_flair.encoders.hub_vision import HubVision

        _no_text_option(asked, text_encoder)
        return HubVision.open(path, **common)
    if name in _CLASSES:
        _no_text_option(asked, text_encoder)
        module, kind = _CLASSES[name]
        return getattr(import_module(module), kind).open(path or None, **common)
    if Path(asked).exists() or is_hub_id(asked):
        return _flair(asked, text_encoder, name="flair", **common)
    raise InputError(_unknown(asked))


def _flair(source: str | Path, text_encoder: str | Path | None, **options: Any) -> Encoder:
    from fewshot_flair.encoders.flair import FLAIRModel

    return FLAIRModel.open(source, text_encoder, **options)


def _no_text_option(asked: str, text_encoder: str | Path | None) -> None:
    if text_encoder is not None:
        raise InputError(f"encoder {asked!r} takes no text encoder; --text-encoder goes with flair only")


def _unknown(asked: str) -> str:
    names = ["mini", *(info.name for info in PUBLISHED)]
    near = difflib.get_close_matches(asked.partition(":")[0].lower(), names, n=1, cutoff=0.5)
    nearest = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"encoder {asked!r} is neither a name ({', '.join(names)}, NAME:PATH for a local copy) nor a folder "
        f"or file that exists{nearest}"
    )
