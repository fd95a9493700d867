"""The comparison's encoders: published layouts load whole, and agree with an independent computation."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from published_layouts import (
    VOCABULARY,
    random_state,
    resnet50_shapes,
    small_vit,
    write_biomedclip,
    write_clip,
    write_retfound,
)
from safetensors.torch import load_file, save_file
from torch.nn import functional

from fewshot_flair.encoders import list_encoders, load_encoder
from fewshot_flair.errors import InputError, MissingFileError

State = dict[str, torch.Tensor]


def pixels(encoder, images: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack([encoder.prepare(image) for image in images]))


def plain_vit(x: torch.Tensor, state: State, prefix: str, depth: int) -> torch.Tensor:
    """timm's ViT before its last norm, one formula after another."""
    state = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}

    def dense(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        unit = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        return unit * state[f"{name}.weight"] + state[f"{name}.bias"]

    weight = state["patch_embed.proj.weight"]
    patches = functional.unfold(x, 16, stride=16).transpose(1, 2) @ weight.flatten(1).T
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), patches + state["patch_embed.proj.bias"]], 1)
    x = x + state["pos_embed"]
    for i in range(depth):
        block = f"blocks.{i}."
        qkv = dense(normed(x, f"{block}norm1"), f"{block}attn.qkv")
        heads = []
        width = x.shape[-1]
        for start in range(0, width, 64):
            q, k, v = (qkv[..., part * width + start : part * width + start + 64] for part in range(3))
            heads.append((q @ k.transpose(1, 2) / 8).softmax(-1) @ v)
        x = x + dense(torch.cat(heads, -1), f"{block}attn.proj")
        inner = dense(normed(x, f"{block}norm2"), f"{block}mlp.fc1")
        gelu = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
        x = x + dense(gelu, f"{block}mlp.fc2")
    return x


def test_retfound_equals_the_formulas_and_runs_no_code(tmp_path: Path, images: list[np.ndarray]) -> None:
    state = write_retfound(tmp_path / "RETFound_cfp_weights.pth")
    encoder = load_encoder(f"retfound:{tmp_path}")
    assert encoder.feature_dims == {"backbone": 128}
    assert not encoder.has_text
    features = encoder.encode_images(images)
    assert features.embedding is None
    tokens = plain_vit(pixels(encoder, images), state, "", 2)
    expected = functional.layer_norm(tokens[:, 1:].mean(1), (128,), eps=1e-6)
    np.testing.assert_allclose(features.backbone, expected, atol=2e-4, rtol=1e-4)


def test_a_fine_tuned_retfound_brings_its_own_norm(tmp_path: Path, images: list[np.ndarray]) -> None:
    state = write_retfound(tmp_path / "tuned.pth", fine_tuned=True)
    encoder = load_encoder(f"retfound:{tmp_path / 'tuned.pth'}")
    tokens = plain_vit(pixels(encoder, images), state, "", 2)
    expected = functional.layer_norm(
        tokens[:, 1:].mean(1), (128,), state["fc_norm.weight"], state["fc_norm.bias"], 1e-6
    )
    np.testing.assert_allclose(encoder.encode_images(images).backbone, expected, atol=2e-4, rtol=1e-4)


def test_a_checkpoint_that_pickles_more_than_a_namespace_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"model": {}, "args": Trap()}, tmp_path / "RETFound_cfp_weights.pth")
    with pytest.raises(InputError, match="could run code"):
        load_encoder(f"retfound:{tmp_path}").encode_images(np.zeros((8, 8, 3), np.uint8))
    assert not (tmp_path / "sprung").exists()


def test_biomedclip_equals_the_formulas_and_transformers_bert(
    tmp_path: Path, images: list[np.ndarray]
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "biomedclip"
    state = write_biomedclip(folder)
    encoder = load_encoder(f"biomedclip:{folder}")
    assert encoder.feature_dims == {"backbone": 128, "embedding": 48}
    assert encoder.logit_scale == pytest.approx(4.4)
    features = encoder.encode_images(images)
    tokens = plain_vit(pixels(encoder, images), state, "visual.trunk.", 2)
    trunk = functional.layer_norm(
        tokens, (128,), state["visual.trunk.norm.weight"], state["visual.trunk.norm.bias"], 1e-6
    )[:, 0]
    np.testing.assert_allclose(features.backbone, trunk, atol=2e-4, rtol=1e-4)
    expected = functional.normalize(trunk @ state["visual.head.proj.weight"].T, dim=-1)
    np.testing.assert_allclose(features.embedding, expected, atol=1e-5)

    texts = ["A fundus photograph of Drusens", "macular edema"]
    prefix = "text.transformer."
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY.read_text().splitlines()),
        hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256,
        max_position_embeddings=64,
    )  # fmt: skip
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    own = {
        n.removeprefix(prefix): t
        for n, t in state.items()
        if n.startswith(prefix) and "position_ids" not in n
    }
    bert.load_state_dict(own)
    tokenizer = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True)
    tokens = tokenizer(texts, padding="max_length", max_length=64, return_tensors="pt")
    with torch.inference_mode():
        first = bert(tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state[:, 0]
    hidden = functional.gelu(first @ state["text.proj.0.weight"].T)
    expected = functional.normalize(hidden @ state["text.proj.2.weight"].T, dim=-1)
    np.testing.assert_allclose(encoder.encode_texts(texts), expected, atol=1e-5)


def test_every_tensor_of_biomedclip_has_its_place(tmp_path: Path) -> None:
    state = write_biomedclip(tmp_path / "a")
    path = tmp_path / "a" / "open_clip_pytorch_model.bin"
    image = np.zeros((8, 8, 3), np.uint8)
    torch.save(state | {"visual.trunk.blocks.0.ls1.gamma": torch.ones(128)}, path)
    with pytest.raises(InputError, match=r"blocks\.0\.ls1\.gamma\) that the network does not"):
        load_encoder(f"biomedclip:{tmp_path / 'a'}").encode_images(image)
    torch.save({n: t for n, t in state.items() if n != "visual.trunk.norm.bias"}, path)
    with pytest.raises(InputError, match=r"lacks 1 tensor \(vision\.trunk\.norm\.bias\)"):
        load_encoder(f"biomedclip:{tmp_path / 'a'}").encode_images(image)


def test_clip_equals_transformers_own(tmp_path: Path, images: list[np.ndarray]) -> None:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "clip"
    write_clip(folder)
    encoder = load_encoder(f"clip-vit-b32:{folder}")
    assert encoder.feature_dims == {"backbone": 64, "embedding": 24}
    assert encoder.logit_scale == pytest.approx(4.6)
    theirs = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    texts = ["eye", "A MAP of Eye eye"]
    features = encoder.encode_images(images)
    with torch.inference_mode():
        out = theirs(
            **tokenizer(texts, padding=True, return_tensors="pt"), pixel_values=pixels(encoder, images)
        )
        pooled = theirs.vision_model(pixel_values=pixels(encoder, images)).pooler_output
    np.testing.assert_allclose(features.backbone, pooled, atol=1e-4)
    np.testing.assert_allclose(features.embedding, out.image_embeds, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(texts), out.text_embeds, atol=1e-5)
    scale = np.exp(encoder.logit_scale)
    np.testing.assert_allclose(
        scale * features.embedding @ encoder.encode_texts(texts).T, out.logits_per_image, atol=1e-3
    )
    alone = encoder.encode_texts(texts[:1])
    np.testing.assert_allclose(alone, encoder.encode_texts(texts)[:1], atol=1e-6)
    state = load_file(folder / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"no tensor visual_projection\.weight"):
        _ = load_encoder(f"clip-vit-b32:{folder}").feature_dims


def test_an_imagenet_resnet_equals_plain_operations(tmp_path: Path) -> None:
    state = random_state(resnet50_shapes())
    save_file(state, tmp_path / "model.safetensors")
    torch.save({n: t for n, t in state.items() if "tracked" not in n}, tmp_path / "resnet50-0676ba61.pth")
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))

    def conv_norm(x: torch.Tensor, conv: str, bn: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{conv}.weight"]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        statistics = state[f"{bn}.running_mean"], state[f"{bn}.running_var"]
        return functional.batch_norm(x, *statistics, state[f"{bn}.weight"], state[f"{bn}.bias"])

    y = functional.max_pool2d(conv_norm(x, "conv1", "bn1", 2).relu(), 3, 2, 1)
    for stage, depth in enumerate([3, 4, 6, 3], start=1):
        for i in range(depth):
            block, stride = f"layer{stage}.{i}.", 2 if stage > 1 and i == 0 else 1
            z = conv_norm(y, f"{block}conv1", f"{block}bn1").relu()
            z = conv_norm(z, f"{block}conv2", f"{block}bn2", stride).relu()
            z = conv_norm(z, f"{block}conv3", f"{block}bn3")
            y = (conv_norm(y, f"{block}downsample.0", f"{block}downsample.1", stride) if i == 0 else y) + z
            y = y.relu()
    expected = y.mean((2, 3)).numpy()
    for source in ("model.safetensors", "resnet50-0676ba61.pth"):
        encoder = load_encoder(f"imagenet-rn50:{tmp_path / source}")
        assert encoder.feature_dims == {"backbone": 2048}
        ours = encoder.encode_prepared(x.numpy()).backbone
        np.testing.assert_allclose(
            ours / np.abs(expected).max(), expected / np.abs(expected).max(), atol=1e-5
        )


def test_torchvisions_second_imagenet_resnet_is_prepared_as_in_its_own_evaluation(tmp_path: Path) -> None:
    state = random_state({"layer1.0.conv1.weight": (64, 64, 1, 1)})
    prepared = {}
    for name in ("resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"):
        torch.save(state, tmp_path / name)
        encoder = load_encoder(f"imagenet-rn50:{tmp_path / name}")
        prepared[name] = encoder.preparation
        assert encoder.fingerprint["preparation"]["resize"] == encoder.preparation.resize
    assert [preparation.resize for preparation in prepared.values()] == [256, 232]
    assert replace(prepared["resnet50-11ad3fa6.pth"], resize=256) == prepared["resnet50-0676ba61.pth"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["clip-vit-b32", "biomedclip"])
def test_a_half_precision_checkpoint_gives_what_its_numbers_say(
    tmp_path: Path, images: list[np.ndarray], name: str, dtype: torch.dtype
) -> None:
    if name == "clip-vit-b32":
        pytest.importorskip("transformers")
    write, file = {
        "clip-vit-b32": (write_clip, "model.safetensors"),
        "biomedclip": (write_biomedclip, "open_clip_model.safetensors"),
    }[name]
    encoders = []
    for folder, kind in ((tmp_path / "half", dtype), (tmp_path / "full", torch.float32)):
        state = write(folder)
        (folder / "open_clip_pytorch_model.bin").unlink(missing_ok=True)
        rounded = {n: t.to(dtype).to(kind) if t.is_floating_point() else t for n, t in state.items()}
        save_file(rounded, folder / file)
        encoders.append(load_encoder(f"{name}:{folder}"))
    half, full = encoders
    assert half.logit_scale == full.logit_scale
    assert half.feature_dims == full.feature_dims
    ours, theirs = half.encode_images(images), full.encode_images(images)
    np.testing.assert_array_equal(ours.backbone, theirs.backbone)
    np.testing.assert_array_equal(ours.embedding, theirs.embedding)
    np.testing.assert_array_equal(half.encode_texts(["eye"]), full.encode_texts(["eye"]))


def float32_settings() -> list[str]:
    backends: Any = torch.backends
    places = (
        *(backends, backends.cudnn, backends.cudnn.conv, backends.cuda.matmul),
        *(backends.mkldnn, backends.mkldnn.conv, backends.mkldnn.matmul),
    )
    return [place.fp32_precision for place in places]


@pytest.mark.parametrize("matmul", ["highest", "high", "medium"])
def test_float32_is_not_tf32_while_a_tower_runs(matmul: str) -> None:
    from fewshot_flair.encoders.inference import frozen

    backends: Any = torch.backends
    assert backends.cudnn.conv.fp32_precision == "tf32", "torch's default, which this guards against"
    # torch's own tracing of a graph, in a test before, makes that default a setting of its own
    backends.cudnn.fp32_precision = "ieee"
    follows = backends.cudnn.conv.fp32_precision == "ieee"
    backends.cudnn.fp32_precision = "none"
    try:
        torch.set_float32_matmul_precision(matmul)
        before = float32_settings()
        with suppress(KeyError), frozen("cuda"):
            assert set(float32_settings()) == {"ieee"}
            raise KeyError
        assert float32_settings() == before
        assert torch.get_float32_matmul_precision() == matmul
        # What followed a more general setting before still does.
        backends.cudnn.fp32_precision = "ieee"
        assert (backends.cudnn.conv.fp32_precision == "ieee") == follows
    finally:
        backends.cudnn.fp32_precision = "none"
        torch.set_float32_matmul_precision("highest")
        backends.cuda.matmul.fp32_precision = backends.mkldnn.matmul.fp32_precision = "none"


@pytest.mark.parametrize(("major", "expected"), [(7, False), (8, True), (9, True)])
def test_bfloat16_of_an_nvidia_card_is_by_its_compute_capability(
    monkeypatch: pytest.MonkeyPatch, major: int, expected: bool
) -> None:
    from fewshot_flair.encoders.processor import has_bfloat16

    assert not has_bfloat16.__wrapped__("cuda:99"), "a card that is not there"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=major))
    assert has_bfloat16.__wrapped__("cuda:0") is expected


def test_preparation_is_in_the_fingerprint(tmp_path: Path) -> None:
    write_retfound(tmp_path / "a.pth")
    encoder = load_encoder(f"retfound:{tmp_path / 'a.pth'}")
    assert encoder.fingerprint["preparation"]["mean"] == [0.485, 0.456, 0.406]
    other = load_encoder(f"retfound:{tmp_path / 'a.pth'}", precision="bfloat16")
    assert other.fingerprint_id != encoder.fingerprint_id
    told = {json.dumps(encoder.preparation.to_dict())}
    for change in (
        {"image_size": 192},
        {"canvas": "stretch-crop"},
        {"resize": 240},
        {"interpolation": "lanczos"},
        {"channels": "bgr"},
        {"crop_offset": "floor"},
    ):
        told.add(json.dumps(replace(encoder.preparation, **change).to_dict()))
    assert len(told) == 7


def test_the_fingerprint_follows_a_change_of_preparation(tmp_path: Path) -> None:
    write_retfound(tmp_path / "a.pth")
    write_biomedclip(tmp_path / "b")
    small_vit(tmp_path / "c")
    for name in (
        f"retfound:{tmp_path / 'a.pth'}",
        f"biomedclip:{tmp_path / 'b'}",
        f"hf:{tmp_path / 'c'}",
        "mini",
    ):
        encoder = load_encoder(name)
        before = encoder.fingerprint_id
        original = encoder.preparation
        encoder.preparation = replace(original, crop=False)
        assert encoder.fingerprint["preparation"]["crop"] is False
        assert encoder.fingerprint_id != before
        encoder.preparation = original
        assert encoder.fingerprint_id == before


def test_vision_only_encoders_say_that_they_have_no_text(tmp_path: Path) -> None:
    write_retfound(tmp_path / "a.pth")
    encoder = load_encoder(f"retfound:{tmp_path / 'a.pth'}")
    with pytest.raises(InputError, match="'retfound' has no text tower"):
        encoder.encode_texts(["normal"])
    with pytest.raises(InputError, match="has no text tower"):
        encoder.prototypes(["normal"])
    with pytest.raises(InputError, match="takes no text encoder"):
        load_encoder(f"retfound:{tmp_path / 'a.pth'}", text_encoder=tmp_path)


@pytest.mark.parametrize("name", [info.name for info in list_encoders() if info.needs_download])
def test_out_of_reach_names_the_files_and_the_place(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    info = next(info for info in list_encoders() if info.name == name)
    with pytest.raises(MissingFileError) as caught:
        load_encoder(name)
    assert f"https://huggingface.co/{info.hub_id}" in str(caught.value)
    assert "--encoder" in str(caught.value)


def test_a_local_copy_must_be_whole(tmp_path: Path) -> None:
    write_biomedclip(tmp_path / "b")
    (tmp_path / "b" / "vocab.txt").unlink()
    with pytest.raises(MissingFileError, match=r"lacks vocab\.txt"):
        load_encoder(f"biomedclip:{tmp_path / 'b'}")
    with pytest.raises(InputError, match="did you mean 'retfound'"):
        load_encoder("retfuond")
