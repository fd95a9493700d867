"""The expert-knowledge dictionary and the prompts made of it."""

from __future__ import annotations

import pytest

from fewshot_flair.errors import InputError
from fewshot_flair.text.knowledge import categories, descriptions, prompts


def test_the_dictionarys_descriptions_come_first_then_the_name() -> None:
    assert descriptions("mild diabetic retinopathy") == [
        "few microaneurysms",
        "few hard exudates",
        "few retinal haemorrhages",
        "mild diabetic retinopathy",
    ]


def test_a_name_that_is_among_its_descriptions_is_not_said_twice() -> None:
    for name in categories():
        assert descriptions(name).count(name) == 1


def test_an_unknown_category_is_described_by_its_name() -> None:
    assert descriptions("retinal weather") == ["retinal weather"]


def test_case_does_not_matter_for_looking_up() -> None:
    assert descriptions("Microaneurysms") == ["small red dots", "Microaneurysms"]


def test_what_is_returned_can_be_changed_without_harm() -> None:
    descriptions("microaneurysms").clear()
    assert descriptions("microaneurysms") == ["small red dots", "microaneurysms"]


def test_prompts_fill_the_template() -> None:
    assert prompts(["a", "b"]) == ["A fundus photograph of a", "A fundus photograph of b"]
    assert prompts(["a"], "[CLS], seen") == ["a, seen"]
    with pytest.raises(InputError, match="has no"):
        prompts(["a"], "a fundus photograph")
