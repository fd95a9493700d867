"""How far clip-adapter's figures hang on its starting weights, and on the ReLU that the paper's code leaves out.

    python recipes/sstext/clip_adapter.py [--starts 12]

Mean balanced accuracy of 20 draws, in %: by our code, where all draws of a study share one start, over several starts;
and written plainly in torch as the paper's program does it, with a fresh start for every draw. On the fixture of the
papers' code, and on dr-clinic by the mini model where ../shared/data has it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from fewshot_flair import (
    EpisodeSampler,
    FeatureBank,
    Manifest,
    TextPrototypes,
    create_adapter,
    fit_episodes,
    load_encoder,
)
from fewshot_flair.bank import extract
from fewshot_flair.evaluation import balanced_accuracy
from fewshot_flair.text.prompts import described, text_prototypes

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "recipes" / "bench-adapters"))
import papers_way  # noqa: E402

Sides = tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray, TextPrototypes]


def clinics() -> Iterator[Sides]:
    """Name, training rows and labels, test rows and labels, text."""
    with np.load(ROOT / "tests" / "data" / "adapters_parity.npz") as z:
        text = TextPrototypes(list("abcde"), z["initial_prototypes"], float(z["logit_scale"]))
        sides = (z["feats_train"], z["refs_train"], z["feats_test"], z["refs_test"])
        yield "fixture", *(array.astype(np.float32 if array.ndim > 1 else np.int64) for array in sides), text
    path = ROOT.parent / "shared" / "data" / "dr-clinic" / "manifest.csv"
    if path.is_file():
        manifest, encoder = Manifest.read(path), load_encoder("mini")
        bank = FeatureBank.open(None, encoder)
        keys = extract([manifest], encoder, bank).keys
        X = bank.read([keys[str(p)] for p in manifest.paths], "embedding")
        known = (manifest.frame["split"] == "train").to_numpy()
        text = text_prototypes(encoder, bank, described(manifest.classes, "expert"))
        yield "dr-clinic", X[known], manifest.y[known], X[~known], manifest.y[~known], text


class Linear(papers_way.Bottleneck):
    """Without a ReLU, as the paper's program has it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of rows (n, D)."""
        mixed = 0.8 * x + 0.2 * self.up(self.down(x))
        cosines = (
            torch.nn.functional.normalize(mixed, dim=-1) @ torch.nn.functional.normalize(self.t, dim=-1).T
        )
        return self.scale * cosines


def plainly(
    model: type, x: torch.Tensor, y: torch.Tensor, new: torch.Tensor, text: TextPrototypes
) -> np.ndarray:
    """Predicted classes of new rows by one fit from a fresh start."""
    made = model(torch.from_numpy(np.asarray(text.prototypes)), float(text.scale))
    papers_way.descend(made, lambda: cross_entropy(made(x), y))
    with torch.no_grad():
        return made(new).argmax(dim=1).numpy()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=12)
    asked = parser.parse_args()
    print(
        "| data | shots | ReLU | ours, mean over starts | one start: least to most | start 0 | torch, fresh starts |"
    )
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for name, X, y, new, y_new, text in clinics():
        for shots in (4, 16):
            sampler = EpisodeSampler(shots, scenario="realistic", protocol="sstext-2025", allow_fewer=True)
            episodes = sampler.sample_many(y, seeds=range(20))
            for activation, model in (("none", Linear), ("relu", papers_way.Bottleneck)):
                means = []
                for start in range(asked.starts):
                    adapter = create_adapter(
                        "clip-adapter", text=text, activation=activation, random_state=start
                    )
                    logits = fit_episodes(adapter, X, y, episodes).logits(new)
                    means.append(
                        100 * np.mean([balanced_accuracy(y_new, one.argmax(axis=1)) for one in logits])
                    )
                torch.manual_seed(42)
                rows = [(torch.from_numpy(X[i]), torch.from_numpy(y[i])) for i in episodes.indices]
                found = [plainly(model, *pair, torch.from_numpy(new), text) for pair in rows]
                fresh = 100 * np.mean([balanced_accuracy(y_new, one) for one in found])
                print(
                    f"| {name} | {shots} | {'yes' if activation == 'relu' else 'no'} | {np.mean(means):.1f} | "
                    f"{min(means):.1f} to {max(means):.1f} | {means[0]:.1f} | {fresh:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
