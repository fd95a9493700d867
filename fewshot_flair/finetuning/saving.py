"""A fine-tuned network as files that `load_encoder` and `load_adapter` read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_flair.adapters import LinearHead, create_adapter
from fewshot_flair.encoders.base import Encoder
from fewshot_flair.encoders.imagenet import SECOND_TRAINING
from fewshot_flair.encoders.weights import read_tensors
from fewshot_flair.finetuning.network import State, TunedNetwork
from fewshot_flair.models.storage import save_adapter
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["save_tuned"]

WHOLE = "model.safetensors"
NAMES: dict[str, dict[str, str]] = {
    "FLAIR": {"": "vision_model."},
    "retfound": {"": ""},
    "imagenet-rn50": {"": ""},
    "clip-vit-b32": {"trunk.tower.": "vision_model.", "projection.": "visual_projection."},
    "biomedclip": {"trunk.": "visual.trunk.", "projection.": "visual.head.proj."},
}
"""How the tensors of a tower are called in the published file, by the encoder's model: prefix here, prefix there."""


def save_tuned(
    encoder: Encoder, network: TunedNetwork, text: TextPrototypes | None, classes: list[str], folder: Path
) -> str:
    """Write the tower as ``encoder/``, in its published layout, and the head as ``adapter/``.

    ``load_encoder`` takes the first (``NAME:FOLDER/encoder``, for FLAIR and mini just the folder), and `load_adapter`
    the second, which gives the network's answers on that encoder's features.

    Returns
    -------
    str
        A remark where the layout of this encoder is not known, so that only the head was written; else "".
    """
    model = str(encoder.fingerprint.get("model"))
    kind = list(network.encoder.feature_dims)[network.place]
    name = "zero-shot" if text is not None else "logistic"
    adapter: Any = create_adapter(name, text=text)
    weights, bias = (p.detach().cpu().numpy() for p in (network.head.weight, network.head.bias))
    adapter.head_ = LinearHead(weights[None], bias[None], normalize=network.normalize)
    adapter.columns_, adapter.classes_ = np.array(classes), np.sort(np.array(classes))
    adapter.n_features_in_ = weights.shape[1]
    # the file's name is what says that photographs are prepared otherwise
    known = model in NAMES and encoder.weights.name != SECOND_TRAINING  # type: ignore[attr-defined]
    save_adapter(
        adapter, folder / "adapter", {"encoder": "../encoder" if known else encoder.name, "feature": kind}
    )
    if not known:
        return (
            f"the tower of {encoder.name} cannot be saved in its published layout yet; its numbers are in the file "
            "tuned of its training, and the head in adapter/"
        )
    _write(encoder, network.state(), NAMES[model], folder / "encoder")
    return ""


def _write(encoder: Any, state: State, names: dict[str, str], folder: Path) -> None:
    """The published file's tensors with the tower's in their place, and the files beside it."""
    from safetensors.torch import save_file

    tensors = dict(read_tensors(encoder.weights))
    for name, tensor in state.items():
        own = name.removeprefix("tower.")
        prefix = next((prefix for prefix in names if own.startswith(prefix)), None)
        if own != name and prefix is not None:
            tensors[names[prefix] + own.removeprefix(prefix)] = tensor
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(
        plain, folder / next((f for f in getattr(encoder, "files", ()) if f.endswith(".safetensors")), WHOLE)
    )
    source = encoder.weights.parent
    for beside in ("config.json", *getattr(encoder, "beside", ())):
        if (source / beside).is_file():
            shutil.copyfile(source / beside, folder / beside)
    texts = getattr(encoder, "text_files", None)
    if texts is not None:
        (folder / "text_encoder").mkdir(exist_ok=True)
        for file in filter(None, (texts.config, texts.vocabulary, texts.tokenizer)):
            shutil.copyfile(file, folder / "text_encoder" / Path(file).name)
