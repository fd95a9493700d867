"""Vision models of the hub: features as transformers' own, pixels as their image processors'."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_layouts import small_vit
from test_encoders import pixels
from torch.nn import functional

from fewshot_flair.encoders import load_encoder
from fewshot_flair.encoders.hub_preparation import MODEL_TYPES, PROCESSORS, read_preparation
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.images.preparation import ImagePreparation, prepare


@pytest.mark.parametrize("kind", ["vit", "convnext"])
def test_any_vision_model_of_the_hub_equals_transformers_own(
    tmp_path: Path, images: list[np.ndarray], kind: str
) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if kind == "vit":
        config = transformers.ViTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
            image_size=32, patch_size=8,
        )  # fmt: skip
        model = transformers.ViTModel(config, add_pooling_layer=False)
    else:
        model = transformers.ConvNextModel(
            transformers.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1] * 4)
        )
    model.eval().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}'
    )
    encoder = load_encoder(f"hf:{tmp_path}")
    assert encoder.feature_dims == {"backbone": 32}
    ours = encoder.encode_images(images).backbone
    with torch.inference_mode():
        out = model(pixel_values=pixels(encoder, images))
    expected = out.last_hidden_state[:, 0] if kind == "vit" else out.pooler_output
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_code_in_a_hub_models_checkpoint_is_never_run(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sprung = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(sprung),)

    transformers.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1).save_pretrained(
        tmp_path
    )
    (tmp_path / "preprocessor_config.json").write_text('{"size": 224}')
    torch.save({"trap": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="could run code"):
        load_encoder(f"hf:{tmp_path}").encode_images(np.zeros((8, 8, 3), np.uint8))
    assert not sprung.exists()


def write_vit(folder: Path, **options: Any) -> dict[str, Any]:
    """A small ViT with its preprocessor's settings; returns the model's."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        image_size=56, patch_size=14,
    )  # fmt: skip
    transformers.ViTModel(config).save_pretrained(folder, **options)
    (folder / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor", "size": {"height": 56, "width": 56}}'
    )
    return json.loads((folder / "config.json").read_text())


def test_a_hub_model_in_several_files(tmp_path: Path, images: list[np.ndarray]) -> None:
    write_vit(tmp_path / "whole")
    write_vit(tmp_path / "parts", max_shard_size="50KB")
    whole, parts = (load_encoder(f"hf:{tmp_path / name}") for name in ("whole", "parts"))
    np.testing.assert_array_equal(parts.encode_images(images).backbone, whole.encode_images(images).backbone)
    shard = sorted((tmp_path / "parts").glob("model-00001-of-*.safetensors"))[0]
    with pytest.raises(InputError, match=f"give the folder that holds it: hf:{tmp_path / 'parts'}$"):
        load_encoder(f"hf:{shard}")
    shard.unlink()
    with pytest.raises(MissingFileError, match=f"{shard.name} is not beside it"):
        load_encoder(f"hf:{tmp_path / 'parts'}").encode_images(images)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000"),
        ({"num_hidden_layers": 200, "intermediate_size": 10**6}, "describes a network of"),
        ({"hidden_size": "a"}, "neither hidden_size nor|cannot be loaded"),
        ({"num_attention_heads": 0}, "cannot be loaded"),
        ({"hidden_act": "none"}, "cannot be loaded"),
        ({"dtype": "none"}, "cannot be loaded"),
        ({"patch_size": 0}, "cannot be loaded"),
    ],
)
def test_a_hub_configuration_that_is_wrong_is_refused(
    tmp_path: Path, setting: dict[str, Any], said: str
) -> None:
    config = write_vit(tmp_path) | setting
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=said):
        load_encoder(f"hf:{tmp_path}").encode_images(np.zeros((8, 8, 3), np.uint8))


def test_a_masked_auto_encoder_of_the_hub_sees_every_patch(tmp_path: Path, images: list[np.ndarray]) -> None:
    transformers = pytest.importorskip("transformers")
    masked = small_vit(tmp_path, model="ViTMAE")
    encoder = load_encoder(f"hf:{tmp_path}")
    ours = encoder.encode_images(images).backbone
    np.testing.assert_array_equal(encoder.encode_images(images).backbone, ours)
    np.testing.assert_array_equal(load_encoder(f"hf:{tmp_path}").encode_images(images).backbone, ours)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    plain = transformers.ViTModel(
        transformers.ViTConfig(**shape, image_size=32, patch_size=8), add_pooling_layer=False
    ).eval()
    plain.load_state_dict(masked.state_dict())
    with torch.inference_mode():
        expected = plain(pixel_values=pixels(encoder, images)).last_hidden_state[:, 0]
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_a_hub_model_that_draws_at_random_is_refused(
    tmp_path: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_vit(tmp_path)
    forward = type(network).forward

    def dropping(self: Any, pixel_values: torch.Tensor, **options: Any) -> Any:
        return forward(self, functional.dropout(pixel_values, 0.1), **options)

    load_encoder(f"hf:{tmp_path}").encode_images(images)
    monkeypatch.setattr(type(network), "forward", dropping)
    with pytest.raises(InputError, match=r"hf:.* is not deterministic: two passes over one image"):
        load_encoder(f"hf:{tmp_path}").encode_images(images)


def test_a_preprocessor_of_another_size_than_the_models_is_refused(
    tmp_path: Path, images: list[np.ndarray]
) -> None:
    small_vit(tmp_path, side=64)
    with pytest.raises(
        InputError, match=r"makes inputs of 64 × 64 pixels, .* config\.json's image_size, 32;"
    ):
        load_encoder(f"hf:{tmp_path}").encode_images(images)


IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SQUARE = {"height": 48, "width": 48}
# Files as they are published (sizes made small), and each setting that is supported.
PREPROCESSORS: dict[str, dict[str, Any]] = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": SQUARE},
    "vit, a number": {"feature_extractor_type": "ViTFeatureExtractor", "size": 48},
    "vit, a list": {"image_processor_type": "ViTImageProcessorFast", "size": [48, 48]},
    "vit, a shortest edge": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"shortest_edge": 56, "longest_edge": None},
        "do_center_crop": True,
        "crop_size": 48,
    },
    "vit, not rescaled": {
        "image_processor_type": "ViTImageProcessor",
        "size": SQUARE,
        "do_rescale": False,
        "image_mean": 127.0,
        "image_std": 60.0,
    },
    "vit, to [0, 2]": {
        "image_processor_type": "ViTImageProcessor",
        "size": SQUARE,
        "rescale_factor": 1 / 127.5,
        "image_mean": [1, 1, 1],
    },
    "vit, not normalised": {"image_processor_type": "ViTImageProcessor", "size": SQUARE, "do_normalize": False},
    "vit, 8 bits": {
        "image_processor_type": "ViTImageProcessor",
        "size": SQUARE,
        "do_normalize": False,
        "do_rescale": False,
    },
    "vit, nearest": {"image_processor_type": "ViTImageProcessor", "size": SQUARE, "resample": 0},
    "vit, lanczos": {"image_processor_type": "ViTImageProcessor", "size": SQUARE, "resample": 1},
    "deit": {
        **IMAGENET,
        "image_processor_type": "DeiTImageProcessor",
        "size": {"height": 56, "width": 56},
        "crop_size": SQUARE,
        "do_center_crop": True,
    },
    "deit, numbers": {
        **IMAGENET,
        "feature_extractor_type": "DeiTFeatureExtractor",
        "size": 56,
        "crop_size": 48,
        "do_center_crop": True,
    },
    "deit, an odd margin": {"image_processor_type": "DeiTImageProcessor", "size": 59, "crop_size": 48},
    "clip": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 48}, "crop_size": SQUARE},
    "clip, numbers": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 48, "crop_size": 48},
    "clip, numbers for squares": {
        "image_processor_type": "CLIPImageProcessor",
        "size": 56,
        "crop_size": 48,
        "default_to_square": True,
    },
    "dinov2": {
        **IMAGENET,
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": True,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 56},
        "crop_size": SQUARE,
    },
    "resnet-50": {
        **IMAGENET,
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "crop_pct": 0.8,
        "do_resize": True,
        "resample": 3,
        "size": 48,
    },
    "convnext": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 48}},
    "convnext, large": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 400}},
    "beit": {"image_processor_type": "BeitImageProcessor", "size": SQUARE, "do_center_crop": False},
    "beit, cropped": {
        "image_processor_type": "BeitImageProcessor",
        "size": 56,
        "do_center_crop": True,
        "crop_size": 48,
    },
    "siglip": {"image_processor_type": "SiglipImageProcessor", "size": SQUARE},
    "mobilevit": {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": 56},
        "crop_size": SQUARE,
        "do_flip_channel_order": True,
        "do_normalize": True,
    },
    "mobilevit, not flipped": {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": 56},
        "crop_size": SQUARE,
        "do_flip_channel_order": False,
    },
    "efficientnet": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": SQUARE,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.478, 0.473, 0.474],
        "include_top": True,
    },
    "efficientnet, from -1": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": SQUARE,
        "rescale_factor": 1 / 127.5,
        "rescale_offset": True,
        "include_top": False,
    },
}  # fmt: skip
DEFAULTS = {
    f"{name}'s defaults": {"image_processor_type": f"{name}ImageProcessor"}
    for name in PROCESSORS
    if name not in ("DINOv3ViT", "MobileViT")
}


@pytest.mark.parametrize("case", [*PREPROCESSORS, *DEFAULTS])
def test_a_preprocessor_gives_the_pixels_of_transformers_own(tmp_path: Path, case: str) -> None:
    transformers = pytest.importorskip("transformers")
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps((PREPROCESSORS | DEFAULTS)[case]))
    preparation = replace(read_preparation(path), crop=False)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    for shape in ((97, 140, 3), (143, 101, 3)):
        image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
        expected = np.asarray(processor(images=image, return_tensors="np")["pixel_values"][0])
        ours = prepare(image, preparation)
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_dinov3s_preprocessor_resizes_without_rounding(tmp_path: Path) -> None:
    """Its processor needs torchvision, which resizes with this function of torch."""
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"image_processor_type": "DINOv3ViTImageProcessorFast", "size": SQUARE}))
    image = np.random.default_rng(0).integers(0, 255, (97, 140, 3), np.uint8)
    scaled = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    resized = functional.interpolate(scaled, (48, 48), mode="bilinear", antialias=True)[0].numpy()
    mean, std = (np.array(IMAGENET[key])[:, None, None] for key in ("image_mean", "image_std"))
    ours = prepare(image, replace(read_preparation(path), crop=False))
    np.testing.assert_allclose(ours, (resized - mean) / std, atol=1e-5)


def test_the_model_decides_where_a_preprocessor_names_no_processor(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES
    for kind, name in MODEL_TYPES.items():
        assert theirs[kind]["torchvision"] == f"{name}ImageProcessor"
    path = tmp_path / "preprocessor_config.json"
    path.write_text('{"size": 256, "crop_size": 224, "do_center_crop": true}')
    for kind, canvas in (("deit", "stretch-crop"), ("clip", "center-crop")):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        assert read_preparation(path).canvas == canvas
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(InputError, match=r"has no image_processor_type, and .* model_type 'sam'"):
        read_preparation(path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_processor_type": "SamImageProcessor"}, "image_processor_type 'SamImageProcessor' .* ViT"),
        ({"do_resize": False}, "do_resize False is not supported; only true is"),
        ({"do_pad": True}, "do_pad True is not supported; only false is"),
        ({"resample": 4}, r"resample 4 is not supported; 0 \(nearest\)"),
        ({"resample": "bicubic"}, "resample 'bicubic'"),
        ({"size": {"height": 32, "width": 64}}, "size .*'width': 64.* not square"),
        ({"size": [32, 64]}, r"size \[32, 64\] .* not square"),
        ({"size": {"longest_edge": 518}}, "size {'longest_edge': 518}"),
        ({"size": {"shortest_edge": 518, "longest_edge": 600}}, "size .*longest_edge"),
        ({"size": {"shortest_edge": 518}}, "size {'shortest_edge': 518} .* without do_center_crop"),
        ({"size": "large"}, "size 'large'"),
        ({"do_center_crop": True}, "there is no crop_size"),
        ({"do_center_crop": True, "crop_size": {"shortest_edge": 64}}, "crop_size {'shortest_edge': 64}"),
        ({"do_center_crop": True, "crop_size": 256}, "crop_size 256 .* up to the size, 224"),
        ({"rescale_factor": "1/255"}, "rescale_factor '1/255'"),
        ({"image_mean": [0.5]}, r"image_mean \[0\.5\]"),
        ({"image_std": [0, 1, 1]}, "image_std .* other than 0"),
        ({"image_processor_type": "CLIPImageProcessor", "use_square_size": True}, "use_square_size True"),
        ({"image_processor_type": "MobileViTImageProcessor"}, "crop_size 256 .* up to the size, 224"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": SQUARE}, "size .* a shortest_edge is"),
        ({"image_processor_type": "ConvNextImageProcessor", "do_center_crop": True}, "do_center_crop True"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 32, "crop_pct": 0}, "crop_pct 0"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_preprocessor_that_asks_for_something_else_is_refused(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"image_processor_type": "ViTImageProcessor"} | settings))
    with pytest.raises(InputError, match=rf"preprocessor_config\.json.*{said}"):
        read_preparation(path)


def test_a_crop_larger_than_what_it_is_cropped_from_is_refused() -> None:
    with pytest.raises(InputError, match="resize 200 is smaller than image_size 224"):
        ImagePreparation(224, canvas="center-crop", resize=200)
