"""BiomedCLIP: ViT-B/16 and PubMedBERT, published in open_clip's layout.

Zhang et al., A Multimodal Biomedical Foundation Model Trained from Fifteen Million Image–Text Pairs,
NEJM AI 2, 2025 (arXiv 2303.00915).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.config import BertConfig
from fewshot_flair.encoders.published import CLIP_MEAN, CLIP_STD, PublishedEncoder
from fewshot_flair.encoders.weights import read_scalar
from fewshot_flair.errors import InputError
from fewshot_flair.images.preparation import ImagePreparation

if TYPE_CHECKING:
    from torch import nn

    from fewshot_flair.encoders.tokenizer import WordPieces

__all__ = ["NAMES", "BiomedCLIP"]

# Published prefix → where it goes: the trunk and its projection, BERT and its two-layer projection.
NAMES = {
    "visual.trunk.": "vision.trunk.",
    "visual.head.proj.": "vision.projection.",
    "text.transformer.": "text.bert.",
    "text.proj.": "text.projection.",
}
# A buffer that older versions of transformers wrote into checkpoints.
SPARE = ("logit_scale", "text.bert.embeddings.position_ids")
MAX_TOKENS = 256


class BiomedCLIP(PublishedEncoder):
    """Image and text towers for biomedical figures; the text embedding is of the class token, uncased.

    Prepared as open_clip does: shortest side 224, bicubic, the middle square, CLIP's mean and deviation.
    """

    name = "biomedclip"
    local_map = "patch tokens"
    hub_id = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
    files = ("open_clip_pytorch_model.bin", "open_clip_model.safetensors")
    beside = ("vocab.txt",)
    preparation = ImagePreparation(
        224, canvas="center-crop", interpolation="bicubic", round_pixels=True, mean=CLIP_MEAN, std=CLIP_STD
    )

    @property
    def feature_dims(self) -> dict[str, int]:
        """Widths of the trunk's feature and the embedding (768 and 512)."""
        embedding, backbone = self.shape("visual.head.proj.weight", 2)
        return {"backbone": backbone, "embedding": embedding}

    @cached_property
    def logit_scale(self) -> float:
        """Natural logarithm of the inverse temperature."""
        return read_scalar(self.weights, "logit_scale")

    def _build_vision(self) -> nn.Module:
        from fewshot_flair.encoders.clip_towers import ProjectedVision
        from fewshot_flair.encoders.vit import ViT, ViTConfig

        config = ViTConfig.from_shapes(self.shape, set(self.shapes), "visual.trunk.", "token")
        dims = self.feature_dims
        return self._load(
            lambda: ProjectedVision(ViT(config), dims["backbone"], dims["embedding"]), "vision."
        )

    @cached_property
    def _text(self) -> tuple[nn.ModuleDict, WordPieces]:
        from torch import nn

        from fewshot_flair.encoders.bert import Bert
        from fewshot_flair.encoders.inference import to_device
        from fewshot_flair.encoders.tokenizer import WordPieces

        vocabulary, width = self.shape("text.transformer.embeddings.word_embeddings.weight", 2)
        start = "text.transformer.encoder.layer."
        layers = {n.removeprefix(start).split(".")[0] for n in self.shapes if n.startswith(start)}
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=len(layers),
            num_attention_heads=max(1, width // 64),
            intermediate_size=self.shape(f"{start}0.intermediate.dense.weight", 2)[0],
            max_position_embeddings=self.shape("text.transformer.embeddings.position_embeddings.weight", 2)[
                0
            ],
        )
        hidden, embedding = self.shape("text.proj.0.weight", 2)[0], self.shape("text.proj.2.weight", 2)[0]

        def build() -> nn.ModuleDict:
            layers = nn.Linear(width, hidden, bias=False), nn.GELU(), nn.Linear(hidden, embedding, bias=False)
            return nn.ModuleDict({"bert": Bert(config, pooler=False), "projection": nn.Sequential(*layers)})

        tower = self._load(build, "text.")
        pieces = WordPieces(
            self.weights.parent / "vocab.txt",
            lower_case=True,
            max_tokens=min(MAX_TOKENS, config.max_position_embeddings),
            n_vectors=vocabulary,
        )
        return to_device(tower, self.device), pieces

    def _load(self, build: Callable[[], nn.Module], part: str) -> Any:
        """Load a tower's tensors under our names; what belongs to neither tower is left over, and refused."""
        from fewshot_flair.encoders.weights import load_tensors, read_tensors

        other = "text." if part == "vision." else "vision."
        tensors = {_ours(name): tensor for name, tensor in read_tensors(self.weights).items()}
        spare = [*SPARE, *(name for name in tensors if name.startswith(other))]
        return load_tensors(build, tensors, self.weights, prefix=part, spare=spare)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts, as they are, to unit embeddings float32 [n, E]; padding does not count."""
        import torch
        from torch.nn import functional

        from fewshot_flair.encoders.inference import frozen, to_numpy

        if isinstance(texts, str) or not texts:
            raise InputError("encode_texts: give a list of at least one text")
        tower, pieces = self._text
        ids, mask = (torch.from_numpy(array).to(self.device) for array in pieces(texts))
        with frozen(self.device):
            return to_numpy(
                functional.normalize(tower["projection"](tower["bert"](ids, mask)[-1][:, 0]), dim=-1)
            )

    def unread(self, texts: Sequence[str]) -> list[str]:
        """What of these texts the text tower does not read (see `Encoder`)."""
        return self._text[1].unread(texts)


def _ours(name: str) -> str:
    for published, ours in NAMES.items():
        if name.startswith(published):
            return ours + name.removeprefix(published)
    return name
