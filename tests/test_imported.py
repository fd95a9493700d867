"""Features without photographs: the papers' own caches through `adapt`, `study` and `predict`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fewshot_flair.cli import app
from fewshot_flair.errors import InputError
from fewshot_flair.experiment import DataSet, EncoderChoice, Encoding, Study, load_clinics, run_study
from fewshot_flair.experiment.clinic import Clinic

Arrays = dict[str, np.ndarray]


@pytest.fixture
def caches(tmp_path: Path, parity: Arrays) -> tuple[Path, Path]:
    """The fixture's features in two files, as SS-Text's code caches them."""
    return write(tmp_path, "train", parity), write(tmp_path, "test", parity)


def write(folder: Path, side: str, parity: Arrays, **changes: object) -> Path:
    path = folder / f"MESSIDOR_{side}_flair.npz"
    text = ("initial_prototypes", "logit_scale", "samples_text", "labels_text")
    arrays = {name: parity[name] for name in text} | {
        "feats_ds": parity[f"feats_{side}"],
        "refs_ds": parity[f"refs_{side}"].astype(np.float32),
    }
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


def data(*paths: Path, **settings: object) -> DataSet:
    test_on = str(paths[1]) if len(paths) > 1 else None
    return DataSet(name="messidor", manifest=str(paths[0]), test_on=test_on, **settings)


def clinic_of(described: DataSet, cache: Path, encoder: str = "features", **entries: object) -> Clinic:
    study = Study(name="one", data=[described], encoders=[{"name": encoder}], adapters=["ss"], **entries)
    (clinic,) = load_clinics(study, Encoding(cache)).values()
    return clinic


@pytest.mark.parametrize("adapter", ["ss-text", "ss-text+"])
@pytest.mark.parametrize(
    ("scenario", "shots", "seed"),
    [("standard", 4, 0), ("relaxed", 4, 1), ("realistic", 4, 1), ("realistic", 16, 2), ("realistic", 1, 3)],
)
def test_a_row_of_results_is_what_the_papers_code_computes(
    tmp_path: Path,
    caches: tuple[Path, Path],
    parity: Arrays,
    adapter: str,
    scenario: str,
    shots: int,
    seed: int,
) -> None:
    study = Study(
        name="paper",
        data=[data(*caches)],
        adapters=[adapter],
        shots=[shots],
        scenarios=[scenario],
        seeds=4,
        protocol="sstext-2025",
        encoders=["features"],
        allow_fewer=True,
    )
    done = run_study(study, tmp_path / "out", cache=tmp_path / "cache")
    row = done.rows.set_index("seed").loc[seed]
    truth = parity["refs_test"]
    predicted = parity[f"logits|{adapter}|{scenario}-{shots}-{seed}"].argmax(axis=1)
    recalls = [np.mean(predicted[truth == c] == c) for c in range(5)]
    assert row["accuracy"] == pytest.approx(np.mean(predicted == truth))
    assert row["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert [row[f"recall_{c}"] for c in range(5)] == pytest.approx(recalls)


def test_adapt_and_predict_on_files_of_features(tmp_path: Path, caches: tuple[Path, Path]) -> None:
    train, test = map(str, caches)
    cache = ["--cache", str(tmp_path / "cache")]
    out = tmp_path / "run"
    asked = ["adapt", "--data", train, "--test-on", test, "--shots", "4", "--seeds", "2", "--out", str(out)]
    done = CliRunner().invoke(app, [*asked, *cache], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert "features of MESSIDOR_train_flair.npz and MESSIDOR_test_flair.npz (embedding 64" in done.output
    assert "no patients are named" in done.output
    record = json.loads((out / "run.json").read_text())
    assert record["clinics"][0]["test"]["images"] == 64
    assert record["clinics"][0]["encoder"]["name"] == "features"
    table = tmp_path / "predictions.csv"
    done = CliRunner().invoke(app, ["predict", str(out), test, "--out", str(table), *cache])
    assert done.exit_code == 0, done.output
    with table.open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 64
    assert rows[3]["image"] == "MESSIDOR_test_flair.npz[3]"
    bare = tmp_path / "new.npz"
    with np.load(test) as stored:
        np.savez(bare, feats_ds=stored["feats_ds"])
    assert (
        CliRunner().invoke(app, ["predict", str(out), str(bare), "--out", str(table), *cache]).exit_code == 0
    )
    with table.open() as lines:
        assert [row["predicted"] for row in csv.DictReader(lines)] == [row["predicted"] for row in rows]
    with pytest.raises(InputError, match="holds features and others are photographs"):
        CliRunner().invoke(
            app,
            ["predict", str(out), test, str(tmp_path), "--out", str(table), *cache],
            catch_exceptions=False,
        )
    photograph = tmp_path / "eye.jpg"
    photograph.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match="features that came without their model"):
        CliRunner().invoke(
            app, ["predict", str(out), str(photograph), "--out", str(table), *cache], catch_exceptions=False
        )


def test_features_of_another_model_are_refused(
    tmp_path: Path, caches: tuple[Path, Path], parity: Arrays
) -> None:
    other = write(tmp_path, "test", parity, initial_prototypes=parity["initial_prototypes"][::-1])
    with pytest.raises(InputError, match="were made by different models: prototypes was"):
        clinic_of(data(caches[0], other), tmp_path / "cache")


def test_files_of_one_name_in_two_folders_are_two_files(tmp_path: Path, parity: Arrays) -> None:
    paths = []
    for side in ("train", "test"):
        (tmp_path / side).mkdir()
        paths.append(write(tmp_path / side, side, parity).rename(tmp_path / side / "features.npz"))
    clinic = clinic_of(data(*paths), tmp_path / "cache")
    assert (len(clinic.train), len(clinic.test)) == (500, 64)
    assert clinic.provenance.twins == []


def test_test_rows_that_were_trained_on_are_told(
    tmp_path: Path, caches: tuple[Path, Path], parity: Arrays
) -> None:
    leaky = np.concatenate([parity["feats_train"][7:8], parity["feats_test"][1:]])
    test = write(tmp_path, "test", parity, feats_ds=leaky)
    clinic = clinic_of(data(caches[0], test), tmp_path / "cache")
    assert clinic.provenance.twins == [("MESSIDOR_train_flair.npz[7]", "MESSIDOR_test_flair.npz[0]")]


def test_a_test_file_may_leave_the_prototypes_to_the_training_file(
    tmp_path: Path, caches: tuple[Path, Path], parity: Arrays
) -> None:
    whole = clinic_of(data(*caches), tmp_path / "cache")
    bare = write(tmp_path, "test", parity, initial_prototypes=None, logit_scale=None)
    clinic = clinic_of(data(caches[0], bare), tmp_path / "cache")
    np.testing.assert_array_equal(clinic.test.read("embedding"), whole.test.read("embedding"))


def test_the_same_file_on_both_sides_is_called_so(tmp_path: Path, caches: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="are the same file; test on rows that no fit has seen"):
        clinic_of(data(caches[0], caches[0]), tmp_path / "cache")


def test_one_file_alone_is_split(tmp_path: Path, caches: tuple[Path, Path]) -> None:
    clinic = clinic_of(data(caches[0], classes=list("abcde")), tmp_path / "cache")
    assert clinic.classes == list("abcde")
    assert clinic.text is not None
    assert list(clinic.text.classes) == list("abcde")
    sizes = np.stack([np.bincount(rows.y, minlength=5) for rows in (clinic.train, clinic.test)])
    np.testing.assert_allclose(sizes[1] / sizes.sum(axis=0), 0.4, atol=0.05)
    again = clinic_of(data(caches[0], classes=list("abcde")), tmp_path / "cache")
    assert again.test.keys == clinic.test.keys


def test_without_prototypes_text_based_adapters_are_left_out(tmp_path: Path, parity: Arrays) -> None:
    none = {"initial_prototypes": None, "logit_scale": None}
    sides = [write(tmp_path, side, parity, **none) for side in ("train", "test")]
    asked = ["adapt", "--data", str(sides[0]), "--test-on", str(sides[1]), "--seeds", "2", "--shots", "2"]
    done = CliRunner().invoke(
        app, [*asked, "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    )
    assert done.exit_code == 0, done.output
    assert "left out: zero-shot with features: needs a text tower; lp with features" in " ".join(
        done.output.split()
    )
    assert "ss " in done.output
    assert "(backbone 64" in done.output


@pytest.mark.parametrize(
    ("settings", "choice", "message"),
    [
        ({"classes": ["a", "b"]}, "features", "2 classes are named, and MESSIDOR_train_flair.npz has 5"),
        ({"test_on": "demo"}, "features", "holds features and demo photographs"),
        ({}, "flair", "holds features already, so no encoder 'flair' is needed"),
    ],
)
def test_what_does_not_go_together_is_said(
    tmp_path: Path, caches: tuple[Path, Path], settings: dict, choice: str, message: str
) -> None:
    described = DataSet(**{"name": "messidor", "manifest": str(caches[0])} | settings)
    with pytest.raises(InputError, match=message):
        clinic_of(described, tmp_path / "cache", choice)


def test_photographs_need_an_encoder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in range(4):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match="holds photographs, which an encoder must encode"):
        clinic_of(DataSet(name="folder", manifest=str(tmp_path)), tmp_path)


def test_a_file_without_labels_is_refused(tmp_path: Path, parity: Arrays) -> None:
    with pytest.raises(InputError, match=r"has no labels \(refs_ds\)"):
        clinic_of(data(write(tmp_path, "train", parity, refs_ds=None)), tmp_path)


def test_a_study_of_features(tmp_path: Path, caches: tuple[Path, Path]) -> None:
    study = Study.from_dict(
        {
            "name": "papers",
            "question": "Do caches of the papers' code go through a study?",
            "folder": tmp_path,
            "data": [{"name": "messidor", "manifest": caches[0].name, "test_on": caches[1].name}],
            "encoders": [{"name": "FLAIR", "load": "features"}],
            "adapters": ["zero-shot", "ss-text+"],
            "shots": [1, 4],
            "seeds": 3,
        }
    )
    unnamed = study.model_dump(exclude={"encoders"})
    assert Study.from_dict(unnamed).encoders == [EncoderChoice(name="features")]
    results = run_study(study, tmp_path / "out", cache=tmp_path / "cache")
    assert len(results.rows) == 2 * 2 * 3
    assert set(results.rows["encoder"]) == {"FLAIR"}
    other = study.changed(on=[str(caches[1])])
    with pytest.raises(InputError, match=r"holds a run on other data \(messidor\), whose results"):
        run_study(other, tmp_path / "out", cache=tmp_path / "cache")
    assert study.changed(table={"ordered": True}).data[0].ordered
    mixed = study.model_dump() | {"data": [*study.model_dump()["data"], {"name": "demo", "manifest": "demo"}]}
    with pytest.raises(InputError, match="one study has one kind of data"):
        run_study(Study.from_dict(mixed), tmp_path / "mixed", cache=tmp_path / "cache")
    with pytest.raises(InputError, match="prompts cannot vary"):
        clinic_of(data(*caches), tmp_path, prompts=["names"])
