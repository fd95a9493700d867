"""How long full conformal sets take: all at once, against a loop of refits. Run by ``make bench``, after bench.py.

700 new rows × 5 candidate labels, 80 labelled rows, 512 columns; one thread, processor seconds, fit counted. The
loops are timed on some of the new rows and counted up to all of them. Printed as Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    for library in ("OMP", "OPENBLAS", "MKL"):  # before NumPy and torch are imported
        os.environ[f"{library}_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from bench import clinic, in_torch
from papers_way import CosineHead, descend

from fewshot_flair import create_adapter, create_conformal

ALPHA = 0.1
ROWS = {"ss-text": (700, 40), "lp": (4, 4)}
"""New rows that the papers' loop and ours are timed on."""


def papers_sets(name: str, x, y, words, queries):
    """One fit a row and label in torch, as the papers' program: threshold by interpolation, lac."""
    n, n_classes, s = len(x), len(words["prototypes"]), float(words["scale"])
    sets = torch.zeros(len(queries), n_classes, dtype=torch.bool)
    level = (n + 1) * (1 - ALPHA) / n
    for i, row in enumerate(queries):
        for c in range(n_classes):
            joined, labels = torch.cat([x, row[None]]), torch.cat([y, torch.tensor([c])])
            weights = words["prototypes"]
            if name == "ss-text":
                weights = weights + s * torch.nn.functional.one_hot(labels, n_classes).to(joined).T @ joined
            model = CosineHead(weights, s)
            if name == "lp":
                descend(
                    model,
                    lambda model=model, joined=joined, labels=labels: torch.nn.functional.cross_entropy(
                        model(joined), labels
                    ),
                )
            with torch.no_grad():
                scores = 1 - torch.softmax(model(joined), dim=-1)
                sets[i, c] = scores[-1, c] <= torch.quantile(scores[:-1][torch.arange(n), y], level)
    return sets.numpy()


def plain_sets(name: str, X, y, text, queries):
    """One fit of our adapter a row and label."""
    n, sets = len(X), []
    for row in queries:
        own = []
        for c in range(text.n_classes):
            fit = create_adapter(name, text=text).fit(np.vstack([X, row]), np.append(y, c))
            scores = 1 - fit.predict_proba(np.vstack([X, row]))
            level = (n + 1) * (1 - ALPHA) / n
            own.append(scores[-1, c] <= np.quantile(scores[:-1][np.arange(n), y], level))
        sets.append(own)
    return np.array(sets)


def seconds(measure, repeats: int = 1):
    """The fewest processor seconds of some calls, and what the last gave."""
    spent = []
    for _ in range(repeats):
        began = time.process_time()
        found = measure()
        spent.append(time.process_time() - began)
    return min(spent), found


def main() -> None:
    """Print a table of both adapters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="calls of ours; the quickest counts")
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    X, y, queries, text = clinic(512, 5, per_class=16)
    x, labels, q, words = torch.from_numpy(X), torch.from_numpy(y), torch.from_numpy(queries), in_torch(text)
    print("| adapter | `full` | the papers' loop | our plain loop | same sets |")
    print("| --- | ---: | ---: | ---: | --- |")
    for name, (theirs, plain) in ROWS.items():

        def ours(name=name):
            made = create_conformal(
                "full", create_adapter(name, text=text), alpha=ALPHA, quantile="published"
            )
            return made.fit(X, y).predict_set(queries)

        papers_sets(name, x, labels, words, q[:1])
        plain_sets(name, X, y, text, queries[:1])
        ours()
        own, sets = seconds(ours, repeats)
        papers, papers_found = seconds(lambda name=name, k=theirs: papers_sets(name, x, labels, words, q[:k]))
        loop, loop_found = seconds(lambda name=name, k=plain: plain_sets(name, X, y, text, queries[:k]))
        papers, loop = papers * len(queries) / theirs, loop * len(queries) / plain
        same = [float(np.mean(f == sets[: len(f)])) for f in (papers_found, loop_found)]
        print(
            f"| {name} | {own:.3f} s | {papers:.1f} s ({papers / own:.0f}×) | {loop:.1f} s ({loop / own:.0f}×) | "
            f"{same[0]:.2%}, {same[1]:.2%} |"
        )


if __name__ == "__main__":
    main()
