"""Prompt learning through the mini model's text tower."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_flair import create_adapter, fit_episodes, list_adapters, load_encoder
from fewshot_flair.errors import InputError
from fewshot_flair.models import load_adapter, save_adapter

CLASSES = ["normal", "mild diabetic retinopathy", "drusens"]
both = pytest.mark.parametrize("name", ["coop", "kgcoop"])


@pytest.fixture(scope="module")
def tower():
    return load_encoder("mini")


@pytest.fixture(scope="module")
def clinic(tower):
    """Features around the class prototypes, shuffled labels of a few, and the prototypes."""
    text = tower.prototypes(CLASSES)
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 6)
    X = np.asarray(text.prototypes)[y] + 0.15 * rng.standard_normal((18, text.n_features))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y, text


def test_adapters_that_need_a_tower_are_these():
    assert {info.name for info in list_adapters() if info.needs_tower} == {"coop", "kgcoop"}


@both
def test_with_no_step_to_speak_of_it_is_zero_shot_with_the_plain_template(tower, clinic, name):
    X, y, text = clinic
    adapter = create_adapter(name, text=text, tower=tower, steps=1, step_size=1e-12).fit(X, y)
    plain = tower.encode_texts([f"A fundus photograph of {c}" for c in CLASSES])
    np.testing.assert_allclose(adapter.logits(X), text.scale * X @ plain.T, atol=1e-4)


@both
def test_training_fits_the_shots_batched_as_one_by_one(tower, clinic, name):
    X, y, text = clinic
    adapter = create_adapter(name, text=text, tower=tower, steps=20, step_size=0.02)
    episodes = [np.arange(18), np.array([0, 7, 13])]
    together = fit_episodes(adapter, X, y, episodes).logits(X)
    for rows, logits in zip(episodes, together, strict=True):
        alone = adapter.fit(X[rows], y[rows]).logits(X)
        np.testing.assert_allclose(logits, alone, rtol=0, atol=1e-3 * np.abs(alone).max())

    def loss(logits):
        return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(y)))

    untrained = create_adapter(name, text=text, tower=tower, steps=1, step_size=1e-12).fit(X, y).logits(X)
    assert loss(together[0]) < loss(untrained)


def test_kgcoop_stays_nearer_to_the_prototypes(tower, clinic):
    X, y, text = clinic
    t = np.asarray(text.prototypes) / np.linalg.norm(text.prototypes, axis=1, keepdims=True)
    kept = {}
    for name, more in (("coop", {}), ("kgcoop", {"lam": 100.0})):
        adapter = create_adapter(name, text=text, tower=tower, steps=30, step_size=0.01, **more).fit(X, y)
        kept[name] = (adapter.head_.weights[0] / text.scale * t).sum(axis=1).mean()
    assert kept["kgcoop"] > kept["coop"]


@both
def test_a_missing_tower_is_said(clinic, name):
    X, y, text = clinic
    with pytest.raises(InputError, match=f"{name} needs the text tower that made the prototypes"):
        create_adapter(name, text=text).fit(X, y)


def test_what_was_learned_is_kept_without_the_tower(tower, clinic, tmp_path):
    X, y, text = clinic
    adapter = create_adapter("coop", text=text, tower=tower, steps=2).fit(X, y)
    loaded, _ = load_adapter(save_adapter(adapter, tmp_path))
    assert loaded.tower is None
    assert loaded.logits(X).tobytes() == adapter.logits(X).tobytes()
