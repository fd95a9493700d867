"""CLIP ViT-B/32, trained on natural photographs with captions; published in transformers' layout.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.config import check_numbers, read_json
from fewshot_flair.encoders.published import CLIP_MEAN, CLIP_STD, PublishedEncoder
from fewshot_flair.encoders.weights import read_scalar
from fewshot_flair.errors import InputError
from fewshot_flair.images.preparation import ImagePreparation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CLIP"]

# Buffers that older versions of transformers wrote into checkpoints.
SPARE = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")


class CLIP(PublishedEncoder):
    """Image and text towers of CLIP.

    Prepared as published: shortest side 224, bicubic, the middle square, CLIP's mean and deviation.
    """

    name = "clip-vit-b32"
    local_map = "patch tokens"
    hub_id = "openai/clip-vit-base-patch32"
    files = ("model.safetensors", "pytorch_model.bin")
    beside = ("config.json", "vocab.json", "merges.txt")
    preparation = ImagePreparation(
        224, canvas="center-crop", interpolation="bicubic", round_pixels=True, mean=CLIP_MEAN, std=CLIP_STD
    )

    @property
    def feature_dims(self) -> dict[str, int]:
        """Widths of the class token's feature and the embedding (768 and 512)."""
        embedding, backbone = self.shape("visual_projection.weight", 2)
        return {"backbone": backbone, "embedding": embedding}

    @cached_property
    def logit_scale(self) -> float:
        """Natural logarithm of the inverse temperature."""
        return read_scalar(self.weights, "logit_scale")

    @cached_property
    def _network(self) -> Any:
        from transformers import CLIPConfig, CLIPModel

        from fewshot_flair.encoders.inference import to_device
        from fewshot_flair.encoders.weights import load_tensors, read_tensors, refused

        place = self.weights.parent / "config.json"
        settings = read_json(place)
        check_numbers(settings, place)
        with refused(place):
            config = CLIPConfig.from_dict(settings)
        network = load_tensors(
            lambda: CLIPModel(config), read_tensors(self.weights), self.weights, spare=SPARE
        )
        return to_device(network, self.device)

    def _build_vision(self) -> nn.Module:
        from fewshot_flair.encoders.clip_towers import PooledTower, ProjectedVision

        dims, network = self.feature_dims, self._network
        tower = ProjectedVision(PooledTower(network.vision_model), dims["backbone"], dims["embedding"])
        tower.projection.load_state_dict(network.visual_projection.state_dict())
        return tower

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        from fewshot_flair.encoders.weights import refused

        folder = self.weights.parent
        vocabulary = read_json(folder / "vocab.json")
        n_vectors = self.shape("text_model.embeddings.token_embedding.weight", 2)[0]
        if not all(type(number) is int and 0 <= number < n_vectors for number in vocabulary.values()):
            raise InputError(
                f"{folder / 'vocab.json'} must give each word a number below {n_vectors}, as many as the text tower "
                "has word vectors; is it the vocabulary of another model?"
            )
        with refused(folder / "merges.txt"):
            merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
            pairs: Any = [tuple(line.split()) for line in merges if line and not line.startswith("#version")]
            return CLIPTokenizer(vocab=vocabulary, merges=pairs)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts, as they are, to unit embeddings float32 [n, E]; padding does not count."""
        from torch.nn import functional

        from fewshot_flair.encoders.inference import frozen, to_numpy

        if isinstance(texts, str) or not texts:
            raise InputError("encode_texts: give a list of at least one text")
        network = self._network
        longest = network.config.text_config.max_position_embeddings
        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self.device)
        with frozen(self.device):
            pooled = network.text_model(**tokens).pooler_output
            return to_numpy(functional.normalize(network.text_projection(pooled), dim=-1))

    def unread(self, texts: Sequence[str]) -> list[str]:
        """What of these texts the text tower does not read (see `Encoder`); it knows every word."""
        longest = self._network.config.text_config.max_position_embeddings
        cut = any(len(ids) > longest for ids in self._tokenizer(list(texts)).input_ids)
        return [f"cut off at {longest} tokens"] * cut
