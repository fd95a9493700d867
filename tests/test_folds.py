"""Folds in studies, the protocol of FLAIR's tables, augmented copies, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from published_sets import lay
from sklearn.linear_model import LogisticRegression

from fewshot_flair import FeatureBank, Study, load_encoder, run_study
from fewshot_flair.datasets import prepare_set
from fewshot_flair.encoders.augmented import AugmentedEncoder, augment_pixels
from fewshot_flair.episodes.folds import flair_folds
from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import score_draws
from fewshot_flair.experiment.grid import ALL_SHOTS
from fewshot_flair.report.page import write_report

CLASSES = ["no glaucoma", "glaucoma"]


@pytest.fixture(scope="module")
def refuge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty photographs in REFUGE's layout, as `data prepare` writes their manifest, and a row said twice."""
    folder = tmp_path_factory.mktemp("refuge")
    names = [f"train/Images/{letter}{i:04}.jpg" for i in range(1, 16) for letter in "gn"]
    lay(folder, names)
    table = folder / "table.csv"
    rows = [f"25_REFUGE/{name},['{'glaucoma' if 'g0' in name else 'no glaucoma'}']" for name in names]
    table.write_text("\n".join(["image,categories", *rows, rows[3], ""]))
    prepare_set("refuge", folder, folder / "refuge.csv", split=table)
    return folder / "refuge.csv"


def study(manifest: Path, **entries: object) -> Study:
    data = [{"name": "REFUGE", "manifest": str(manifest), "classes": CLASSES}]
    return Study.from_dict({"name": "folds", "adapters": ["zero-shot", "logistic"], "data": data} | entries)


@pytest.fixture(scope="module")
def published(refuge, demo_cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("published")
    return run_study(study(refuge, protocol="flair-2025"), out, cache=demo_cache), out


def test_the_protocol_fills_in_folds_shots_and_draws(refuge):
    made = study(refuge, protocol="flair-2025")
    assert (made.folds, made.shots, made.seeds) == (5, [ALL_SHOTS], [0])
    with pytest.raises(InputError, match="five folds, not 3"):
        study(refuge, protocol="flair-2025", folds=3)
    with pytest.raises(InputError, match=r"no sampling protocol 'flair'; there are .*flair-2025"):
        study(refuge, protocol="flair")


def test_flairs_protocol_is_what_a_plain_loop_gives(published, refuge, demo_cache):
    results, out = published
    table = pd.read_csv(refuge)
    y = np.array([CLASSES.index(label) for label in table["label"]])
    assert len(y) == 31  # a protocol takes rows as they come, the repeated one too
    bank = FeatureBank.open(demo_cache, load_encoder("mini"))
    splits = pd.read_csv(out / "splits.csv")
    key = splits.drop_duplicates("image").set_index("image")["key"]
    X = bank.read([key[image] for image in table["image"]], "backbone")
    rows = results.rows[results.rows["adapter"] == "logistic"].sort_values("fold")
    for fold, (train, test) in enumerate(flair_folds(y)):
        plain = LogisticRegression(C=0.316, max_iter=1000, class_weight="balanced").fit(X[train], y[train])
        found = score_draws(y[test], plain.predict_proba(X[test])[None]).values["balanced_accuracy"][0]
        assert rows["balanced_accuracy"].iloc[fold] == pytest.approx(found)
        assert rows["n_support"].iloc[fold] == len(train)
        own = splits[splits["fold"] == fold]
        assert own["split"].value_counts().to_dict() == {"train": len(train), "test": len(test)}
    zero = results.rows[results.rows["adapter"] == "zero-shot"]
    assert len(zero) == 5
    assert zero["balanced_accuracy"].nunique() == 1  # on every row, whatever the fold


def test_what_the_protocol_does_is_said(published):
    results, out = published
    said = " ".join(results.record.clinics[0].remarks)
    assert "patients are not kept together" in said
    assert "same photograph is in training and in test" in said
    assert results.record.clinics[0].known_set == "refuge"
    write_report(results, folder=out)
    page = (out / "report.html").read_text()
    assert "takes" not in page or "as they come" in page
    (terms,) = results.record.clinics[0].terms  # of the card
    assert all(word in page and word in terms for word in ("licence: ", "cite: "))
    assert "Protocol flair-2025 divides the rows as they come" in page
    assert ">all<" in page


def test_folds_of_a_study_test_each_row_once_and_part_no_photograph(refuge, demo_cache, tmp_path):
    made = run_study(study(refuge, folds=3, shots=[2, "all"], seeds=2), tmp_path, cache=demo_cache)
    assert len(made.rows) == 2 * 2 * 3 * 2  # adapters, shots, folds, seeds
    assert made.rows.groupby(["adapter", "shots", "fold"])["seed"].nunique().eq(2).all()
    splits = pd.read_csv(tmp_path / "splits.csv")
    tested = splits[splits["split"] == "test"]
    assert len(tested) == tested["image"].nunique() == 30
    for _, fold in splits.groupby("fold"):
        assert not {*fold.loc[fold["split"] == "train", "key"]} & {*fold.loc[fold["split"] == "test", "key"]}
    whole = made.rows[made.rows["shots"] == ALL_SHOTS]
    assert whole["n_support"].eq(20).all()
    assert "left out, for saying again" in " ".join(made.record.clinics[0].remarks)
    again = run_study(study(refuge, folds=3, shots=[2, "all"], seeds=2), tmp_path, cache=demo_cache)
    pd.testing.assert_frame_equal(made.rows, again.rows)


def test_what_folds_do_not_go_with_is_refused(refuge, tmp_path):
    with pytest.raises(InputError, match="leave save or folds out"):
        run_study(study(refuge, folds=3, save=True), tmp_path)
    two = study(refuge, folds=3).model_dump()
    two["data"][0] = dict(two["data"][0]) | {"test_on": "other.csv"}
    with pytest.raises(InputError, match="leave test_on out"):
        run_study(Study.from_dict(two), tmp_path)
    few = refuge.parent / "few.csv"
    few.write_text("\n".join(refuge.read_text().splitlines()[:5]))
    with pytest.raises(InputError, match="no class of its 4 rows has five"):
        run_study(study(few, protocol="flair-2025"), tmp_path)
    with pytest.raises(InputError, match="31 folds need"):
        run_study(study(refuge, folds=31), tmp_path)


def test_published_numbers_stand_only_beside_the_papers_photographs(refuge, demo_cache, tmp_path):
    numbers = {
        "source": "a paper",
        "needs": {"protocol": "flair-2025", "images": {"REFUGE": 400}},
        "rows": [{"data": "REFUGE", "adapter": "zero-shot", "metric": "balanced_accuracy", "value": 0.883}],
    }
    (tmp_path / "published.json").write_text(json.dumps(numbers))
    asked = study(
        refuge, protocol="flair-2025", adapters=["zero-shot"], published=str(tmp_path / "published.json")
    )
    results = run_study(asked, tmp_path / "out", cache=demo_cache)
    write_report(results, folder=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "REFUGE has 31 images here, not 400" in page
    assert "88.3" not in page


def test_a_set_that_the_encoder_was_trained_on_is_said(tmp_path, random_flair):
    lay(tmp_path / "p", [f"{i}.jpg" for i in range(4)])
    rows = [f"{i}.jpg,{['mild', 'severe'][i % 2]},{['train', 'test'][i // 2]}" for i in range(4)]
    (tmp_path / "p" / "idrid.csv").write_text("\n".join(["image,label,split", *rows]))
    entries = {
        "name": "seen",
        "adapters": ["zero-shot"],
        "shots": [1],
        "seeds": 1,
        "encoders": [{"name": "flair", "load": f"flair:{random_flair}"}],
        "data": [{"name": "ours", "manifest": str(tmp_path / "p" / "idrid.csv")}],
    }
    results = run_study(Study.from_dict(entries), tmp_path / "out", cache=tmp_path / "cache")
    said = [text for text in results.record.clinics[0].remarks if "pre-trained" in text]
    assert len(said) == 1
    assert "by its name this is IDRiD" in said[0]
    assert "training photographs" in said[0]
    write_report(results, folder=tmp_path / "out")
    assert said[0][:60] in (tmp_path / "out" / "report.html").read_text()


def test_augmented_copies_are_kept_and_used(refuge, demo_cache, tmp_path):
    entries = {"shots": [4], "folds": 2, "seeds": 1}
    plain = run_study(study(refuge, **entries), tmp_path / "plain", cache=demo_cache)
    asked = study(refuge, feature_augmentation=3, test_augmentation=2, **entries)
    made = run_study(asked, tmp_path / "made", cache=demo_cache)
    assert not np.allclose(plain.rows["log_loss"], made.rows["log_loss"])
    assert made.rows["n_support"].eq(8).all()
    encoder = load_encoder("mini")
    banks = [FeatureBank.open(demo_cache, AugmentedEncoder(encoder, copy)) for copy in range(3)]
    assert len({bank.folder for bank in banks}) == 3
    assert all(len(bank) >= 30 for bank in banks)
    # by a plain loop: fitted on three copies of the support rows, tested on the mean of the logits over two
    splits = pd.read_csv(tmp_path / "made" / "splits.csv")
    test = splits[(splits["fold"] == 0) & (splits["split"] == "test")]
    y = np.array([CLASSES.index(label) for label in test["label"]])
    text = encoder.prototypes(CLASSES)
    logits = []
    for bank in banks[:2]:
        X = bank.read(test["key"].tolist(), "embedding")
        logits.append(
            text.scale * X @ (text.prototypes / np.linalg.norm(text.prototypes, axis=1, keepdims=True)).T
        )
    p = np.exp(np.mean(logits, axis=0))
    found = score_draws(y, (p / p.sum(1, keepdims=True))[None]).values["macro_auroc"][0]
    row = made.rows[(made.rows["adapter"] == "zero-shot") & (made.rows["fold"] == 0)]
    assert row["macro_auroc"].iloc[0] == pytest.approx(found, abs=1e-6)
    with pytest.raises(InputError, match="feature_augmentation"):
        run_study(study(refuge, feature_augmentation=3, calibrate=True), tmp_path / "c", cache=demo_cache)


def test_a_copy_depends_on_the_photograph_and_its_number_alone(images):
    encoder = load_encoder("mini")
    one, two = AugmentedEncoder(encoder, 0), AugmentedEncoder(encoder, 1)
    assert one.fingerprint_id != two.fingerprint_id != encoder.fingerprint_id
    np.testing.assert_array_equal(one.prepare(images[0]), AugmentedEncoder(encoder, 0).prepare(images[0]))
    copies = [AugmentedEncoder(encoder, copy).prepare(images[0]) for copy in range(12)]
    assert len({copy.tobytes() for copy in copies}) > 3
    assert all(
        copy.shape == encoder.prepare(images[0]).shape and copy.min() >= 0 and copy.max() <= 1
        for copy in copies
    )


def test_how_often_a_change_is_drawn():
    rng = np.random.default_rng(0)
    pixels = np.random.default_rng(1).random((3, 16, 16), dtype=np.float32)
    changed = [augment_pixels(pixels, rng) for _ in range(2000)]
    same = np.mean([np.array_equal(each, pixels) for each in changed])
    flipped = np.mean([np.array_equal(each, pixels[:, :, ::-1]) for each in changed])
    assert same == pytest.approx(0.5 * 0.75 * 0.75, abs=0.03)
    assert flipped == pytest.approx(0.5 * 0.75 * 0.75, abs=0.03)
