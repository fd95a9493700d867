"""Support sets: published draws index for index, our own nested ones, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from fewshot_flair.episodes import Episodes, EpisodeSampler, Prevalence
from fewshot_flair.errors import InputError

LONG_TAIL = np.repeat(np.arange(5), [258, 109, 84, 34, 15])


@pytest.mark.parametrize(
    "tag", ["standard-4-0", "relaxed-4-1", "realistic-4-1", "realistic-16-2", "realistic-1-3"]
)
def test_published_draws_are_repeated_index_for_index(parity, tag):
    scenario, shots, seed = tag.split("-")
    sampler = EpisodeSampler(int(shots), scenario, protocol="sstext-2025")
    drawn = sampler.sample(parity["refs_train"], seed=int(seed))
    assert drawn.dtype == np.int64
    np.testing.assert_array_equal(drawn, parity[f"support|{tag}"])


@pytest.mark.parametrize("tag", ["semi-1-0", "semi-4-1", "semi-16-2"])
def test_published_unlabelled_draws_are_repeated_index_for_index(parity, tag):
    _, shots, seed = tag.split("-")
    sampler = EpisodeSampler(int(shots), "realistic", protocol="sstext-2025")
    episodes = sampler.sample_many(parity["refs_train"], [int(seed)], unlabeled=60)
    np.testing.assert_array_equal(episodes.indices[0], parity[f"support|{tag}"])
    np.testing.assert_array_equal(episodes.unlabeled[0], parity[f"unlabelled|{tag}"])


@pytest.mark.parametrize(
    ("scenario", "shots", "expected"),
    [
        ("standard", 4, [4, 4, 4, 4, 4]),
        ("relaxed", 4, [10, 4, 3, 1, 1]),
        ("relaxed", 1, [1, 1, 1, 1, 1]),
        ("realistic", 1, [3, 1, 1, 0, 0]),
        ("realistic", 16, [41, 17, 13, 5, 2]),
    ],
)
def test_counts_of_the_scenarios(scenario, shots, expected):
    assert EpisodeSampler(shots, scenario).counts(LONG_TAIL).tolist() == expected


def test_rounding_is_to_even_and_the_surplus_comes_off_the_first_largest_class():
    pool = np.repeat(np.arange(4), [3, 3, 1, 1])  # 4 shots: 16 p = 6, 6, 2, 2
    assert EpisodeSampler(4, "realistic", allow_fewer=True).counts(pool).tolist() == [3, 3, 1, 1]
    thirds = np.repeat(np.arange(4), [40, 40, 40, 8])  # 1 shot: 4 p = 1.25, 1.25, 1.25, 0.25
    assert EpisodeSampler(1, "realistic").counts(thirds).tolist() == [1, 1, 1, 0]
    assert EpisodeSampler(2, "relaxed").counts(thirds).tolist() == [2, 2, 2, 1]  # 2.5 rounds to 2
    over = np.repeat(np.arange(3), [36, 36, 28])  # 1 shot of 3: 1.08, 1.08, 0.84
    assert EpisodeSampler(1, "relaxed").counts(over).tolist() == [1, 1, 1]
    surplus = np.repeat(np.arange(4), [35, 35, 15, 15])  # 3 shots: 12 p = 4.2, 4.2, 1.8, 1.8
    assert EpisodeSampler(3, "realistic").counts(surplus).tolist() == [4, 4, 2, 2]
    trimmed = np.repeat(np.arange(4), [160, 160, 40, 40])  # 1 shot of 4: 1.6, 1.6, 0.4, 0.4 and 1 at least
    assert EpisodeSampler(1, "relaxed").counts(trimmed).tolist() == [1, 1, 1, 1]
    assert EpisodeSampler(4, "relaxed").counts(np.repeat(np.arange(3), [90, 6, 4])).tolist() == [10, 1, 1]


def test_a_draw_with_fewer_shots_begins_the_one_with_more():
    few, many = (EpisodeSampler(k).sample(LONG_TAIL, seed=7) for k in (4, 12))
    for c in range(5):
        own = many[LONG_TAIL[many] == c]
        np.testing.assert_array_equal(few[LONG_TAIL[few] == c], own[:4])


def test_adding_a_class_leaves_the_draws_of_the_others():
    less = LONG_TAIL[LONG_TAIL < 4]
    four = EpisodeSampler(8).sample(less, seed=1)
    five = EpisodeSampler(8).sample(LONG_TAIL, seed=1)
    np.testing.assert_array_equal(four, five[LONG_TAIL[five] < 4])


@pytest.mark.parametrize("protocol", ["fewshot-flair", "sstext-2025"])
def test_rows_are_distinct_class_by_class_and_depend_on_the_seed(protocol):
    rng = np.random.default_rng(0)
    y = rng.permutation(LONG_TAIL)
    sampler = EpisodeSampler(8, protocol=protocol)
    episodes = sampler.sample_many(y, range(6))
    for seed, rows in zip(episodes.seeds, episodes, strict=True):
        assert len(set(rows.tolist())) == len(rows) == 40
        assert y[rows].tolist() == np.repeat(np.arange(5), 8).tolist()
        np.testing.assert_array_equal(rows, sampler.sample(y, seed=seed))
    assert len({tuple(rows) for rows in episodes}) == 6


def test_names_draw_as_their_codes_do():
    names = ["none", "mild", "moderate", "severe", "proliferative"]
    by_name = EpisodeSampler(3).sample(np.array(names)[LONG_TAIL], seed=2, classes=names)
    np.testing.assert_array_equal(by_name, EpisodeSampler(3).sample(LONG_TAIL, seed=2))


def test_unlabelled_rows_are_never_support_rows_and_keep_the_proportions():
    episodes = EpisodeSampler(4, "realistic").sample_many(LONG_TAIL, range(5), unlabeled=100)
    for support, rest in zip(episodes, episodes.unlabeled, strict=True):
        assert not set(support) & set(rest)
        assert len(set(rest.tolist())) == len(rest) <= 100
        np.testing.assert_allclose(np.bincount(LONG_TAIL[rest], minlength=5), [52, 22, 17, 7, 3], atol=1)


@pytest.mark.parametrize(
    ("pool", "test", "expected"),
    [  # class counts of the paper's split tables of MMAC and mBRSET, and of its draws from them
        ([366, 379, 187, 37, 21], [70, 72, 58, 8, 7], [39, 40, 32, 4, 4]),
        ([1869, 129, 268, 58, 116], [1881, 143, 300, 24, 96], [92, 7, 15, 1, 5]),
    ],
)
def test_unlabelled_rows_may_have_the_test_prevalence_as_published(pool, test, expected):
    y = np.repeat(np.arange(5), pool)
    sampler = EpisodeSampler(1, Prevalence(tuple(test), trim=False), protocol="sstext-2025")
    episodes = sampler.sample_many(y, [0], unlabeled=120, prevalence=test)
    assert np.bincount(y[episodes.unlabeled[0]], minlength=5).tolist() == expected
    assert not set(episodes.indices[0]) & set(episodes.unlabeled[0])


def test_a_pool_gives_the_unlabelled_rows_that_it_has():
    few, none = (EpisodeSampler(1).sample_many(y, [0], unlabeled=5) for y in ([0, 1, 1], [0, 1]))
    assert [len(few.unlabeled[0]), len(none.unlabeled[0])] == [1, 0]


def test_padding_marks_the_real_places():
    episodes = Episodes.of([[3, 1, 2], [5]])
    assert episodes.index.tolist() == [[3, 1, 2], [5, 0, 0]]
    assert episodes.mask.tolist() == [[True, True, True], [True, False, False]]


def test_too_few_images_names_the_class_the_numbers_and_the_mend():
    with pytest.raises(InputError, match=r"'4' has 15 of 16; .*realistic scenario.*allow fewer"):
        EpisodeSampler(16).sample(LONG_TAIL)
    with pytest.raises(InputError, match="'rare' has 0 of 2"):
        EpisodeSampler(2).sample([0, 0, 1, 1], classes=["a", "b", "rare"])
    fewer = EpisodeSampler(16, allow_fewer=True).sample(LONG_TAIL)
    assert np.bincount(LONG_TAIL[fewer]).tolist() == [16, 16, 16, 16, 15]


def test_a_class_beyond_the_pool_keeps_its_place():
    assert EpisodeSampler(2, "realistic").counts([0] * 9 + [1] * 9, n_classes=3).tolist() == [3, 3, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EpisodeSampler(0), "shots is 0"),
        (lambda: EpisodeSampler(2, "realistc"), "did you mean 'realistic'"),
        (lambda: EpisodeSampler(2, protocol="other"), "no sampling protocol 'other'"),
        (lambda: EpisodeSampler(2).sample([]), "empty"),
        (lambda: EpisodeSampler(1).sample([0, 1, 7], n_classes=3), "label 7 is not one of the 3 classes"),
        (lambda: EpisodeSampler(1).sample([0.5, 1]), "whole numbers"),
        (lambda: EpisodeSampler(1).sample(["a", "b"], classes=["a"]), "label 'b' is not one of"),
        (lambda: EpisodeSampler(1).sample_many([0, 1], []), "no seeds"),
        (
            lambda: EpisodeSampler(1).sample_many([0, 1, 1], [0], unlabeled=1, prevalence=[1]),
            "1 numbers for 2",
        ),
        (
            lambda: EpisodeSampler(1).sample_many([0, 1], [0], unlabeled=1, prevalence=[1, -1]),
            "none negative",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
