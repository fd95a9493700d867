"""Rows of the results: one method, one setting, one test side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.adapters import create_adapter, fit_episodes
from fewshot_flair.adapters.heads import Head
from fewshot_flair.episodes import Episodes
from fewshot_flair.evaluation import score_draws
from fewshot_flair.experiment.clinic import kind_at_hand
from fewshot_flair.experiment.spec import AdapterSpec
from fewshot_flair.finetuning.sides import Side
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["frozen_rows", "metrics_of", "start_head"]

PROBES = {True: "lp", False: "logistic"}
"""The adapter that is the linear probe, with and without text."""


def metrics_of(
    side: Side, logits: NDArray[np.floating], classes: list[str], *, ordinal: bool
) -> list[dict[str, float]]:
    """Every metric of each draw's logits (B, n, C) on a side, with the recall of each class."""
    from scipy.special import softmax

    scored = score_draws(side.y, softmax(logits.astype(np.float64), axis=-1), ordinal=ordinal)
    columns = {key: values.tolist() for key, values in scored.values.items()}
    columns |= {f"recall_{name}": scored.recall[:, c].tolist() for c, name in enumerate(classes)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def start_head(
    train: Side, text: TextPrototypes | None, classes: list[str], rows: NDArray[np.int64], start: str
) -> tuple[str, Head]:
    """The feature's kind and the head that training on rows starts from (see `StartHead`)."""
    name = "zero-shot" if start == "zero-shot" and text is not None else PROBES[text is not None]
    adapter = create_adapter(name, text=text)
    kind = kind_at_hand(adapter.features, train.encoder.feature_dims)
    fitted = fit_episodes(adapter, train.features(kind), train.y, [rows], classes=range(len(classes)))
    return kind, fitted.head


def frozen_rows(
    train: Side,
    tests: list[Side],
    spec: AdapterSpec,
    text: TextPrototypes | None,
    episodes: Episodes,
    classes: list[str],
) -> list[dict[str, Any]]:
    """Rows of a frozen adapter: one a seed and test side."""
    adapter = create_adapter(spec.name, text=text, **spec.params)
    kind = kind_at_hand(adapter.features, train.encoder.feature_dims)
    fits = fit_episodes(adapter, train.features(kind), train.y, episodes, classes=range(len(classes)))
    numbers = sum(int(np.prod(array.shape[1:])) for array in fits.head.arrays().values())
    cost = {
        "epochs": 0,
        "seconds": fits.seconds / len(episodes),
        "trainable_parameters": 0 if not adapter.needs_shots else numbers,
        "bytes": 4 * numbers,
    }
    rows = []
    for side in tests:
        found = metrics_of(side, fits.logits(side.features(kind)), classes, ordinal=train.manifest.ordinal)
        for seed, support, metrics in zip(episodes.seeds, episodes, found, strict=True):
            names = {"method": spec.label, "kind": "frozen", "seed": seed, "members": 1}
            rows.append(
                names
                | {"test": side.name, "distribution": side.distribution, "n_support": len(support)}
                | metrics
                | cost
            )
    return rows
