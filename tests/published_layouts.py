"""Random checkpoints in the layouts that the comparison's models are published in.

Small ones for the tests; ``python tests/published_layouts.py OUT`` writes them at their published sizes
(1.7 GB), to run the command line on without the published weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

VOCABULARY = Path(__file__).parent / "data" / "tiny_vocab.txt"
State = dict[str, torch.Tensor]


def random_state(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> State:
    """Normal tensors, gains around 1, running variances above 0."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        z = torch.randn(shape, generator=generator)
        if name.endswith("running_var"):
            state[name] = z.abs() + 0.5
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
        elif "norm" in name.lower() or "bn" in name or "downsample.1" in name:
            state[name] = 0.1 * z + (1 if name.endswith("weight") else 0)
        elif len(shape) == 4 and shape[2] != 16:
            state[name] = z * (2 / (shape[0] * shape[2] * shape[3])) ** 0.5
        else:
            state[name] = z * (0.3 if len(shape) < 2 else 1.5 / shape[-1] ** 0.5)
    return state


def linear(name: str, out: int, width: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, width)} | ({f"{name}.bias": (out,)} if bias else {})


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def timm_vit(
    prefix: str, width: int, depth: int, patches: int, patch: int = 16
) -> dict[str, tuple[int, ...]]:
    """timm's VisionTransformer without head and last norm."""
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}cls_token": (1, 1, width),
        f"{prefix}pos_embed": (1, 1 + patches, width),
        f"{prefix}patch_embed.proj.weight": (width, 3, patch, patch),
        f"{prefix}patch_embed.proj.bias": (width,),
    }
    for i in range(depth):
        block = f"{prefix}blocks.{i}."
        shapes |= norm(f"{block}norm1", width) | norm(f"{block}norm2", width)
        shapes |= linear(f"{block}attn.qkv", 3 * width, width) | linear(f"{block}attn.proj", width, width)
        shapes |= linear(f"{block}mlp.fc1", 4 * width, width) | linear(f"{block}mlp.fc2", width, 4 * width)
    return shapes


def write_retfound(path: Path, *, width: int = 128, depth: int = 2, fine_tuned: bool = False) -> State:
    """Masked auto-encoder's checkpoint: tensors, decoder, optimiser and a pickled argparse namespace."""
    shapes = timm_vit("", width, depth, 196) | norm("norm", width)
    if fine_tuned:
        shapes = timm_vit("", width, depth, 196) | norm("fc_norm", width) | linear("head", 5, width)
    else:
        decoder = timm_vit("decoder_", 64, 1, 196)
        shapes |= {n: s for n, s in decoder.items() if "blocks" in n or n.endswith("pos_embed")}
        shapes |= {"mask_token": (1, 1, 64)} | linear("decoder_embed", 64, width)
        shapes |= norm("decoder_norm", 64) | linear("decoder_pred", 768, 64)
    state = random_state(shapes)
    checkpoint = {
        "model": state,
        "optimizer": {
            "state": {0: {"exp_avg": torch.zeros(3)}},
            "param_groups": [{"lr": 1e-3, "params": [0]}],
        },
        "epoch": 799,
        "scaler": {"scale": 65536.0},
        "args": argparse.Namespace(model="mae_vit_large_patch16", lr=None, batch_size=224),
    }
    torch.save(checkpoint, path)
    return state


def write_biomedclip(folder: Path, *, width: int = 128, depth: int = 2, embedding: int = 48) -> State:
    """open_clip's layout: timm's trunk under visual.trunk, BERT under text.transformer."""
    folder.mkdir(parents=True)
    words = len(VOCABULARY.read_text().splitlines())
    shapes: dict[str, tuple[int, ...]] = {"logit_scale": ()}
    shapes |= timm_vit("visual.trunk.", width, depth, 196) | norm("visual.trunk.norm", width)
    shapes |= linear("visual.head.proj", embedding, width, bias=False)
    bert = "text.transformer."
    shapes |= {
        f"{bert}embeddings.word_embeddings.weight": (words, width),
        f"{bert}embeddings.position_embeddings.weight": (64, width),
        f"{bert}embeddings.token_type_embeddings.weight": (2, width),
    }
    shapes |= norm(f"{bert}embeddings.LayerNorm", width)
    for i in range(depth):
        layer = f"{bert}encoder.layer.{i}."
        for part in ("query", "key", "value"):
            shapes |= linear(f"{layer}attention.self.{part}", width, width)
        shapes |= linear(f"{layer}attention.output.dense", width, width)
        shapes |= linear(f"{layer}intermediate.dense", 2 * width, width)
        shapes |= linear(f"{layer}output.dense", width, 2 * width)
        shapes |= norm(f"{layer}attention.output.LayerNorm", width) | norm(f"{layer}output.LayerNorm", width)
    hidden = (width + embedding) // 2
    shapes |= linear("text.proj.0", hidden, width, bias=False)
    shapes |= linear("text.proj.2", embedding, hidden, bias=False)
    state = random_state(shapes) | {"logit_scale": torch.tensor(4.4)}
    state["text.transformer.embeddings.position_ids"] = torch.arange(64)[None]
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    (folder / "vocab.txt").write_text(VOCABULARY.read_text())
    return state


def resnet50_shapes() -> dict[str, tuple[int, ...]]:
    """torchvision's ResNet-50 with its classifier, written out from the paper's table."""

    def conv_norm(conv: str, bn: str, out: int, width: int, kernel: int) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {f"{conv}.weight": (out, width, kernel, kernel)}
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{bn}.{part}"] = (out,)
        return found | {f"{bn}.num_batches_tracked": ()}

    shapes = conv_norm("conv1", "bn1", 64, 3, 7)
    width = 64
    for stage, (depth, planes) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], start=1):
        for i in range(depth):
            block = f"layer{stage}.{i}."
            shapes |= conv_norm(f"{block}conv1", f"{block}bn1", planes, width, 1)
            shapes |= conv_norm(f"{block}conv2", f"{block}bn2", planes, planes, 3)
            shapes |= conv_norm(f"{block}conv3", f"{block}bn3", 4 * planes, planes, 1)
            if i == 0:
                shapes |= conv_norm(f"{block}downsample.0", f"{block}downsample.1", 4 * planes, width, 1)
            width = 4 * planes
    return shapes | linear("fc", 1000, 2048)


def write_clip(folder: Path, *, width: int = 64, depth: int = 2, embedding: int = 24) -> State:
    """transformers' layout of CLIP, with a byte-pair vocabulary of single bytes and a few merges."""
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True)
    tower = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // 32,
    }
    letters = [chr(code) for code in range(33, 127)]
    merges = [("e", "y"), ("ey", "e</w>"), ("m", "a")]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    text = tower | {
        "vocab_size": len(pieces),
        "eos_token_id": len(pieces) - 1,
        "bos_token_id": len(pieces) - 2,
    }
    vision = tower | {"image_size": 224, "patch_size": 32}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=embedding)
    state = random_state({name: tuple(t.shape) for name, t in CLIPModel(config).state_dict().items()})
    state["logit_scale"] = torch.tensor(4.6)
    save_file(state, folder / "model.safetensors")
    config.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    lines = "\n".join(" ".join(pair) for pair in merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{lines}\n")
    return state


def write_dinov2(folder: Path, *, width: int = 64, depth: int = 2) -> State:
    """transformers' layout of DINOv2 (ViT with patches of 14 pixels), with its preprocessor."""
    from transformers import Dinov2Config, Dinov2Model

    heads = max(1, width // 64)
    config = Dinov2Config(
        hidden_size=width, num_hidden_layers=depth, num_attention_heads=heads, image_size=518, patch_size=14
    )
    state = random_state({name: tuple(t.shape) for name, t in Dinov2Model(config).state_dict().items()})
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config.architectures = ["Dinov2Model"]
    config.save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "BitImageProcessor",
        **{"do_resize": True, "size": {"shortest_edge": 256}, "resample": 3},
        **{"do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
        **{"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return state


def small_vit(folder: Path, side: int = 32, model: str = "ViT", **preprocessor: Any) -> Any:
    """Write a small ViT (or ViTMAE) of transformers for images of 32 pixels, and return it."""
    import transformers

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = getattr(transformers, f"{model}Config")(**shape, image_size=32, patch_size=8)
    network = getattr(transformers, f"{model}Model")(config).eval()
    network.save_pretrained(folder)
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | preprocessor))
    return network


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for name in ("retfound", "imagenet-rn50"):
        (out / name).mkdir(parents=True)
    write_retfound(out / "retfound" / "RETFound_cfp_weights.pth", width=1024, depth=24)
    write_biomedclip(out / "biomedclip", width=768, depth=12, embedding=512)
    save_file(random_state(resnet50_shapes()), out / "imagenet-rn50" / "model.safetensors")
    write_clip(out / "clip-vit-b32", width=768, depth=12, embedding=512)


if __name__ == "__main__":
    main()
