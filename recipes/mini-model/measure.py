"""Measure a mini model and write its model card. See README.md beside this file."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from fewshot_flair.data import Manifest
from fewshot_flair.encoders import load_encoder
from fewshot_flair.episodes import EpisodeSampler
from fewshot_flair.rendering.demo import demo_clinic

SEEDS = range(20)


def main() -> None:
    """Measure on the demo clinic and, where it is given, on the real one; fill in the card's numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of the finished model")
    parser.add_argument(
        "--real", type=Path, help="manifest of the real dr-clinic; measured on, never trained on"
    )
    options = parser.parse_args()
    encoder = load_encoder(options.model)
    scores = measure(encoder, Manifest.read(demo_clinic()))
    for name, value in scores.items():
        print(f"demo {name}: {value:.3f}")
    lines = [f"| {name} | {value:.3f} |" for name, value in scores.items()]
    real = ["| not measured | |"]
    if options.real:
        found = measure(encoder, Manifest.read(options.real))
        real = [f"| {name} | {value:.3f} |" for name, value in found.items()]
        for name, value in found.items():
            print(f"real {name}: {value:.3f}")
    card = (Path(__file__).parent / "card.md").read_text(encoding="utf-8")
    card = card.replace("<!-- demo -->", "\n".join(lines)).replace("<!-- real -->", "\n".join(real))
    (options.model / "README.md").write_text(card, encoding="utf-8")


def measure(encoder, manifest: Manifest) -> dict[str, float]:
    """Balanced accuracy on the test split: zero-shot, and logistic regression on few shots of the train split."""
    train, test = manifest.split("train"), manifest.split("test")
    fit, held = (encoder.encode_images(part.paths) for part in (train, test))
    prototypes = encoder.prototypes(manifest.classes).prototypes
    prototypes = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    zero = (held.embedding @ prototypes.T).argmax(1)
    scores = {"zero-shot": float(balanced_accuracy_score(test.y, zero))}
    for shots, scenario in ((1, "standard"), (4, "standard"), (16, "standard"), (16, "realistic")):
        sampler = EpisodeSampler(shots, scenario, allow_fewer=True)
        found = []
        for seed in SEEDS:
            chosen = sampler.sample(train.y, seed=seed, n_classes=len(manifest.classes))
            model = LogisticRegression(C=0.316, class_weight="balanced", max_iter=1000)
            model.fit(fit.backbone[chosen], train.y[chosen])
            found.append(balanced_accuracy_score(test.y, model.predict(held.backbone)))
        scores[f"{shots} shots, {scenario}, logistic on backbone"] = float(np.mean(found))
    return scores


if __name__ == "__main__":
    main()
