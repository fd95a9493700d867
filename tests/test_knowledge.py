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


@pytest.mark.parametrize(
    ("written", "category"),
    [
        ("No DR", "no diabetic retinopathy"),
        ("mild_NPDR", "mild diabetic retinopathy"),
        ("Moderate non-proliferative DR", "moderate diabetic retinopathy"),
        ("PDR", "proliferative diabetic retinopathy"),
        ("Proliferate DR", "proliferative diabetic retinopathy"),
        ("AMD", "age-related macular degeneration"),
        ("Drusen", "drusens"),
    ],
)
def test_usual_spellings_have_the_categorys_descriptions(written: str, category: str) -> None:
    assert descriptions(written) == descriptions(category)


def test_hyphens_and_british_spelling_do_not_matter() -> None:
    amd = descriptions("age-related macular degeneration")
    assert descriptions("Age related macular degeneration")[:-1] == amd[:-1]
    assert descriptions("diabetic macular oedema")[:4] == descriptions("diabetic macular edema")[:4]
    assert descriptions("hemorrhages")[0] == descriptions("haemorrhages")[0]


def test_what_is_returned_can_be_changed_without_harm() -> None:
    descriptions("microaneurysms").clear()
    assert descriptions("microaneurysms") == ["small red dots", "microaneurysms"]


def test_prompts_fill_the_template() -> None:
    assert prompts(["a", "b"]) == ["A fundus photograph of a", "A fundus photograph of b"]
    assert prompts(["a"], "[CLS], seen") == ["a, seen"]
    with pytest.raises(InputError, match="has no"):
        prompts(["a"], "a fundus photograph")
