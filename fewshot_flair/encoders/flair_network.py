"""FLAIR's two towers as torch modules, with the published tensor names; differentiable, used for training too.

Silva-Rodríguez et al., A Foundation Language-Image Model of the Retina (FLAIR), Medical Image Analysis 99,
2025 (arXiv 2308.07898).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from fewshot_flair.disk import writing_to
from fewshot_flair.encoders.bert import Bert
from fewshot_flair.encoders.config import LOGIT_SCALE_RANGE, BertConfig, FLAIRConfig
from fewshot_flair.encoders.resnet import ResNet
from fewshot_flair.encoders.tokenizer import WordPieces
from fewshot_flair.errors import InputError

__all__ = ["FLAIRNetwork", "TextTower", "VisionTower", "save_network"]


class ProjectionHead(nn.Module):
    """L2-normalise, project, L2-normalise."""

    def __init__(self, width: int, out: int, *, bias: bool) -> None:
        super().__init__()
        self.projection = nn.Linear(width, out, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, width] to unit vectors [B, out]."""
        return functional.normalize(self.projection(functional.normalize(x, dim=-1)), dim=-1)


class VisionTower(nn.Module):
    """ResNet and projection: images to backbone features and unit embeddings."""

    def __init__(self, config: FLAIRConfig) -> None:
        super().__init__()
        self.model = ResNet(config.vision)
        self.projection_head_vision = ProjectionHead(
            config.vision.feature_dim, config.proj_dim, bias=config.proj_bias
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels float [B, 3, S, S] in [0, 1] to backbone [B, feature_dim] and embedding [B, proj_dim]."""
        backbone = self.model(pixels)
        return backbone, self.projection_head_vision(backbone)


class TextTower(nn.Module):
    """BERT and projection: texts to unit embeddings.

    The mean runs over all token positions of the padded batch, padding included, as in the release: an
    embedding depends on the longest text beside it.
    """

    def __init__(self, config: FLAIRConfig, bert: BertConfig, tokenizer: WordPieces | None = None) -> None:
        super().__init__()
        if bert.num_hidden_layers < 2:
            raise InputError(
                "text tower: num_hidden_layers must be at least 2; hidden states 1 and 2 are used"
            )
        self.model = Bert(bert)
        self.projection_head_text = ProjectionHead(bert.hidden_size, config.proj_dim, bias=config.proj_bias)
        self.tokenizer = tokenizer

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and mask, int64 [B, T], to embeddings [B, proj_dim]."""
        return self.pool(self.model(input_ids, attention_mask))

    def pool(self, states: Sequence[Tensor]) -> Tensor:
        """Hidden states [B, T, hidden] of the embeddings and of every layer to embeddings [B, proj_dim], in float32."""
        pooled = torch.stack([states[1], states[2], states[-1]]).float().mean(dim=(0, 2))
        return self.projection_head_text(pooled)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Texts, as one padded batch, to embeddings [n, proj_dim]."""
        if self.tokenizer is None:
            raise InputError("text tower: made without a tokenizer; give FLAIRNetwork one to encode texts")
        device = self.projection_head_text.projection.weight.device
        ids, mask = (torch.from_numpy(array).to(device) for array in self.tokenizer(texts))
        return self(ids, mask)


class FLAIRNetwork(nn.Module):
    """Both towers and the learned temperature.

    Parameters
    ----------
    config : FLAIRConfig
        Vision tower, embedding width, image size.
    bert : BertConfig
        Shape of the text tower (at least two layers).
    tokenizer : WordPieces, optional
        Needed by `encode_texts` only.
    """

    def __init__(
        self, config: FLAIRConfig, bert: BertConfig | None = None, tokenizer: WordPieces | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionTower(config)
        self.text_model = TextTower(config, bert or BertConfig(), tokenizer)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels float [B, 3, S, S] in [0, 1] to backbone [B, feature_dim] and unit embedding [B, proj_dim]."""
        return self.vision_model(pixels)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts, as one padded batch, to unit embeddings [n, proj_dim]."""
        return self.text_model.encode(texts)

    def scale(self) -> Tensor:
        """``exp(logit_scale)`` with the logarithm clamped to [0, 4.6052]; multiplies cosines."""
        return self.logit_scale.clamp(*LOGIT_SCALE_RANGE).exp()


def save_network(
    network: FLAIRNetwork,
    folder: str | Path,
    vocabulary: str | Path,
    *,
    lower_case: bool = False,
    state_dict: bool = False,
) -> Path:
    """Write a network as a FLAIR folder that ``FLAIRModel.from_pretrained`` reads.

    Writes model.safetensors (float32), config.json and text_encoder/ (config.json, vocab.txt,
    tokenizer_config.json), and returns the folder.

    Parameters
    ----------
    vocabulary : path
        The vocab.txt to copy.
    lower_case : bool
        Whether texts are lower-cased first.
    state_dict : bool
        Write flair_resnet.pth too, the release's other layout.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    text = folder / "text_encoder"
    text.mkdir(parents=True, exist_ok=True)
    state = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    with writing_to(folder / "model.safetensors"):
        save_file(state, folder / "model.safetensors")
    if state_dict:
        with writing_to(folder / "flair_resnet.pth"):
            torch.save(state, folder / "flair_resnet.pth")
    _write_json(folder / "config.json", network.config.to_dict())
    _write_json(text / "config.json", network.text_model.model.config.to_dict())
    _write_json(
        text / "tokenizer_config.json", {"do_lower_case": lower_case, "tokenizer_class": "BertTokenizer"}
    )
    if Path(vocabulary).resolve() != (text / "vocab.txt").resolve():
        shutil.copyfile(vocabulary, text / "vocab.txt")
    return folder


def _write_json(path: Path, content: dict[str, object]) -> None:
    with writing_to(path):
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
