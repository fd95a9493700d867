"""Assemblies: what is read of tables, mapped, counted, there twice and held out."""

from __future__ import annotations

import csv
import shutil
from collections import Counter

import numpy as np
import pytest
from assemblies import lay_assembly
from typer.testing import CliRunner

from fewshot_flair.bank import image_key
from fewshot_flair.cli import app
from fewshot_flair.datasets.register import get_set
from fewshot_flair.encoders.seen import read_seen
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.pretraining import Assembly, Captions, assemble
from fewshot_flair.pretraining.loading import Order


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWSHOT_FLAIR_CACHE", str(tmp_path / "cache"))
    return lay_assembly(tmp_path / "sets")


def of(photographs, name):
    """Categories of the photographs whose path ends so."""
    row = next(i for i, p in enumerate(photographs.paths) if p.endswith(name))
    return {photographs.categories[k] for k in photographs.relation[row].nonzero()[0]}


def test_labels_become_categories_by_lists_columns_and_the_mapping(path):
    found = assemble(Assembly.read(path))
    assert of(found, "one/4.jpg") == {"media haze", "glaucoma"}  # a list, one of it mapped
    assert of(found, "one/3.jpg") == {"zebra eye"}
    assert of(found, "two/0.png") == {
        "no diabetic retinopathy",
        "drusens",
    }  # a grade, and a column of 0 and 1
    assert of(found, "two/1.png") == {"moderate diabetic retinopathy", "microaneurysms"}
    assert not any(p.endswith("one/2.jpg") for p in found.paths)  # mapped to nothing
    said = "\n".join(found.said)
    assert "2 photographs of labels that concepts leaves out left out" in said
    assert "not in the dictionary" in said
    assert "zebra eye" in said
    assert "whose names are the categories: drusen" in said


def test_photographs_there_twice_or_held_out_are_found_and_said(path):
    found = assemble(Assembly.read(path))
    assert not any(p.endswith(("two/7.png", "one/0.jpg")) for p in found.paths)
    pairs = found.duplicates.set_index("left_out")
    assert sorted(p.rpartition("/sets/")[2] for p in pairs.index) == ["one/0.jpg", "two/7.png"]
    twin = pairs.loc[next(p for p in pairs.index if p.endswith("two/7.png"))]
    assert (twin["set"], twin["other_set"], twin["same_bytes"], twin["categories_differ"]) == (
        "one",
        "two",
        True,
        True,
    )
    assert "1 with a held-out photograph); 2 photographs left out of training" in "\n".join(found.said)
    path.write_text('duplicates = "keep"\nnear_duplicates = true\n' + path.read_text())
    kept = assemble(Assembly.read(path))
    assert any(p.endswith("two/7.png") for p in kept.paths)
    assert not any(p.endswith("one/0.jpg") for p in kept.paths)  # a held-out one is never learnt from


def test_only_frequencies_writes_table_and_picture_and_trains_nothing(path, tmp_path):
    out = tmp_path / "model"
    done = CliRunner().invoke(app, ["pretrain", str(path), "--out", str(out), "--only-frequencies"])
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in out.iterdir()) == [
        "assembly.toml",
        "duplicates.csv",
        "frequencies.csv",
        "frequencies.png",
        "trained-on.csv",
    ]
    found = assemble(Assembly.read(path))
    sets = [["one", "two"][place] for place in found.sets]
    assert read_seen(out) == {image_key(p): name for p, name in zip(found.paths, sets, strict=True)}
    with (out / "frequencies.csv").open(newline="") as file:
        rows = {row["concept"]: row for row in csv.DictReader(file)}
    assert rows["glaucoma"] | {"share": ""} == {
        "concept": "glaucoma", "photographs": "5", "share": "", "shown": "5", "in_dictionary": "True",
        "in one": "5", "in two": "0",
    }  # fmt: skip
    assert rows["no diabetic retinopathy"]["shown"] == "6"  # four, of weight 1.5
    assert rows["zebra eye"]["in_dictionary"] == "False"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"unsure" = ""', '"unsuer" = ""', "no label of one.csv; did you mean 'unsure'"),
        ("weight = 1.5", "weigth = 1.5", "sets.1.weigth"),
        ("weight = 1.5", "weight = 0", "greater than 0"),
        ('name = "two"', 'name = "one"', "'one' is there twice"),
        ('vision = "nothing"', 'flair = "x/y"', "flair already says what embedding"),
        ('text = "nothing"', "", 'text_size is for text = "nothing"'),
        ('["dr", "drusen"]', '["dr", "drusne"]', "has no column 'drusne'"),
        ("batch_size = 8", "batch_size = 1", "recipe.batch_size"),
    ],
)
def test_what_is_wrong_in_an_assembly_is_named(path, old, new, message):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        assemble(Assembly.read(path))


def test_a_photograph_that_has_gone_and_an_assembly_that_is_not_there(path):
    shutil.rmtree(path.parent / "two")
    with pytest.raises(MissingFileError, match=r"two/table\.csv"):
        assemble(Assembly.read(path))
    with pytest.raises(MissingFileError, match="no assembly"):
        Assembly.read(path.with_name("other.toml"))


def test_a_held_out_set_that_flair_has_seen_is_said(path):
    text = path.read_text().replace('name = "clinic"', 'name = "IDRiD"')
    path.write_text(text)
    assert not any("may not be new" in text for text in assemble(Assembly.read(path)).said)
    for size in (
        "embedding = 16",
        *(line for line in text.splitlines() if "_size = {" in line),
        'text = "nothing"',
    ):
        text = text.replace(size, "")
    path.write_text(text.replace('vision = "nothing"', 'flair = "jusiro2/FLAIR"'))
    said = [text for text in assemble(Assembly.read(path)).said if "may not be new" in text]
    assert len(said) == 1
    assert get_set("idrid").trained_on("flair") in said[0]


def test_an_epoch_shows_each_set_as_often_as_its_weight_says_and_any_step_can_be_had_alone(path):
    assembly = Assembly.read(path)
    found = assemble(assembly)
    captions = Captions(found.categories)
    seen = []
    for seed in (0, 0, 1):
        order = Order(found.sets, [0.5, 2.5], found.relation, captions, 2, seed)
        n = [int((found.sets == place).sum()) for place in (0, 1)]
        assert order.steps == (round(0.5 * n[0]) + round(2.5 * n[1])) // 2
        last = order.draw(2 * order.steps - 1)
        seen.append([order.draw(step) for step in range(order.steps)] + [last])
        counts = Counter(index for step in range(order.steps) for _, index, _ in order.shown(step))
        assert max(counts[i] for i in np.flatnonzero(found.sets == 0)) == 1
        assert {counts[i] for i in np.flatnonzero(found.sets == 1)} <= {1, 2, 3}
        shown = [each for step in range(2 * order.steps) for each in order.shown(step)]
        assert len(set(shown)) == len(shown)  # each has augmentation of its own
    first, again, other = ([(d.shown, d.texts, d.relation.tolist()) for d in draws] for draws in seen)
    assert first == again
    assert first != other
    for draw in seen[0]:
        assert draw.relation.diagonal().all()  # a text is one of its own photograph's


def test_a_concept_that_cannot_be_shown_is_refused(path):
    path.write_text(
        path.read_text() + '\n[[sets]]\nname = "x"\nmanifest = "x.csv"\nconcepts = { "a" = "\\u001b[31m" }\n'
    )
    with pytest.raises(InputError, match="a character that cannot be shown"):
        Assembly.read(path)
