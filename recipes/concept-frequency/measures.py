"""What a pre-trained model knows of each concept: without labels, and by a linear probe of a few."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from fewshot_flair import EpisodeSampler, create_adapter, fit_episodes, load_encoder

SHOTS = (4, 8)
SEEDS = range(20)
PROBE = "logistic"
"""FLAIR's linear probe: logistic regression on the frozen image tower's features; no text."""


def measure(
    model: Path, photographs: pd.DataFrame, concepts: Sequence[str]
) -> dict[str, list[dict[str, float | str | int]]]:
    """Figures of each concept on the test photographs, by concept: a row for zero-shot and each number of shots."""
    encoder = load_encoder(model)
    sides = {name: photographs[photographs["side"] == name] for name in ("adapt", "test")}
    y = {name: own["label"].map(concepts.index).to_numpy() for name, own in sides.items()}
    features = {name: encoder.encode_images(list(own["image"])) for name, own in sides.items()}
    zero = create_adapter("zero-shot", text=encoder.prototypes(list(concepts)))
    answers = {
        ("zero-shot", 0): fit_episodes(
            zero, features["adapt"].embedding, y["adapt"], [np.arange(len(y["adapt"]))]
        ).logits(features["test"].embedding)
    }
    for shots in SHOTS:
        episodes = EpisodeSampler(shots, "standard").sample_many(y["adapt"], SEEDS)
        fits = fit_episodes(create_adapter(PROBE), features["adapt"].backbone, y["adapt"], episodes)
        answers[PROBE, shots] = fits.logits(features["test"].backbone)
    rows: dict[str, list[dict[str, float | str | int]]] = {name: [] for name in concepts}
    for (adapter, shots), logits in answers.items():
        figures = np.mean([one_against_rest(y["test"], draw) for draw in logits], axis=0)
        for name, (recall, precision, f1, auroc, answered) in zip(concepts, figures, strict=True):
            rows[name].append(
                {
                    **{"adapter": adapter, "shots": shots, "recall": recall, "precision": precision},
                    **{"f1": f1, "auroc": auroc, "answered": answered},
                }
            )
    return rows


def one_against_rest(y: NDArray[np.int64], logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Recall, precision, F1, AUROC (by probability) and share of answers of each class: (C, 5)."""
    classes = np.arange(logits.shape[1])
    predicted = logits.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(y, predicted, labels=classes, zero_division=0)
    probabilities = softmax(logits, axis=1)
    auroc = [roc_auc_score(y == c, probabilities[:, c]) for c in classes]
    answered = [(predicted == c).mean() for c in classes]
    return np.stack([recall, precision, f1, auroc, answered], axis=1)
