"""The network before training: from a published FLAIR, from weights of the two towers, or from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fewshot_flair.encoders.bert import Bert
from fewshot_flair.encoders.config import BertConfig, FLAIRConfig, ResNetConfig
from fewshot_flair.encoders.flair import SPARE, FLAIRModel, TextFiles
from fewshot_flair.encoders.flair_network import FLAIRNetwork
from fewshot_flair.encoders.hub import find_weights, hub_weights, is_hub_id
from fewshot_flair.encoders.imagenet import with_counters
from fewshot_flair.encoders.resnet import ResNet
from fewshot_flair.encoders.tokenizer import MAX_TOKENS, WordPieces
from fewshot_flair.encoders.weights import load_tensors, read_tensors
from fewshot_flair.errors import InputError
from fewshot_flair.pretraining.assembly import NOTHING, TextSize, VisionSize
from fewshot_flair.pretraining.captions import build_vocabulary

if TYPE_CHECKING:
    from torch import Tensor

    from fewshot_flair.pretraining.assembly import Assembly

__all__ = ["Beginning", "begin"]

VISION_FILES = ("model.safetensors", "resnet50-0676ba61.pth", "pytorch_model.bin")
TEXT_FILES = ("model.safetensors", "pytorch_model.bin")
_OLD_NAMES = {"gamma": "weight", "beta": "bias"}
"""What layer norms' tensors are called in BERT files of 2019."""


@dataclass(frozen=True)
class Beginning:
    """A network, and the files that go with its text tower."""

    network: FLAIRNetwork
    vocabulary: Path
    lower_case: bool


def begin(assembly: Assembly, texts: Sequence[str], folder: Path) -> Beginning:
    """Make the network that training begins with.

    Parameters
    ----------
    texts : sequence of str
        All that may be read; a text tower that begins with nothing gets a vocabulary of their words.
    folder : Path
        Where that vocabulary is written.

    Raises
    ------
    MissingFileError
        If weights are not there and the hub is out of reach; says what to get.
    InputError
        If tensors are missing or misshapen, or a text falls apart into unknown words.
    """
    start, recipe = assembly.start, assembly.recipe
    torch.manual_seed(recipe.seed)
    if start.flair is not None:
        text_encoder = None if start.text_encoder is None else assembly.source(start.text_encoder)
        model = FLAIRModel.open(assembly.source(start.flair), text_encoder)
        model.check()
        config = replace(model.config, image_size=recipe.image_size, caption=assembly.template)
        bert, files = BertConfig.read(model.text_files.config), model.text_files
        tensors = read_tensors(model.weights)
        tokenizer = _tokenizer(files, bert)
        network = load_tensors(
            lambda: FLAIRNetwork(config, bert, tokenizer), tensors, model.weights, spare=SPARE
        )
        return Beginning(network, files.vocabulary, files.lower_case)
    if start.text == NOTHING:
        vocabulary, lower_case = build_vocabulary(texts, folder / "vocab.txt"), False
        tokenizer = WordPieces(vocabulary)
        bert = (start.text_size or TextSize()).config(tokenizer.size)
    else:
        files = TextFiles.find(assembly.source(start.text))
        bert, vocabulary, lower_case = BertConfig.read(files.config), files.vocabulary, files.lower_case
        tokenizer = _tokenizer(files, bert)
    vision, weights = (start.vision_size or VisionSize()).config(), None
    if start.vision != NOTHING:
        weights = _find(assembly.source(start.vision), VISION_FILES, "vision")
        vision = _shape(read_tensors(weights), weights)
    config = FLAIRConfig(
        proj_dim=start.embedding, image_size=recipe.image_size, caption=assembly.template, vision=vision
    )
    network = FLAIRNetwork(config, bert, tokenizer)
    if weights is not None:
        network.vision_model.model = load_tensors(
            lambda: ResNet(vision),
            with_counters(read_tensors(weights)),
            weights,
            spare=("fc.weight", "fc.bias"),
        )
    if start.text != NOTHING:
        network.text_model.model = _bert(assembly.source(start.text), bert)
    return Beginning(network, vocabulary, lower_case)


def _tokenizer(files: TextFiles, bert: BertConfig) -> WordPieces:
    return WordPieces(
        files.vocabulary,
        lower_case=files.lower_case,
        max_tokens=min(MAX_TOKENS, bert.max_position_embeddings),
        n_vectors=bert.vocab_size,
    )


def _find(source: str, names: Sequence[str], entry: str) -> Path:
    if is_hub_id(source):
        return hub_weights(source, names, f'{entry} = "FOLDER" under [start]')
    return find_weights(Path(source), names)


def _shape(tensors: dict[str, Tensor], weights: Path) -> ResNetConfig:
    """The shape of a ResNet in torchvision's layout, from its tensors'."""
    depths: list[int] = []
    while f"layer{len(depths) + 1}.0.conv1.weight" in tensors:
        stage = f"layer{len(depths) + 1}."
        depths.append(len({name.split(".")[1] for name in tensors if name.startswith(stage)}))
    if not depths or "conv1.weight" not in tensors:
        raise InputError(
            f"{weights} is no ResNet in torchvision's layout (conv1, layer1.0.conv1 …); give such weights"
        )
    block = "bottleneck" if "layer1.0.conv3.weight" in tensors else "basic"
    widths = [len(tensors[f"layer{i + 1}.0.conv1.weight"]) for i in range(len(depths))]
    return ResNetConfig(block, tuple(depths), tuple(widths))


def _bert(source: str, config: BertConfig) -> Bert:
    """A BERT of a file that may hold heads beside it."""
    weights = _find(source, TEXT_FILES, "text")
    tensors = {}
    for name, tensor in read_tensors(weights).items():
        head, _, last = name.rpartition(".")
        tensors[f"{head}.{_OLD_NAMES.get(last, last)}" if head else name] = tensor
    if any(name.startswith("bert.") for name in tensors):
        tensors = {name.removeprefix("bert."): t for name, t in tensors.items() if name.startswith("bert.")}
    network = Bert(config)
    if not any(name.startswith("pooler.") for name in tensors):
        # nothing computes with it; the published checkpoint has one
        tensors |= {f"pooler.{name}": tensor for name, tensor in network.pooler.state_dict().items()}
    return load_tensors(lambda: Bert(config), tensors, weights, spare=("embeddings.position_ids",))
