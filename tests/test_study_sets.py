"""Studies measure conformal sets on their own draws, keep them, and say where the guarantee ends."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from planted import results_of, study_of, tasks_of
from typer.testing import CliRunner

from fewshot_flair import create_adapter, create_conformal
from fewshot_flair.cli import app
from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.set_figures import SET_FIGURES, score_sets
from fewshot_flair.experiment.cells import run_tasks
from fewshot_flair.experiment.draws import draw
from fewshot_flair.experiment.results import CellResult
from fewshot_flair.experiment.sets import NOTE, SetSpec
from fewshot_flair.report.page import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SETS = [
    {"method": "full", "score": "aps", "adapters": ["ss-text"]},
    {"method": "cross", "alpha": 0.2, "folds": 3},
    {"method": "conf-ot", "quantile": "published", "adapters": ["zero-shot"]},
    {"method": "split", "prefit": True, "adapters": ["ss-text"]},
]


def measured(tmp_path, clinic, **entries):
    study = study_of(adapters=["zero-shot", "ss-text"], shots=[8], allow_fewer=True, **entries)
    return study, run_tasks(tasks_of(study, tmp_path, clinic))


def test_figures_are_those_of_the_method_on_the_same_draw(planted_clinic, tmp_path):
    study, (zero, fitted) = measured(tmp_path, planted_clinic, conformal=SETS)
    assert [row["method"] for row in zero.sets[::3]] == ["cross(folds=3)", "conf-ot"]
    assert [row["method"] for row in fitted.sets[::3]] == ["full", "cross(folds=3)", "split(prefit=True)"]
    assert zero.sets[-1]["quantile"] == "published"
    episodes = draw(study, planted_clinic, "standard", 8, unlabelled=False)
    train, test, text = planted_clinic.train, planted_clinic.test, planted_clinic.text
    names = np.array(planted_clinic.classes)
    for row in fitted.sets:
        support = episodes.indices[study.seeds.index(row["seed"])]
        X, y = train.read("embedding", support), names[train.y[support]]
        adapter, method = create_adapter("ss-text", text=text), row["method"].partition("(")[0]
        more = {"folds": 3} if method == "cross" else {}
        if method == "split":
            adapter, more = adapter.fit(X, y), {"prefit": True}
        made = create_conformal(
            method, adapter, score=row["score"], alpha=row["alpha"], random_state=row["seed"], **more
        )
        made.fit(X, y, groups=np.array(train.patients)[support])
        expected = score_sets(made.predict_set(test.read("embedding")), test.y, row["alpha"], test.patients)
        assert {key: row[key] for key in SET_FIGURES} == {key: float(v) for key, v in expected.items()}
        assert row["n_calibration"] == made.n_calibration_


def test_where_the_guarantee_ends_is_said(planted_clinic, tmp_path):
    _, (cell, _) = measured(tmp_path, planted_clinic, conformal=["split"])
    said = [note for note in cell.notes if note.startswith(NOTE)]
    assert any("standard is not the clinic's mix" in note for note in said)
    assert any("of a patient are drawn and tested" in note for note in said)
    assert not any("another clinic" in note for note in said)
    study = study_of(
        adapters=["zero-shot"], shots=[8], scenarios=["realistic"], allow_fewer=True, conformal=["split"]
    )
    study = study.model_copy(update={"data": [study.data[0].model_copy(update={"test_on": "other.csv"})]})
    (cell,) = run_tasks(tasks_of(study, tmp_path, planted_clinic))
    assert any("another clinic" in note for note in cell.notes)
    assert not any("mix" in note for note in cell.notes)


def test_warnings_come_once_and_what_does_not_go_is_left_out(planted_clinic, tmp_path):
    study = study_of(
        adapters=["ss-text"], shots=[1], conformal=["mondrian", "split:lac:0.05", {"method": "full"}]
    )
    (cell,) = run_tasks(tasks_of(study, tmp_path, planted_clinic))
    few = [note for note in cell.notes if "calibration rows" in note]
    assert len(few) == 3
    assert all("(3 of 3 draws)" in note for note in few)
    assert all(row["coverage"] == 1 for row in cell.sets if row["method"] != "mondrian")


def test_cells_keep_them_and_others_are_other_cells(planted_clinic, tmp_path):
    study, (cell, _) = measured(tmp_path, planted_clinic, conformal=["split"])
    task = tasks_of(study, tmp_path, planted_clinic)[0]
    assert CellResult.read(task.path).sets == cell.sets
    paths = {
        tasks_of(study_of(conformal=[each]), tmp_path, planted_clinic)[0].path
        for each in ("split", "split:aps", "split:lac:0.2", "split:lac:0.1:share=0.3")
    }
    assert len(paths) == 4
    again = type(study).from_dict(study.model_dump())
    assert again.conformal == study.conformal


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("splt", "did you mean 'split'"),
        ("split:lca", "did you mean 'lac'"),
        ("split:lac:2", "between 0 and 1"),
        ("split:lac:many", "is no share"),
        ("cross:lac:0.1:fold=3", "did you mean 'folds'"),
        ({"method": "split", "adapters": ["ss-txt"]}, "did you mean 'ss-text'"),
        ({"score": "lac"}, "conformal"),
        (3, "conformal"),
    ],
)
def test_mistakes_are_named_when_the_file_is_read(entry, said):
    with pytest.raises(InputError, match=said):
        study_of(conformal=[entry])


def test_a_command_names_method_score_alpha_and_settings():
    assert SetSpec.parse("cross:aps:0.2:folds=3") == SetSpec("cross", "aps", 0.2, {"folds": 3})
    assert SetSpec.parse("full") == SetSpec("full")


def test_adapt_writes_and_reports_them(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 240)
    X = (rng.normal(size=(3, 16))[y] + 1.5 * rng.normal(size=(240, 16))).astype(np.float32)
    np.savez(tmp_path / "train.npz", feats_ds=X[:160], refs_ds=y[:160])
    np.savez(tmp_path / "test.npz", feats_ds=X[160:], refs_ds=y[160:])
    command = f"adapt --data {tmp_path}/train.npz --test-on {tmp_path}/test.npz --shots 8 --seeds 2"
    command += f" --adapter ss --conformal cross:lac:0.2 --conformal full:aps --out {tmp_path}/run"
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output
    assert "conformal sets" in done.output
    table = pd.read_csv(tmp_path / "run" / "conformal.csv")
    assert list(table["method"]) == ["cross", "cross", "full", "full"]
    assert set(SET_FIGURES) <= set(table.columns)
    assert "conformal.csv" in json.loads((tmp_path / "run" / "run.json").read_text())["digests"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Conformal sets" in page
    assert "Where the guarantee ends here" in page


@pytest.mark.slow
def test_the_table_fits_a_phone(planted_clinic, tmp_path):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    study = study_of(adapters=["zero-shot", "ss-text"], shots=[8], allow_fewer=True, conformal=SETS)
    page_file = write_report(results_of(study, tmp_path, planted_clinic), folder=tmp_path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 900})
        page.goto(page_file.as_uri())
        ends = "[...document.querySelectorAll('.main-table')].map(x => x.getBoundingClientRect().right)"
        assert len(page.evaluate(ends)) == 2
        assert max(page.evaluate(ends)) <= 390
        browser.close()
