"""A clinic of drawn discs and a FLAIR of a few thousand numbers, on which training takes no time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from published_layouts import VOCABULARY

from fewshot_flair.encoders.config import BertConfig, FLAIRConfig, ResNetConfig
from fewshot_flair.encoders.flair_network import FLAIRNetwork, save_network
from fewshot_flair.encoders.tokenizer import WordPieces

CLASSES = ["normal", "macular hole"]


def draw_clinic(folder: Path, n: int, seed: int, split: bool) -> Path:
    """Discs, of which one class has a bright spot; two photographs a patient."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for i in range(n):
        label = i // 2 % 2
        eye = np.zeros((60, 70, 3), np.uint8)
        cv2.circle(eye, (35, 30), 28, [int(v) for v in rng.integers(60, 140, 3)], -1)
        if label:
            cv2.circle(eye, (35, 30), 8, (250, 250, 250), -1)
        name = f"images/{seed}-{i}.png"
        cv2.imwrite(str(folder / name), eye)
        rows.append(
            {"image": name, "label": CLASSES[label], "patient_id": f"{seed} {i // 2}"}
            | ({"split": "train" if i < 2 * n // 3 else "test"} if split else {})
        )
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def write_flair(folder: Path) -> Path:
    """A FLAIR for photographs of 48 pixels."""
    torch.manual_seed(0)
    vision = ResNetConfig("basic", (1, 1, 1, 1), (8, 8, 16, 16), stem_kernel=3, stem_pool=False)
    bert = BertConfig(
        vocab_size=len(VOCABULARY.read_text().splitlines()), hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=80,
    )  # fmt: skip
    network = FLAIRNetwork(
        FLAIRConfig(proj_dim=12, image_size=48, vision=vision), bert, WordPieces(VOCABULARY)
    )
    return save_network(network, folder, VOCABULARY)
