"""What a hub model's preprocessor_config.json asks for, as our image preparation.

Transformers' own image processors are the reference: the tests compare pixels with theirs. They are not used
themselves, for they take seconds to import, and their settings are spread over classes, files and releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.config import read_json
from fewshot_flair.encoders.published import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from fewshot_flair.errors import InputError
from fewshot_flair.images.preparation import ImagePreparation

__all__ = ["MODEL_TYPES", "PROCESSORS", "read_preparation"]

FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
WARPED_FROM = 384
"""ConvNeXt's processor stretches to sizes from this one on, and crops the middle for smaller ones."""


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def _shortest(side: int) -> dict[str, int]:
    return {"shortest_edge": side}


_HALF = {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3}
_IMAGENET = {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}
_CLIP = {"image_mean": CLIP_MEAN, "image_std": CLIP_STD}
_MIDDLE = {"do_center_crop": True, "crop_size": 224, "default_to_square": False}
_COMMON: dict[str, Any] = {
    "do_resize": True,
    # Whether a size that is a plain number is a square, or the length of the shortest edge.
    "default_to_square": True,
    "do_center_crop": False,
    "crop_size": None,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "do_pad": False,
}
# Transformers' image processors without the suffix of their names, and what they take where a file is silent.
PROCESSORS: dict[str, dict[str, Any]] = {
    "Beit": {**_HALF, "size": _square(224), "crop_size": 224, "resample": 3},
    "Bit": {**_CLIP, **_MIDDLE, "size": _shortest(224), "resample": 3},
    "CLIP": {**_CLIP, **_MIDDLE, "size": _shortest(224), "resample": 3, "use_square_size": False},
    "ConvNext": {
        **_HALF,
        "size": _shortest(384),
        "default_to_square": False,
        "resample": 3,
        "crop_pct": 224 / 256,
    },
    "DINOv3ViT": {**_IMAGENET, "size": _square(224), "resample": 2},
    "DeiT": {**_HALF, "size": _square(256), "do_center_crop": True, "crop_size": 224, "resample": 3},
    "EfficientNet": {
        **_HALF,
        "size": _square(346),
        "crop_size": 289,
        "resample": 3,
        "rescale_offset": False,
        "include_top": True,
    },
    "MobileNetV1": {**_HALF, **_MIDDLE, "size": _shortest(256), "resample": 2},
    "MobileNetV2": {**_HALF, **_MIDDLE, "size": _shortest(256), "resample": 2},
    "MobileViT": {
        **_HALF,
        **_MIDDLE,
        "size": _shortest(224),
        "crop_size": 256,
        "resample": 3,
        "do_flip_channel_order": True,
    },
    "Pvt": {**_IMAGENET, "size": _square(224), "resample": 3},
    "Siglip": {**_HALF, "size": _square(224), "default_to_square": False, "resample": 3},
    "ViT": {**_HALF, "size": _square(224), "resample": 2},
}
# Processors of models whose file, as old ones, does not name one.
MODEL_TYPES = {
    **dict.fromkeys(("beit", "data2vec-vision"), "Beit"),
    **dict.fromkeys(("bit", "dinov2", "focalnet", "hiera"), "Bit"),
    **dict.fromkeys(("clip", "metaclip_2"), "CLIP"),
    **dict.fromkeys(("convnext", "convnextv2", "cvt", "regnet", "resnet"), "ConvNext"),
    "dinov3_vit": "DINOv3ViT",
    "deit": "DeiT",
    "efficientnet": "EfficientNet",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    **dict.fromkeys(("mobilevit", "mobilevitv2"), "MobileViT"),
    **dict.fromkeys(("pvt", "pvt_v2"), "Pvt"),
    "siglip": "Siglip",
    **dict.fromkeys(("dinat", "ijepa", "swiftformer", "swin", "swinv2", "vit", "vit_mae", "vit_msn"), "ViT"),
}


def read_preparation(path: Path) -> ImagePreparation:
    """Translate a preprocessor_config.json, as transformers' own image processors understand it.

    The processor is the one that the file names, else the one of config.json's model_type beside it. Its
    defaults stand for what the file leaves out; keys that it does not read are passed over.

    Raises
    ------
    InputError
        If the processor, or what it is asked for, is not supported; names the file, the key and the value.
    """
    stated = read_json(path)
    family = _processor(stated, path)
    defaults = _COMMON | PROCESSORS[family]
    settings = {key: default if stated.get(key) is None else stated[key] for key, default in defaults.items()}
    for key, only in (("do_resize", True), ("do_pad", False), ("use_square_size", False)):
        if bool(settings.get(key, only)) != only:
            raise _refused(path, key, settings[key], f"only {str(only).lower()} is")
    resample = settings["resample"]
    if type(resample) is not int or resample not in FILTERS:
        known = ", ".join(f"{number} ({name})" for number, name in FILTERS.items())
        raise _refused(path, "resample", resample, f"{known} are")
    return ImagePreparation(
        **_geometry(settings, path),
        interpolation=FILTERS[resample],
        # DINOv3's processor alone leaves the 8 bits before it resizes.
        round_pixels=family != "DINOv3ViT",
        **_normalisation(settings, path),
        channels="bgr" if settings.get("do_flip_channel_order") else "rgb",
    )


def _processor(stated: Mapping[str, Any], path: Path) -> str:
    """Name of the image processor, without its suffix."""
    for key in ("image_processor_type", "feature_extractor_type"):
        if stated.get(key):
            name = str(stated[key])
            for suffix in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
                name = name.removesuffix(suffix)
            if name not in PROCESSORS:
                raise _refused(path, key, stated[key], f"those of {', '.join(PROCESSORS)} are")
            return name
    config = path.parent / "config.json"
    kind = read_json(config).get("model_type") if config.is_file() else None
    if kind not in MODEL_TYPES:
        raise InputError(
            f"{path} has no image_processor_type, and config.json's model_type {kind!r} has none that is known; "
            f"write it into the file: one of {', '.join(f'{name}ImageProcessor' for name in PROCESSORS)}"
        )
    return MODEL_TYPES[kind]


def _geometry(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Canvas, its side and what is resized to before a crop."""
    square, side = _edge("size", settings, path, square=bool(settings["default_to_square"]))
    if "crop_pct" in settings:
        return _convnext(square, side, settings, path)
    if not settings["do_center_crop"]:
        if not square:
            raise _refused(
                path, "size", settings["size"], "without do_center_crop, an equal height and width are"
            )
        return {"image_size": side, "canvas": "stretch"}
    if settings["crop_size"] is None:
        raise InputError(f"{path}: do_center_crop is true, and there is no crop_size; write it into the file")
    crop_square, crop = _edge("crop_size", settings, path, square=True)
    if not crop_square:
        raise _refused(path, "crop_size", settings["crop_size"], "an equal height and width are")
    if crop > side:
        raise _refused(path, "crop_size", settings["crop_size"], f"those up to the size, {side}, are")
    if square and crop == side:
        return {"image_size": side, "canvas": "stretch"}
    canvas = "stretch-crop" if square else "center-crop"
    return {"image_size": crop, "canvas": canvas, "resize": side, "crop_offset": "floor"}


def _convnext(square: bool, side: int, settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """ConvNeXt's and ResNet's way: enlarge by the share that the centre crop keeps, or else stretch."""
    if square:
        raise _refused(path, "size", settings["size"], "for this processor, a shortest_edge is")
    if settings["do_center_crop"]:
        raise _refused(path, "do_center_crop", True, "for this processor, which crops by itself, false is")
    if side >= WARPED_FROM:
        return {"image_size": side, "canvas": "stretch"}
    share = settings["crop_pct"]
    if not _is_number(share) or not 0 < share <= 1:
        raise _refused(path, "crop_pct", share, "numbers above 0, up to 1, are")
    return {
        "image_size": side,
        "canvas": "center-crop",
        "resize": int(side / share),
        "crop_offset": "floor",
    }


def _edge(key: str, settings: Mapping[str, Any], path: Path, *, square: bool) -> tuple[bool, int]:
    """Whether a size is of both sides, else of the shortest, and its length in pixels."""
    size = settings[key]
    if isinstance(size, Mapping):
        named = {edge: length for edge, length in size.items() if length is not None}
        square = named.keys() == {"height", "width"}
        lengths = list(named.values()) if square or named.keys() == {"shortest_edge"} else []
    elif isinstance(size, list | tuple):
        square, lengths = True, list(size) if len(size) == 2 else []
    else:
        lengths = [size]
    if not lengths or any(type(length) is not int or length < 1 for length in lengths):
        raise _refused(path, key, size, "a number, an equal height and width, or a shortest_edge are")
    if len(set(lengths)) > 1:
        raise _refused(path, key, size, "it is not square, and only square inputs are")
    return square, lengths[0]


def _normalisation(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Mean and deviation of [0, 1] pixels that give what the processor gives from 8-bit ones."""
    image_mean, image_std = (_triple(key, settings, path) for key in ("image_mean", "image_std"))
    factor = settings["rescale_factor"] if settings["do_rescale"] else 1.0
    if not _is_number(factor) or factor <= 0:
        raise _refused(path, "rescale_factor", factor, "numbers above 0 are")
    mean, std = np.zeros(3), np.ones(3)
    # MobileViT's processor, which alone has do_flip_channel_order, has no do_normalize.
    if settings["do_normalize"] and "do_flip_channel_order" not in settings:
        mean, std = image_mean, image_std
    if settings["do_rescale"] and settings.get("rescale_offset"):
        mean = mean + 1
    if settings.get("include_top"):
        # EfficientNet's processor divides by the deviation once more.
        std = std * image_std
    scale = 255 * factor
    return {"mean": tuple(mean / scale), "std": tuple(std / scale)}


def _triple(key: str, settings: Mapping[str, Any], path: Path) -> NDArray[np.float64]:
    stated = settings[key]
    values = (stated,) * 3 if _is_number(stated) else stated
    if not isinstance(values, list | tuple) or len(values) != 3 or not all(map(_is_number, values)):
        raise _refused(path, key, stated, "a number, or one for each of three channels, is")
    if key == "image_std" and not all(values):
        raise _refused(path, key, stated, "numbers other than 0 are")
    return np.array(values, dtype=np.float64)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refused(path: Path, key: str, value: Any, supported: str) -> InputError:
    return InputError(f"{path}: {key} {value!r} is not supported; {supported}")
