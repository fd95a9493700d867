"""Runs that learn from the test photographs without their labels: what is learnt, and that it is said everywhere."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import results_of, study_of
from sklearn.metrics import confusion_matrix
from typer.testing import CliRunner

from fewshot_flair.cli import app
from fewshot_flair.episodes import Episodes
from fewshot_flair.errors import InputError
from fewshot_flair.experiment import Study, run_study
from fewshot_flair.experiment.clinic import Clinic
from fewshot_flair.experiment.scoring import evaluate_adapter
from fewshot_flair.experiment.spec import AdapterSpec


def transductive(clinic: Clinic) -> Clinic:
    told = clinic.provenance.model_copy(update={"transductive": True})
    return replace(clinic, pool=clinic.test.unlabelled(), provenance=told)


@pytest.mark.parametrize("name", ["ss-text-u", "transclip", "stata", "zlap", "em-dirichlet"])
def test_a_cell_is_a_fit_with_the_test_rows_and_none_of_their_labels(planted_clinic, name):
    clinic = transductive(planted_clinic)
    n, tested = len(clinic.train), len(clinic.test)
    support = np.arange(0, n, 9)
    episodes = Episodes((3,), (support,), (np.arange(n, n + tested),))
    found = evaluate_adapter(clinic, AdapterSpec(name), episodes)
    X, U = clinic.train.read("embedding"), clinic.test.read("embedding")
    adapter = clinic.create(AdapterSpec(name)).fit(X[support], clinic.train.y[support], X_unlabeled=U)
    logits = adapter.logits(U)
    np.testing.assert_allclose(found.confusion, confusion_matrix(clinic.test.y, logits.argmax(axis=1)))
    mixed = np.random.default_rng(0).permutation(clinic.test.y)
    other = transductive(replace(planted_clinic, test=replace(planted_clinic.test, y=mixed)))
    blind = evaluate_adapter(other, AdapterSpec(name), episodes)
    np.testing.assert_allclose(blind.confusion.sum(axis=0), found.confusion.sum(axis=0))


def test_results_say_which_rows_learnt_from_the_test_photographs(planted_clinic, tmp_path):
    study = study_of(adapters=["ss-text", "zlap"], shots=[2])
    results = results_of(study, tmp_path / "a", transductive(planted_clinic))
    flags = results.rows.groupby("adapter")["transductive"].unique()
    assert [flags["ss-text"].tolist(), flags["zlap"].tolist()] == [[False], [True]]
    notes = [note for cell in results.cells for note in cell.notes]
    assert notes == [
        "zlap is transductive here: it learnt from the 180 test photographs, without their labels"
    ]
    some = results_of(
        study_of(adapters=["zlap"], shots=[2], unlabelled=20), tmp_path / "b", transductive(planted_clinic)
    )
    assert "learnt from 20 of the 180 test photographs" in some.cells[0].notes[0]
    assert "transductive" not in results_of(study, tmp_path / "c", planted_clinic).rows


def test_sets_around_it_say_what_was_fitted_on(planted_clinic, tmp_path):
    study = study_of(
        adapters=["zlap:zero_shot=true", "ss-text"],
        shots=[8],
        seeds=2,
        conformal=["split:lac:0.2", "split-transductive:lac:0.2"],
        allow_fewer=True,
    )
    pooled, shots = results_of(study, tmp_path, transductive(planted_clinic)).cells
    assert [row["method"] for row in pooled.sets] == ["split"] * 2 + ["split-transductive"] * 2
    assert {row["n_calibration"] for row in pooled.sets} == {40}
    label = "zlap(zero_shot=true)"
    assert f"sets: {label} is fitted without unlabelled images there" in pooled.notes
    assert (
        f"sets: split-transductive fits {label} on drawn and test photographs without labels" in pooled.notes
    )
    assert [row["method"] for row in shots.sets] == ["split"] * 2
    assert any("split-transductive with ss-text is left out" in note for note in shots.notes)


def test_adapt_says_it_in_the_terminal_the_record_and_the_report(tmp_path, parity):
    text = ("initial_prototypes", "logit_scale", "samples_text", "labels_text")
    for side in ("train", "test"):
        np.savez(
            tmp_path / f"{side}.npz",
            feats_ds=parity[f"feats_{side}"],
            refs_ds=parity[f"refs_{side}"].astype(np.float32),
            **{name: parity[name] for name in text},
        )
    out = tmp_path / "run"
    words = ["adapt", "--data", str(tmp_path / "train.npz"), "--test-on", str(tmp_path / "test.npz")]
    words += ["--shots", "2", "--seeds", "2", "--adapter", "ss-text", "--adapter", "zlap", "--transductive"]
    words += ["--out", str(out), "--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    assert "learn from the 64 test photographs, without their labels" in done.output
    assert "zlap is transductive here: it learnt from the 64 test photographs" in done.output
    assert "the labels of test rows have no say" in done.output
    record = json.loads((out / "run.json").read_text())
    assert record["clinics"][0]["transductive"] is True
    assert record["clinics"][0]["pool"]["images"] == 64
    assert record["clinics"][0]["pool"]["counts"] == {}
    report = (out / "report.html").read_text()
    assert "transductive: adapters that learn from photographs without labels learn from the 64" in report
    assert "zlap is transductive here" in report
    with (out / "splits.csv").open() as lines:
        sides = [row["split"] for row in csv.DictReader(lines)]
    assert (sides.count("test"), sides.count("pool")) == (64, 0)


def test_photographs_of_the_test_side_are_the_pool(tmp_path: Path, dr_clinic: Path) -> None:
    rows = list(csv.DictReader((dr_clinic / "manifest.csv").open()))
    some = [
        r
        for label in dict.fromkeys(r["label"] for r in rows)
        for r in [r for r in rows if r["label"] == label][:6]
    ]
    with (tmp_path / "clinic.csv").open("w", newline="") as lines:
        table = csv.DictWriter(lines, ["image", "label", "patient_id"], extrasaction="ignore")
        table.writeheader()
        table.writerows([row if i % 5 else row | {"label": ""} for i, row in enumerate(some)])
    entries: dict[str, Any] = {
        "name": "small",
        "manifest": str(tmp_path / "clinic.csv"),
        "images": str(dr_clinic),
    }
    study = Study.from_dict(
        {
            "name": "small",
            "data": [entries | {"transductive": True}],
            "adapters": ["zlap"],
            "shots": [1],
            "seeds": 1,
            "scenarios": ["realistic"],
            "allow_fewer": True,
        },
        "test",
    )
    results = run_study(study, tmp_path / "run", cache=tmp_path / "cache")
    (told,) = results.record.clinics
    assert told.pool is not None
    assert told.pool.images == told.test.images
    assert any(
        "without a label left out, as the test photographs are the pool" in said for said in told.remarks
    )
    assert results.rows["transductive"].all()


def test_two_pools_are_refused():
    data = {"name": "a", "manifest": "a.csv", "pool": "more", "transductive": True}
    with pytest.raises(InputError, match="give one of the two"):
        Study.from_dict({"name": "x", "data": [data], "adapters": ["zlap"]}, "x.toml")
