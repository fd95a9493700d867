"""FLAIR, the published model and small ones of its kind, as an encoder.

Silva-Rodríguez et al., A Foundation Language-Image Model of the Retina (FLAIR), Medical Image Analysis 99,
2025 (arXiv 2308.07898).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.base import FINGERPRINT_FORMAT, check_precision
from fewshot_flair.encoders.config import LOGIT_SCALE_RANGE, BertConfig, FLAIRConfig
from fewshot_flair.encoders.hub import find_weights, hub_file, hub_weights, is_hub_id, optional_hub_file
from fewshot_flair.encoders.shards import is_safetensors
from fewshot_flair.encoders.tokenizer import lower_cases
from fewshot_flair.encoders.tower import TowerEncoder
from fewshot_flair.encoders.weights import check_tensors, file_digest, read_scalar, read_shapes
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.images.preparation import ImageLike, ImagePreparation
from fewshot_flair.text.knowledge import prompts

if TYPE_CHECKING:
    from torch import Tensor

    from fewshot_flair.encoders.flair_network import TextTower, VisionTower
    from fewshot_flair.encoders.soft_prompts import SoftPrompts

__all__ = ["FLAIRModel"]

HUB_ID = "jusiro2/FLAIR"
WEIGHTS = ("model.safetensors", "flair_resnet.pth")
# A buffer that older versions of transformers wrote into checkpoints.
SPARE = ("text_model.model.embeddings.position_ids",)


@dataclass(frozen=True)
class TextFiles:
    """The files that turn a text into tokens and shape the text tower."""

    config: Path
    vocabulary: Path
    tokenizer: Path | None

    @classmethod
    def find(cls, source: str | Path) -> Self:
        """Find them in a folder, or of a hub id."""
        folder = Path(source)
        if folder.is_dir():
            lacking = [name for name in ("config.json", "vocab.txt") if not (folder / name).is_file()]
            if lacking:
                raise MissingFileError(
                    f"text encoder: {folder} has no {lacking[0]}; it needs config.json and vocab.txt"
                )
            settings = folder / "tokenizer_config.json"
            return cls(folder / "config.json", folder / "vocab.txt", settings if settings.is_file() else None)
        if not is_hub_id(str(source)):
            raise MissingFileError(
                f"text encoder: no folder {source}; give a folder with config.json and vocab.txt, or a hub id"
            )
        option = "--text-encoder FOLDER (text_encoder=… in Python)"
        names = ("config.json", "vocab.txt")
        config, vocabulary = (hub_file(str(source), [name], option, " and ".join(names)) for name in names)
        return cls(config, vocabulary, optional_hub_file(str(source), "tokenizer_config.json"))

    @property
    def lower_case(self) -> bool:
        """Whether texts are lower-cased (see `lower_cases`)."""
        return lower_cases(self.tokenizer)


class FLAIRModel(TowerEncoder):
    """Image and text towers in one embedding space, with the learned temperature.

    Made by `from_pretrained`. Weights are read when something is first encoded; name, fingerprint, widths
    and temperature are had without them.

    Parameters
    ----------
    weights : Path
        model.safetensors, or a plain torch state dict.
    config : FLAIRConfig
    text : TextFiles
    name, device, precision : str
        See `Encoder`.

    Examples
    --------
    >>> from fewshot_flair import FLAIRModel
    >>> model = FLAIRModel.from_pretrained("jusiro2/FLAIR")  # doctest: +SKIP
    >>> probs, logits = model("eye.png", ["normal", "macular hole"])  # doctest: +SKIP
    """

    local_map = "exact"

    def __init__(
        self,
        weights: Path,
        config: FLAIRConfig,
        text: TextFiles,
        *,
        name: str = "flair",
        device: str = "cpu",
        precision: str | None = None,
    ) -> None:
        self.weights, self.config, self.text_files = weights, config, text
        self.name, self.device = name, device
        self.precision = check_precision(precision)
        self.preparation = ImagePreparation(image_size=config.image_size)
        self.template = config.caption

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = HUB_ID,
        text_encoder: str | Path | None = None,
        *,
        device: str = "cpu",
        precision: str | None = None,
        name: str = "flair",
    ) -> Self:
        """Open a checkpoint.

        Parameters
        ----------
        source : str or path
            Hub id, folder (model.safetensors and config.json, or flair_resnet.pth), or weights file.
        text_encoder : str or path, optional
            Hub id or folder of the text tower's config.json and vocab.txt. By default the folder
            text_encoder/ beside the weights, else the hub id that config.json names.
        device : str
            Where torch runs it.
        precision : {"float32", "bfloat16"}
            Of the vision tower; float32 by default.

        Raises
        ------
        MissingFileError
            If the hub is out of reach, or a file is absent, truncated or damaged; says what to get.
        InputError
            If tensors are missing or misshapen, or a pickled checkpoint holds more than tensors.
        """
        model = cls.open(source, text_encoder, device=device, precision=precision, name=name)
        model.check()
        return model

    @classmethod
    def open(
        cls,
        source: str | Path = HUB_ID,
        text_encoder: str | Path | None = None,
        *,
        device: str = "cpu",
        precision: str | None = None,
        name: str = "flair",
    ) -> Self:
        """Open as `from_pretrained`, but compare tensors only when they are loaded, so without torch."""
        weights, settings = _find_model(source)
        config = FLAIRConfig.read(settings) if settings else FLAIRConfig()
        beside = weights.parent / "text_encoder"
        text = TextFiles.find(text_encoder or (beside if beside.is_dir() else config.bert_type))
        model = cls(weights, config, text, name=name, device=device, precision=precision)
        if is_safetensors(weights):
            read_shapes(weights)
        return model

    def check(self) -> None:
        """Compare the file's tensors with the network's by name and shape; raises InputError."""
        import torch

        from fewshot_flair.encoders.flair_network import FLAIRNetwork

        with torch.device("meta"):
            network = FLAIRNetwork(self.config, self._bert)
        expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        check_tensors(read_shapes(self.weights), expected, self.weights, spare=SPARE)

    @property
    def feature_dims(self) -> dict[str, int]:
        """Widths of the backbone feature and the embedding (2048 and 512 as published)."""
        return {"backbone": self.config.vision.feature_dim, "embedding": self.config.proj_dim}

    @cached_property
    def logit_scale(self) -> float:
        """Natural logarithm of the inverse temperature, clamped to [0, 4.6052]."""
        return float(np.clip(read_scalar(self.weights, "logit_scale"), *LOGIT_SCALE_RANGE))

    @cached_property
    def _bert(self) -> BertConfig:
        return BertConfig.read(self.text_files.config)

    @cached_property
    def _files(self) -> dict[str, Any]:
        """Digests and content of what the towers are made from."""
        return {
            "weights": file_digest(self.weights),
            "text": {
                "config": self._bert.to_dict(),
                "vocabulary": file_digest(self.text_files.vocabulary),
                "lower_case": self.text_files.lower_case,
            },
        }

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Digests of the weights and the vocabulary, and every setting that decides a feature."""
        return {
            "format": FINGERPRINT_FORMAT,
            "model": "FLAIR",
            **self._files,
            "config": self.config.to_dict(),
            "preparation": self.preparation.to_dict(),
            **self.arithmetic,
        }

    def __call__(
        self, image: ImageLike | Iterable[ImageLike], texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compare images with texts, as in FLAIR's own example.

        Parameters
        ----------
        image : one or more paths, PIL images or uint8 arrays of shape (H, W, 3)
            Not cropped to the fundus.
        texts : sequence of str
            Categories; each is put into the template, and all are encoded as one batch.

        Returns
        -------
        probs, logits : float32 arrays of shape (images, texts)
            ``logits = exp(logit_scale) · image embedding · text embedding``; probs, their softmax.
        """
        if isinstance(texts, str):
            texts = [texts]
        images = self.encode_images(image, crop=False).embedding
        assert images is not None
        cosines = images @ self.encode_texts(prompts(texts, self.template)).T
        logits = (np.exp(self.logit_scale) * cosines).astype(np.float32)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True), logits

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [B, 3, S, S] in [0, 1] to backbone and unit embedding; the projection is in float32 always."""
        import torch

        backbone = self._vision.model(pixels.to(self._dtype, memory_format=torch.channels_last)).float()
        return backbone, self._vision.projection_head_vision(backbone)

    def forward_with_map(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Features as `forward` gives them, and their maps [B, h, w, width], float32.

        The backbone is the mean of its map, and the embedding the unit vector of its map's mean: the projection is
        linear but for the lengths before and after it, and the first is that of the photograph's backbone.
        """
        import torch

        shaped = pixels.to(self._dtype, memory_format=torch.channels_last)
        backbone, local = (part.float() for part in self._vision.model.with_map(shaped))
        head = self._vision.projection_head_vision
        length = backbone.norm(dim=-1).clamp(min=1e-12)[:, None, None, None]
        return (backbone, head(backbone)), (local, head.projection(local / length))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts, as they are and as one padded batch, to unit embeddings float32 [n, E]."""
        from fewshot_flair.encoders.inference import frozen, to_numpy

        if isinstance(texts, str) or not texts:
            raise InputError("encode_texts: give a list of at least one text")
        tower = self._text  # loaded out here, or its weights could not be differentiated through later
        with frozen(self.device):
            return to_numpy(tower.encode(texts))

    def unread(self, texts: Sequence[str]) -> list[str]:
        """What of these texts the text tower does not read (see `Encoder`)."""
        tokenizer = self._text.tokenizer
        return tokenizer.unread(texts) if tokenizer else []

    def soft_prompts(self, context: str, names: list[str]) -> SoftPrompts:
        """Prompts of class names whose context's word vectors are free, for prompt learning."""
        from fewshot_flair.encoders.soft_prompts import SoftPrompts

        return SoftPrompts(self._text, context, names)

    @property
    def _dtype(self) -> Any:
        import torch

        return getattr(torch, self.precision)

    @cached_property
    def _vision(self) -> VisionTower:
        import torch

        from fewshot_flair.encoders.flair_network import VisionTower
        from fewshot_flair.encoders.folding import fold_batch_norm
        from fewshot_flair.encoders.inference import load_tower

        tower = load_tower(lambda: VisionTower(self.config), self.weights, "vision_model.", self.device)
        if self.folds:
            fold_batch_norm(tower.model)
        tower.model.to(self._dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return tower

    @cached_property
    def _text(self) -> TextTower:
        from fewshot_flair.encoders.flair_network import TextTower
        from fewshot_flair.encoders.inference import load_tower
        from fewshot_flair.encoders.tokenizer import MAX_TOKENS, WordPieces

        tokenizer = WordPieces(
            self.text_files.vocabulary,
            lower_case=self.text_files.lower_case,
            max_tokens=min(MAX_TOKENS, self._bert.max_position_embeddings),
            n_vectors=self._bert.vocab_size,
        )
        return load_tower(
            lambda: TextTower(self.config, self._bert, tokenizer),
            self.weights,
            "text_model.",
            self.device,
            spare=SPARE,
        )


def _find_model(source: str | Path) -> tuple[Path, Path | None]:
    """Weights file and, where there is one, config.json of a folder, file or hub id."""
    if not is_hub_id(str(source)):
        weights = find_weights(Path(source), WEIGHTS)
        settings = weights.parent / "config.json"
        return weights, settings if settings.is_file() else None
    option = "--encoder FOLDER (FLAIRModel.from_pretrained(FOLDER) in Python)"
    needed = "model.safetensors and config.json"
    weights = hub_weights(str(source), ["model.safetensors"], option, needed)
    return weights, hub_file(str(source), ["config.json"], option, needed)
