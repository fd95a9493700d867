"""The alignment loss against a double loop, the texts, and training that learns, repeats and resumes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fewshot_flair.encoders.config import BertConfig, FLAIRConfig, ResNetConfig
from fewshot_flair.encoders.flair_network import FLAIRNetwork
from fewshot_flair.encoders.tokenizer import WordPieces
from fewshot_flair.errors import InputError
from fewshot_flair.pretraining import (
    Captions,
    TrainingPlan,
    alignment_loss,
    build_vocabulary,
    pretrain,
    render_images,
)
from fewshot_flair.pretraining.augmentation import augment
from fewshot_flair.pretraining.image_sets import CATEGORIES, Sample
from fewshot_flair.text.knowledge import descriptions

PLAN = TrainingPlan(
    epochs=3,
    batch_size=8,
    learning_rate=2e-3,
    helpers=1.0,
    camera=True,
    small_epochs=1,
    small_size=64,
    bfloat16=False,
)


def brute_force(u, v, scale, relation):
    """The two sums of the paper, term by term, over the batch."""
    n, m = relation.shape
    cosines = (u @ v.T).tolist()
    total = 0.0
    for i in range(n):
        own = [j for j in range(m) if relation[i, j]]
        below = sum(math.exp(scale * cosines[i][j]) for j in range(m))
        total += sum(-math.log(math.exp(scale * cosines[i][j]) / below) for j in own) / max(1, len(own)) / n
    for j in range(m):
        own = [i for i in range(n) if relation[i, j]]
        below = sum(math.exp(scale * cosines[i][j]) for i in range(n))
        total += sum(-math.log(math.exp(scale * cosines[i][j]) / below) for i in own) / max(1, len(own)) / m
    return total / 2


@pytest.mark.parametrize("seed", range(3))
def test_loss_is_the_papers_double_sum(seed):
    torch.manual_seed(seed)
    u, v = (F.normalize(torch.randn(9, 5, dtype=torch.float64), dim=1) for _ in range(2))
    category = torch.randint(0, 4, (9,))
    relation = category[:, None] == category[None, :]
    assert alignment_loss(u, v, 14.0, relation).item() == pytest.approx(
        brute_force(u, v, 14.0, relation), rel=1e-12
    )
    several = relation | (torch.rand(9, 9) < 0.2)
    assert alignment_loss(u, v, 5.0, several).item() == pytest.approx(
        brute_force(u, v, 5.0, several), rel=1e-12
    )


def test_loss_of_one_category_each_is_the_contrastive_one():
    torch.manual_seed(0)
    u, v = (F.normalize(torch.randn(6, 4), dim=1) for _ in range(2))
    logits, target = 7.0 * u @ v.T, torch.arange(6)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(alignment_loss(u, v, 7.0, torch.eye(6, dtype=torch.bool)), expected)


def test_loss_does_not_depend_on_the_order_and_says_a_wrong_shape():
    torch.manual_seed(1)
    u, v = (F.normalize(torch.randn(7, 4, dtype=torch.float64), dim=1) for _ in range(2))
    relation = torch.rand(7, 7) < 0.4
    rows, columns = torch.randperm(7), torch.randperm(7)
    shuffled = alignment_loss(u[rows], v[columns], 3.0, relation[rows][:, columns])
    torch.testing.assert_close(shuffled, alignment_loss(u, v, 3.0, relation))
    with pytest.raises(InputError, match=r"\[7, 6\]"):
        alignment_loss(u, v[:6], 3.0, relation)


def test_texts_are_the_template_the_name_and_the_dictionary():
    captions = Captions(["severe diabetic retinopathy", "glaucoma of my clinic"])
    assert captions.texts[0][:2] == [
        "A fundus photograph of severe diabetic retinopathy",
        "severe diabetic retinopathy",
    ]
    assert set(descriptions("severe diabetic retinopathy")) <= set(captions.texts[0])
    assert captions.texts[1] == ["A fundus photograph of glaucoma of my clinic", "glaucoma of my clinic"]
    drawn = {captions.draw(np.random.default_rng(seed), 0) for seed in range(80)}
    assert drawn == set(captions.texts[0])


def test_vocabulary_has_every_word_of_the_texts_as_one_piece(tmp_path):
    texts = [t for group in Captions(CATEGORIES).texts for t in group]
    tokenizer = WordPieces(build_vocabulary(texts, tmp_path / "vocab.txt"))
    pieces = (tmp_path / "vocab.txt").read_text().splitlines()
    assert len(pieces) == len(set(pieces))
    ids, mask = tokenizer(texts)
    assert pieces.index("[UNK]") not in ids[mask.astype(bool)]
    ids, _ = tokenizer(["drusen zebra"])
    assert pieces.index("[UNK]") not in ids  # an unknown word is spelled by its letters


def test_augmentation_moves_lesion_maps_with_their_pixels():
    image = np.full((96, 96, 3), 40, np.uint8)
    image[24:32, 64:72] = 200
    maps = np.zeros((6, 12, 12), np.uint8)
    maps[2, 3, 8] = 1
    for seed in range(20):
        changed = augment(np.random.default_rng(seed), Sample(image, np.array([True]), maps), camera=True)
        row, column = (int(v) for v in np.unravel_index(changed.image[..., 0].argmax(), (96, 96)))
        marked = np.argwhere(changed.maps[2])
        assert len(marked) >= 1
        assert np.abs(8 * marked.mean(0) + 4 - (row, column)).max() <= 12
        assert changed.maps[[0, 1, 3, 4, 5]].sum() == 0


@pytest.fixture(scope="module")
def renderings(tmp_path_factory):
    return render_images(tmp_path_factory.mktemp("cache"), 12, 5, image_size=96, workers=1)


def network(renderings, folder) -> FLAIRNetwork:
    texts = [t for group in Captions(renderings.categories).texts for t in group]
    tokenizer = WordPieces(build_vocabulary(texts, folder / "vocab.txt"))
    torch.manual_seed(0)
    bert = BertConfig(
        vocab_size=tokenizer.size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=80, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    vision = ResNetConfig("basic", (1, 1, 1), (8, 16, 32))
    return FLAIRNetwork(FLAIRConfig(proj_dim=16, image_size=96, vision=vision), bert, tokenizer)


def test_renderings_are_read_again_as_they_were_made(renderings, tmp_path):
    first = render_images(tmp_path, 3, 5, image_size=96, workers=1)
    again = render_images(tmp_path, 3, 5, image_size=96, workers=1)
    assert len(first) == len(again) == 6
    for index in range(6):
        one, other, larger = (r.sample(index) for r in (first, again, renderings))
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.image, larger.image)  # more patients change none of the first
        np.testing.assert_array_equal(one.maps, larger.maps)
        np.testing.assert_array_equal(one.relation, larger.relation)


def test_training_lowers_the_loss_and_goes_on_where_it_was_stopped(renderings, tmp_path):
    whole = network(renderings, tmp_path)
    history = pretrain(whole, renderings, PLAN)
    assert history[-1]["loss"] < history[0]["loss"]
    pretrain(network(renderings, tmp_path), renderings, PLAN, checkpoint=tmp_path / "ck.pt", epochs_now=1)
    resumed = network(renderings, tmp_path)
    assert len(pretrain(resumed, renderings, PLAN, checkpoint=tmp_path / "ck.pt")) == PLAN.epochs
    for name, tensor in resumed.state_dict().items():
        torch.testing.assert_close(tensor, whole.state_dict()[name], rtol=0, atol=1e-6, msg=name)
    other, fresh = replace(PLAN, learning_rate=1.0), network(renderings, tmp_path)
    with pytest.raises(InputError, match="other settings"):
        pretrain(fresh, renderings, other, checkpoint=tmp_path / "ck.pt")


def test_training_without_helpers_is_the_published_objective_alone(renderings, tmp_path):
    history = pretrain(network(renderings, tmp_path), renderings, replace(PLAN, helpers=0.0, epochs=1))
    assert history[0]["helpers"] == 0.0
    assert history[0]["loss"] == history[0]["alignment"]
