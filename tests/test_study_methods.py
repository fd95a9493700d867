"""Methods of fine-tuning and further test sides as parts of a study: one engine, one folder, one table."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.special import softmax
from tiny import CLASSES, draw_clinic, write_flair
from typer.testing import CliRunner

from fewshot_flair import create_adapter, fit_episodes, load_adapter, load_encoder
from fewshot_flair.bank import image_key
from fewshot_flair.cli import app, show
from fewshot_flair.encoders.corrupted import CorruptedEncoder
from fewshot_flair.encoders.seen import SEEN, read_seen, write_seen
from fewshot_flair.episodes import EpisodeSampler
from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import balanced_accuracy, score
from fewshot_flair.experiment import Encoding, Study, load_clinics, run_study
from fewshot_flair.experiment import cells as engine
from fewshot_flair.experiment.results import StudyResults
from fewshot_flair.finetuning import METHODS, TunedNetwork
from fewshot_flair.finetuning.checkpoint import read_checkpoint
from fewshot_flair.finetuning.photographs import Photographs
from fewshot_flair.finetuning.training import logits_of
from fewshot_flair.images import CORRUPTIONS, corruption_of
from fewshot_flair.report.context import Context
from fewshot_flair.report.page import write_report
from fewshot_flair.report.sections import advice

PAGE = (Path(__file__).parents[1] / "docs" / "robustness.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two clinics, a FLAIR, and a cache that all tests share."""
    folder = tmp_path_factory.mktemp("place")
    draw_clinic(folder / "clinic", 36, 1, split=True)
    draw_clinic(folder / "elsewhere", 8, 2, split=False)
    write_flair(folder / "flair")
    return folder


def entries(place: Path, **changes) -> dict:
    return {
        "name": "here and there",
        "data": [{"name": "clinic", "manifest": str(place / "clinic" / "manifest.csv"), "classes": CLASSES}],
        "encoders": [{"name": "tiny", "load": str(place / "flair")}],
        "tests": [str(place / "elsewhere" / "manifest.csv"), "blur:3"],
        "adapters": ["zero-shot", "lp"],
        "methods": ["full"],
        "alphas": [0, 0.5, 1],
        "soup": True,
        "shots": [4, "all"],
        "seeds": 2,
        "tuning": {"epochs": 2, "batch_size": 4, "amp": False},
    } | changes


def small(place: Path, **changes) -> dict:
    """One network of one draw."""
    few = {"methods": ["bn-bias"], "alphas": [1], "soup": False, "shots": [4], "seeds": 1}
    return entries(place, **few | changes)


def run(place: Path, out: Path, asked: dict) -> StudyResults:
    return run_study(Study.from_dict(asked), out, cache=place / "cache")


@pytest.fixture(scope="module")
def whole(place, tmp_path_factory) -> tuple[StudyResults, Path]:
    out = tmp_path_factory.mktemp("whole")
    return run(place, out, entries(place)), out


def test_one_training_is_measured_here_elsewhere_and_spoilt(whole):
    results, out = whole
    rows = results.rows
    assert rows.groupby("test", sort=False)["distribution"].first().to_dict() == {
        "clinic": "in", "elsewhere": "out", "blur:3": "out",
    }  # fmt: skip
    assert set(rows["data"]) == {"clinic"}
    assert list(dict.fromkeys(rows["adapter"])) == [
        *("zero-shot", "lp", "full(wise=0)", "full(wise=0.5)", "full", "full(soup=True)"),
    ]
    # 2 numbers of shots, 2 seeds: whatever is tested
    assert len(list((out / "trainings").glob("*/tuned"))) == 4
    soups = rows[rows["adapter"].str.contains("soup")]
    assert len(soups) == 2 * 3
    assert soups["n_support"].max() == 24
    assert rows.loc[rows["adapter"] == "full", "epochs"].between(1, 2).all()


def test_the_start_of_a_path_is_the_adapter(whole):
    rows = whole[0].rows.set_index(["test", "shots", "seed"])
    start, frozen = (rows[rows["adapter"] == name]["log_loss"] for name in ("full(wise=0)", "zero-shot"))
    pd.testing.assert_series_equal(start, frozen)


def test_the_folder_is_that_of_a_study(whole):
    results, out = whole
    table = pd.read_csv(out / "robustness.csv")
    assert len(table) == len(results.cells) == 6 * 2 * 3
    assert set(table["kind"]) == {"frozen", "fine-tuned", "soup"}
    assert table.loc[table["distribution"] == "out", "front"].astype(bool).any()
    assert table.loc[table["distribution"] == "in", "front"].isna().all()
    cost = table.groupby("adapter")[["seconds", "trainable_parameters", "bytes"]].max()
    assert cost.loc["full", "bytes"] == 4 * cost.loc["full", "trainable_parameters"] > 4000
    assert cost.loc["full(soup=True)", "seconds"] > cost.loc["full", "seconds"]
    assert cost.loc["zero-shot", "trainable_parameters"] == 0
    splits = pd.read_csv(out / "splits.csv")
    assert splits.groupby(["data", "split"]).size().to_dict() == {
        ("clinic", "train"): 24, ("clinic", "test"): 12, ("clinic, tested on elsewhere", "test"): 8,
    }  # fmt: skip
    pd.testing.assert_frame_equal(StudyResults.read(out).rows, results.rows)


def test_the_report_has_a_section_and_its_other_tables_are_of_home(whole):
    results, out = whole
    text = write_report(results, folder=out).read_text()
    assert text.count("<h2>Here and elsewhere</h2>") == 1
    assert "<h2>clinic, tiny encoder</h2>" in text
    assert "tested on elsewhere, tiny encoder" not in text
    assert "has learnt from all of them" in text
    assert (out / "figures" / "here-and-elsewhere-clinic-4-shots-elsewhere.png").stat().st_size > 1000
    lines = (out / "tables" / "here-and-elsewhere.md").read_text().splitlines()
    assert sum(line.startswith("| full(soup=True)") for line in lines) == 4
    assert not any("wise=0)" in line for line in lines)


def test_a_best_place_on_a_path_is_said_to_flatter(whole):
    context = Context.of(whole[0], "balanced_accuracy")
    said = {
        name: advice._of_path(context, name) for name in ("lp", "full", "full(wise=0.5)", "full(soup=True)")
    }
    assert [name for name, text in said.items() if "flatters" in text] == ["full(wise=0.5)"]


def test_the_recipe_writes_one_table_and_one_picture(whole, tmp_path, monkeypatch):
    recipe = Path(__file__).parents[1] / "recipes" / "robustness" / "table.py"
    out, picture = tmp_path / "out" / "table.md", tmp_path / "picture.png"
    monkeypatch.setattr("sys.argv", ["table.py", str(whole[1]), "--out", str(out), "--picture", str(picture)])
    runpy.run_path(str(recipe), run_name="__main__")
    write_report(whole[1])
    assert out.read_text() == (whole[1] / "tables" / "here-and-elsewhere.md").read_text()
    assert picture.stat().st_size > 1000
    for file in recipe.parent.glob("*.toml"):
        study = Study.read(file)
        assert len(study.networks) == 4 * len(study.methods)  # three places on the path, and the soup


def test_the_study_of_the_docs_is_one(tmp_path):
    (tmp_path / "robust.toml").write_text(PAGE.split("```toml\n")[1].split("```")[0])
    study = Study.read(tmp_path / "robust.toml")
    assert [side.test for side in study.sides] == ["clinic", "other-clinic", "blur:3", "jpeg:4"]
    assert len(study.fits) == 4 + 3 * 4
    assert study.changed(seeds=2).fits == study.fits


def test_a_stopped_study_goes_on_to_the_same_table(whole, place, tmp_path, monkeypatch):
    done = []

    def stops(task):
        done.append(task)
        if len(done) == 12 + 3:  # all cells of adapters, and some of networks
            raise KeyboardInterrupt
        return compute(task)

    compute = engine.compute
    monkeypatch.setattr(engine, "compute", stops)
    with pytest.raises(KeyboardInterrupt):
        run(place, tmp_path / "run", entries(place))
    monkeypatch.undo()
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("tuned")}
    assert trained
    run(place, tmp_path / "run", entries(place))
    assert trained == {path: path.stat().st_mtime_ns for path in trained}
    name = "results.csv"
    assert (tmp_path / "run" / name).read_bytes() == (whole[1] / name).read_bytes()


def test_other_settings_are_another_training_beside_it(place, tmp_path):
    first = run(place, tmp_path, small(place)).rows
    run(place, tmp_path, small(place, tuning={"epochs": 1, "batch_size": 2, "amp": False}))
    assert len(list(tmp_path.glob("trainings/bn-bias-4-0-*/tuned"))) == 2
    again = run(place, tmp_path, small(place)).rows
    pd.testing.assert_frame_equal(first, again)


def test_an_adapter_elsewhere_is_what_a_hand_computes(whole, place):
    encoder = load_encoder(place / "flair")
    sides = {}
    for name in ("clinic", "elsewhere"):
        frame = pd.read_csv(place / name / "manifest.csv")
        paths = [str(place / name / image) for image in frame["image"]]
        sides[name] = frame, np.array([CLASSES.index(label) for label in frame["label"]]), paths
    frame, y, paths = sides["clinic"]
    train = (frame["split"] == "train").to_numpy()
    X = encoder.encode_images([p for p, own in zip(paths, train, strict=True) if own]).embedding
    episodes = EpisodeSampler(4).sample_many(y[train], range(2), classes=CLASSES)
    text = encoder.prototypes(CLASSES)
    fits = fit_episodes(create_adapter("lp", text=text), X, y[train], episodes, classes=range(2))
    predicted = fits.predict(encoder.encode_images(sides["elsewhere"][2]).embedding)
    expected = [balanced_accuracy(sides["elsewhere"][1], one) for one in predicted]
    rows = whole[0].rows
    found = rows[(rows["adapter"] == "lp") & (rows["test"] == "elsewhere") & (rows["shots"] == 4)]
    assert found["balanced_accuracy"].tolist() == pytest.approx(expected)


def test_places_on_the_path_and_soups_elsewhere_are_what_a_hand_mixes(whole, place):
    results, out = whole
    encoder = load_encoder(place / "flair")
    text = encoder.prototypes(CLASSES)
    frame = pd.read_csv(place / "elsewhere" / "manifest.csv")
    photographs = Photographs(encoder, [str(place / "elsewhere" / image) for image in frame["image"]])
    y = np.array([CLASSES.index(label) for label in frame["label"]])
    X = encoder.encode_images(photographs.paths).embedding
    head = fit_episodes(create_adapter("zero-shot", text=text), X, y, [[0, 2]], classes=range(2)).head
    network = TunedNetwork(encoder, "embedding", head)
    start = network.state()
    ends = [read_checkpoint(next(out.glob(f"trainings/full-4-{seed}-*/tuned")))[0] for seed in (0, 1)]
    rows = results.rows[(results.rows["test"] == "elsewhere") & (results.rows["shots"] == 4)]

    def log_loss(state):
        network.put(start | state)
        return score(y, softmax(logits_of(network, photographs, np.arange(8), 8, "cpu"), axis=1)).values[
            "log_loss"
        ]

    half = [log_loss({k: (start[k] + end[k]) / 2 for k in end}) for end in ends]
    assert rows.loc[rows["adapter"] == "full(wise=0.5)", "log_loss"].tolist() == pytest.approx(half, rel=1e-4)
    mean = log_loss({k: (ends[0][k] + ends[1][k]) / 2 for k in ends[0]})
    assert rows.loc[rows["adapter"] == "full(soup=True)", "log_loss"].item() == pytest.approx(mean, rel=1e-4)


@pytest.mark.parametrize("how", ["tests", "data"])
def test_a_corrupted_side_is_the_corrupted_encoder_s(how, place):
    asked = small(place, methods=[], tests=["jpeg:5"] if how == "tests" else [])
    if how == "data":
        asked["data"][0]["corruption"] = "jpeg:5"
    clinics = list(load_clinics(Study.from_dict(asked), Encoding(cache=place / "cache")).values())
    spoilt = clinics[-1]
    frame = pd.read_csv(place / "clinic" / "manifest.csv")
    paths = [str(place / "clinic" / image) for image in frame["image"]]
    encoder = load_encoder(place / "flair")
    changed = CorruptedEncoder(encoder, corruption_of("jpeg:5")).encode_images(paths[24:]).embedding
    np.testing.assert_allclose(spoilt.test.read("embedding"), changed, atol=1e-6)
    plain = encoder.encode_images(paths).embedding
    np.testing.assert_allclose(spoilt.train.read("embedding"), plain[:24], atol=1e-6)
    assert np.abs(changed - plain[24:]).max() > 1e-4
    if how == "tests":
        assert spoilt.train is clinics[0].train  # neither read nor encoded again


def test_label_noise_and_folds_reach_the_networks(place, tmp_path):
    asked = small(place, tests=["blur"], folds=2, label_noise=[0.0, 0.4], prior=["none", "known"])
    rows = run(place, tmp_path, asked).rows
    own = rows[rows["adapter"] == "bn-bias"]
    assert len(own) == 2 * 2 * 2 * 2  # sides, noises, priors, folds
    assert len(list(tmp_path.glob("trainings/*/tuned"))) == 2 * 2
    assert own.groupby("label_noise")["log_loss"].first().nunique() == 2
    assert own.groupby("prior")["log_loss"].first().nunique() == 2


def test_what_has_no_place_with_networks_is_said(place, tmp_path):
    results = run(place, tmp_path, small(place, tests=[], conformal=["full:lac:0.1"], calibrate=True))
    notes = next(cell.notes for cell in results.cells if cell.tuned)
    assert any("conformal methods fit adapters" in note for note in notes)
    assert any("no figures after a temperature" in note for note in notes)
    assert "brier_score_calibrated" in results.rows


def test_a_saved_network_is_an_encoder_and_an_adapter(place, tmp_path):
    rows = run(place, tmp_path, small(place, methods=["lora"], tests=[], save_networks=True)).rows
    (model,) = tmp_path.glob("trainings/*/model")
    encoder, (adapter, extra) = load_encoder(model / "encoder"), load_adapter(model / "adapter")
    frame = pd.read_csv(place / "clinic" / "manifest.csv")
    test = frame[frame["split"] == "test"]
    features = encoder.encode_images([place / "clinic" / image for image in test["image"]])
    right = adapter.predict(getattr(features, extra["feature"])) == test["label"]
    assert right.mean() == pytest.approx(rows.loc[rows["adapter"] == "lora", "accuracy"].item())
    # and whoever adapts it again is told what it has seen
    n = int(rows.loc[rows["adapter"] == "lora", "n_support"].item())
    again = small(place, methods=[], tests=[], encoders=[{"name": "ours", "load": str(model / "encoder")}])

    def said() -> str:
        (clinic,) = load_clinics(Study.from_dict(again), Encoding(cache=place / "cache")).values()
        return " ".join(clinic.provenance.remarks)

    assert f"{n} of the 24 training photographs are among those that ours was trained on" in said()
    seen = read_seen(model / "encoder")
    write_seen(model / "encoder", seen | {image_key(place / "clinic" / test["image"].iloc[0]): "clinic"})
    assert "1 of the 12 test photographs is among those that ours was trained on" in said()
    with (model / "encoder" / SEEN).open("a") as file:
        file.write("no digest,clinic\n")
    with pytest.raises(InputError, match=r"trained-on\.csv is damaged"):
        said()


def test_a_photograph_that_is_trained_on_is_not_tested_on_elsewhere(place, tmp_path):
    rows = pd.read_csv(place / "clinic" / "manifest.csv").head(3).drop(columns="split")
    rows["image"] = [str(place / "clinic" / image) for image in rows["image"]]
    rows.to_csv(tmp_path / "other.csv", index=False)
    asked = small(place, methods=[], tests=[str(tmp_path / "other.csv"), "blur"])
    with pytest.raises(InputError, match="trained on and tested on"):
        run(place, tmp_path / "run", asked)
    asked["data"][0]["on_leak"] = "drop-train"
    clinics = load_clinics(Study.from_dict(asked), Encoding(cache=place / "cache")).values()
    assert [(len(clinic.train), len(clinic.test)) for clinic in clinics] == [(21, 12), (21, 3), (21, 12)]
    assert "were dropped" in " ".join(next(iter(clinics)).provenance.remarks)


def test_two_clinics_are_each_tested_on_the_other(place, tmp_path):
    asked = small(place, methods=[], shots=[1])
    b = str(place / "elsewhere" / "manifest.csv")
    asked["data"].append({"name": "elsewhere", "manifest": b, "classes": CLASSES})
    asked["tests"] = [asked["data"][0]["manifest"], b]
    rows = run(place, tmp_path, asked).rows
    pairs = rows.groupby("data", sort=False)["test"].unique()
    assert {name: list(tests) for name, tests in pairs.items()} == {
        "clinic": ["clinic", "elsewhere"],
        "elsewhere": ["elsewhere", "clinic"],
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tests": ["fog:2"]}, "no corruption 'fog'.*there are.*--adapters-from FILE.py"),
        ({"tests": ["blur:9"]}, "strength 9"),
        ({"tests": ["blur:3", "blur"]}, "tests of clinic: 'blur:3' is there twice"),
        ({"tests": ["x/clinic.csv"]}, "tests of clinic: 'clinic' is there twice"),
        ({"tests": ["{clinic}"]}, "is the data set itself"),
        ({"methods": ["full", "full"]}, r"methods: 'full' is there twice"),
        ({"alphas": [0.5, 0.5]}, r"adapters and networks: 'full\(wise=0.5\)' is there twice"),
        ({"methods": []}, "alphas, soup: of fine-tuned networks, and there are no methods"),
        ({"method": ["lora"]}, "method: there is no such entry; did you mean 'methods'"),
        ({"data": [{"name": "a", "manifst": "b.csv"}]}, "data.0.manifst: .*did you mean 'manifest'"),
        ({"methods": ["full:wise=2"]}, "wise is 2"),
        ({"methods": ["ful"]}, "no fine-tuning method 'ful': did you mean 'full'.*--adapters-from FILE.py"),
        ({"methods": ["lora:rang=3"]}, "no parameter 'rang'"),
        ({"alphas": [0, 2]}, "alphas"),
        ({"tuning": {"epoch": 3}}, "tuning: no setting 'epoch'; did you mean 'epochs'"),
        ({"tuning": {"epochs": 0}}, "epochs is 0; give at least 1"),
        ({"seeds": 1}, "soup: it is the mean of the networks of several seeds"),
        (
            {"adapters": [], "methods": [], "alphas": [1], "soup": False, "tuning": {}},
            "there is none, and no method either",
        ),
        ({"folds": 2}, "folds make both sides of one table"),
        ({"test_augmentation": 2}, r"networks are trained with the augmentation of \[tuning\]"),
        ({"scenarios": [{"kind": "dirichlet", "prevalence": "test"}]}, "each test side would have its own"),
        ({"save": True}, "one test side"),
    ],
)
def test_wrong_entries_are_named(place, tmp_path, changes, said):
    if changes.get("tests") == ["{clinic}"]:
        changes = {"tests": [str(place / "clinic" / "." / "manifest.csv")]}
    with pytest.raises(InputError, match=said):
        run(place, tmp_path / "run", entries(place, **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "own", "said"),
    [
        ({"tests": []}, {}, "methods train the encoder on photographs"),
        (
            {"methods": [], "tuning": {}, "tests": ["blur"]},
            {"test_on": "b.npz"},
            "a corruption spoils photographs",
        ),
        ({"methods": [], "tuning": {}, "tests": ["c.npz"]}, {}, "name its own test rows too"),
    ],
)
def test_features_without_photographs_have_no_networks(place, tmp_path, changes, own, said):
    data = [{"name": "brought", "manifest": "a.npz", **own}]
    with pytest.raises(InputError, match=said):
        run(place, tmp_path / "run", small(place, data=data, encoders=["features"], **changes))


def test_networks_alone_are_a_study_and_have_no_line(place, tmp_path):
    results = run(place, tmp_path, small(place, adapters=[], tests=["blur"]))
    assert "There is no line" in write_report(results, folder=tmp_path).read_text()
    assert pd.read_csv(tmp_path / "robustness.csv")["effective_robustness"].isna().all()


def test_adapters_are_fitted_by_processes_and_networks_in_this_one(place, tmp_path, whole):
    asked = Study.from_dict(entries(place, methods=["full"], alphas=[1], soup=False, shots=[4]))
    rows = run_study(asked, tmp_path, cache=place / "cache", jobs=2).rows
    same = whole[0].rows[whole[0].rows["shots"].eq(4) & whole[0].rows["adapter"].isin(rows["adapter"])]
    pd.testing.assert_frame_equal(rows, same.reset_index(drop=True))


def test_features_are_tested_elsewhere_too(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abc":
        y = np.arange(24) % 2
        X = (rng.normal(size=(24, 8)) + 2 * y[:, None]).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", feats_ds=X, refs_ds=y)
    asked = {
        "name": "brought", "adapters": ["ss", "logistic"], "shots": [2], "seeds": 2,
        "data": [{"name": "a", "manifest": str(tmp_path / "a.npz"), "test_on": str(tmp_path / "b.npz")}],
        "tests": [str(tmp_path / "c.npz")],
    }  # fmt: skip
    rows = run_study(Study.from_dict(asked), tmp_path / "run", cache=tmp_path / "cache").rows
    assert rows.groupby("test")["balanced_accuracy"].mean().gt(0.7).to_dict() == {"a": True, "c": True}


OWN = PAGE.split("## A method or a corruption of your own")[1].split("```python\n")[1].split("```")[0]


def test_the_command_is_the_study(place, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    clinic, elsewhere = (place / name / "manifest.csv" for name in ("clinic", "elsewhere"))
    command = [
        *("finetune", "--data", str(clinic), "--test-on", str(elsewhere), "--corrupt", "blur:3"),
        *("--classes", ",".join(CLASSES), "--encoder", str(place / "flair"), "--method", "bn-bias"),
        *(
            "--adapters-from",
            str(tmp_path / "own.py"),
            "--method",
            "biases:rate=0.01",
            "--adapter",
            "zero-shot",
        ),
        *(
            "--shots",
            "2",
            "--seeds",
            "1",
            "--epochs",
            "1",
            "--train-batch",
            "4",
            "--alphas",
            "0.5,1",
            "--no-amp",
            "--save",
        ),
        *("--cache", str(place / "cache"), "--out", str(tmp_path / "run")),
    ]
    try:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert corruption_of("noise:2").steps[1] == 8
        assert "biases(rate=0.01, wise=0.5)" in done.output
        (tower, _) = sorted((tmp_path / "run").glob("trainings/*/model/encoder"))
        assert str(tower) in "".join(done.output.split("\n"))
        asked = entries(
            place, methods=["bn-bias", {"name": "biases", "rate": 0.01}], alphas=[0.5, 1], soup=False, shots=[2],
            seeds=1, adapters=["zero-shot"], encoders=[str(place / "flair")],
            tuning={"epochs": 1, "batch_size": 4, "amp": False},
        )  # fmt: skip
        path = tmp_path / "study.toml"
        path.write_text(
            "\n".join(f"{key} = {_toml(value)}" for key, value in asked.items() if key != "data")
            + "\n[[data]]\n"
            + "\n".join(f"{key} = {_toml(value)}" for key, value in asked["data"][0].items())
        )
        study = ["study", str(path), "--out", str(tmp_path / "study"), "--cache", str(place / "cache")]
        told = CliRunner().invoke(app, study)
        assert told.exit_code == 0, told.output
    finally:
        METHODS.known.pop("biases", None)
        CORRUPTIONS.known.pop("noise", None)
    tables = [(tmp_path / name / "results.csv").read_bytes() for name in ("run", "study")]
    assert tables[0] == tables[1]
    for name in ("run.json", "report.html", "robustness.csv", "splits.csv", "cells"):
        assert (tmp_path / "run" / name).exists()
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["study"]
    assert [each["name"] for each in kept["methods"]] == ["bn-bias", "biases"]


def test_what_is_doubted_of_many_tables_says_of_which(place, capsys):
    asked = small(place, tests=[])
    (clinic,) = load_clinics(Study.from_dict(asked), Encoding(cache=place / "cache")).values()
    doubted = replace(
        clinic, provenance=clinic.provenance.model_copy(update={"remarks": ["two rows are odd"]})
    )
    for named, said in [(True, "clinic: two rows are odd"), (False, "two rows are odd")]:
        show.doubts(Console(), doubted, named=named)
        assert capsys.readouterr().out.startswith(said)


def test_a_wrong_corruption_of_the_command_is_one_sentence(place, tmp_path):
    command = [
        *(sys.executable, "-c", "from fewshot_flair.cli import main; main()", "finetune"),
        *(
            "--data",
            str(place / "clinic" / "manifest.csv"),
            "--corrupt",
            "fog:2",
            "--out",
            str(tmp_path / "run"),
        ),
    ]
    wrong = subprocess.run(command, check=False, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "no corruption 'fog'" in wrong.stderr


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)
