"""The shipped mini model: loads as any FLAIR does, is small, and scores what its card says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fewshot_flair.data import Manifest
from fewshot_flair.encoders import load_encoder
from fewshot_flair.encoders.catalogue import MINI
from fewshot_flair.rendering import GRADES, render_patient


def card_score(name: str, part: str) -> float:
    """A number of the model card: the row `name` of the table under the paragraph that holds `part`."""
    text = (MINI / "README.md").read_text(encoding="utf-8")
    section = text[text.index(part) :]
    found = re.search(rf"^\| {re.escape(name)} \| ([0-9.]+) \|$", section, re.MULTILINE)
    assert found, f"{name} is not in the card"
    return float(found.group(1))


def test_it_is_small_and_says_what_it_is_for():
    files = [p for p in MINI.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 10_000_000
    names = {p.relative_to(MINI).as_posix() for p in files}
    assert {"model.safetensors", "config.json", "README.md", "text_encoder/vocab.txt"} <= names
    card = (MINI / "README.md").read_text(encoding="utf-8")
    assert "rendered photographs only" in card
    assert "not for patients" in card


def test_its_card_states_what_it_should_reach():
    assert 0.40 <= card_score("zero-shot", "On the demo clinic") <= 0.70
    standard = card_score("16 shots, standard, logistic on backbone", "On the demo clinic")
    assert standard > card_score("zero-shot", "On the demo clinic") + 0.05
    assert standard > card_score("16 shots, realistic, logistic on backbone", "On the demo clinic")
    assert card_score("16 shots, standard, logistic on backbone", "real photographs of one clinic") > 0.30


def test_it_encodes_images_and_texts_of_one_space():
    encoder = load_encoder("mini")
    images = [p.image for p in render_patient(np.random.default_rng(0))]
    features = encoder.encode_images(images)
    assert features.backbone.shape == (2, encoder.feature_dims["backbone"])
    assert features.embedding.shape == (2, encoder.feature_dims["embedding"])
    np.testing.assert_allclose(np.linalg.norm(features.embedding, axis=1), 1.0, atol=1e-5)
    texts = encoder.encode_texts(["hard exudates", "A fundus photograph of glaucoma"])
    assert texts.shape == (2, encoder.feature_dims["embedding"])
    assert 1.0 < encoder.logit_scale <= 100.0


@pytest.mark.slow
def test_zero_shot_on_the_demo_clinic_is_what_the_card_says(demo):
    test = Manifest.read(demo).split("test")
    encoder = load_encoder("mini")
    embedding = encoder.encode_images(test.paths).embedding
    prototypes = encoder.prototypes(list(GRADES)).prototypes
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    guess = (embedding @ prototypes.T).argmax(1)
    recall = [np.mean(guess[test.y == grade] == grade) for grade in range(5)]
    assert np.mean(recall) == pytest.approx(card_score("zero-shot", "On the demo clinic"), abs=0.02)
