"""The benchmark compares like with like: the papers' way, written plainly, gives what the adapters give."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_flair import (
    EpisodeSampler,
    TextPrototypes,
    create_adapter,
    create_conformal,
    fit_episodes,
    list_adapters,
)

FILE = Path(__file__).resolve().parents[1] / "recipes" / "bench-adapters" / "papers_way.py"


def loaded(file):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


papers_way = loaded(FILE)
METHODS = papers_way.METHODS | loaded(FILE.with_name("transductive_way.py")).METHODS


def test_every_adapter_is_in_the_benchmark():
    wholes = {info.name for info in list_adapters() if not info.needs_tower and info.features != "local"}
    assert set(METHODS) == wholes


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"clip-adapter"}))  # its start is random
def test_both_ways_give_the_same_logits(name):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((4, 32))
    y = np.repeat(np.arange(4), 10)
    X = centres[y] + rng.standard_normal((40, 32))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    samples, described = X[::5] + 0.1, y[::5]
    text = TextPrototypes(list("abcd"), centres * 0.15, 2.5, samples, described)
    episodes = EpisodeSampler(4).sample_many(y, [0, 1], unlabeled=12)
    words = {
        "prototypes": torch.from_numpy(np.asarray(text.prototypes)),
        "samples": torch.from_numpy(np.asarray(text.samples)),
        "sample_classes": torch.from_numpy(np.asarray(text.sample_classes)),
        "scale": torch.tensor(text.scale),
    }
    ours = fit_episodes(create_adapter(name, text=text), X, y, episodes).logits(X)
    x, labels = torch.from_numpy(X), torch.from_numpy(y)
    for rows, free, logits in zip(episodes.indices, episodes.unlabeled, ours, strict=True):
        task = papers_way.Task(x[rows], labels[rows], x, words, x[free])
        theirs = METHODS[name](task).detach().numpy()
        tolerance = 0.02 if name == "logistic" else 2e-4  # scikit-learn stops early
        np.testing.assert_allclose(logits, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize(("name", "n_test"), [("ss-text", 20), ("lp", 1)])
def test_both_loops_of_refits_give_the_sets_of_full(name, n_test, monkeypatch):
    """In float64; in the papers' float32 some sets of a sure classifier differ by rounding."""
    monkeypatch.syspath_prepend(str(FILE.parent))
    spec = importlib.util.spec_from_file_location("bench_sets", FILE.with_name("sets.py"))
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    monkeypatch.delitem(sys.modules, "bench")
    X, y, queries, text = bench.clinic(32, 3, per_class=8, n_test=n_test)
    words = {k: v.double() if v.is_floating_point() else v for k, v in bench.in_torch(text).items()}
    full = create_conformal("full", create_adapter(name, text=text), quantile="published").fit(X, y)
    given = (torch.from_numpy(X).double(), torch.from_numpy(y), words, torch.from_numpy(queries).double())
    sets = full.predict_set(queries)
    assert sets.any()
    np.testing.assert_array_equal(bench.papers_sets(name, *given), sets)
    np.testing.assert_array_equal(bench.plain_sets(name, X, y, text, queries), sets)
