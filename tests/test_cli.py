"""The commands, as a user runs them: the demo clinic from nothing to predictions."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted import named, results_of, study_of

from fewshot_flair.cli import show, tables, terminal
from fewshot_flair.cli.progress import Bar
from fewshot_flair.files import digest_of

GRADES = [f"{grade} diabetic retinopathy" for grade in ("no", "mild", "moderate", "severe", "proliferative")]


def run(*words: object, ok: bool = True, cwd: Path | None = None, **environment: str):
    command = [sys.executable, "-c", "from fewshot_flair.cli import main; main()", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, "COLUMNS": "120", **environment}
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="session")
def adapted(demo_cache, demo_lock, tmp_path_factory) -> tuple[Path, str]:
    """The main job on the demo clinic, from an empty cache unless a notebook was first: its folder, what it printed."""
    out = tmp_path_factory.mktemp("adapted") / "run"
    with demo_lock:
        done = run(
            "adapt", "--shots", "4,16", "--seeds", 5, "--out", out, FEWSHOT_FLAIR_CACHE=str(demo_cache)
        )
    return out, done.stdout


def test_help_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'transformers', 'pydantic'}"
    code = f"import sys, fewshot_flair.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_adapt_says_what_it_did(adapted):
    out, printed = adapted
    assert "rendered photographs, not real eyes" in printed
    assert "not a medical device" in printed
    for name in ("zero-shot", "lp", "logistic", "clip-adapter", "ss-text", "ss-text+"):
        assert name in printed
    for name in ("report.html", "results.csv", "run.json", "splits.csv", "test_predictions.csv"):
        assert (out / name).stat().st_size > 0


@pytest.mark.slow
def test_results_table(adapted):
    table = pd.read_csv(adapted[0] / "results.csv")
    assert len(table) == 6 * 2 * 5
    assert not table.duplicated(["adapter", "shots", "scenario", "seed"]).any()
    recall = table[[f"recall_{grade}" for grade in GRADES]]
    assert np.allclose(recall.mean(axis=1), table["balanced_accuracy"], atol=1e-5)
    zero_shot = table[table["adapter"] == "zero-shot"]["balanced_accuracy"]
    assert zero_shot.nunique() == 1
    assert 0.40 <= zero_shot.iloc[0] <= 0.70
    best = table[table["shots"] == 16].groupby("adapter")["balanced_accuracy"].mean().max()
    assert best > zero_shot.iloc[0] + 0.03


@pytest.mark.slow
def test_run_record(adapted):
    record = json.loads((adapted[0] / "run.json").read_text())
    (clinic,) = record["clinics"]
    assert record["study"]["seeds"] == [0, 1, 2, 3, 4]
    assert clinic["rendered"]
    assert clinic["train"]["patients"] > 0
    assert len(clinic["encoder"]["fingerprint_id"]) == 64
    assert record["versions"]["torch"].startswith("2.")
    assert clinic["skipped"] == []
    scores = {name: saved["cross_validation"] for name, saved in record["saved"].items()}
    assert record["default_adapter"] == max(scores, key=scores.get)
    assert "zero-shot" in record["verdict"]


@pytest.mark.slow
def test_saved_adapters_are_judged_by_what_predict_gives(adapted, demo_cache, tmp_path):
    """The figures of run.json are those of test_predictions.csv, and predict gives the same table."""
    out = adapted[0]
    record = json.loads((out / "run.json").read_text())
    name = record["default_adapter"]
    table = pd.read_csv(out / "test_predictions.csv")
    mine = table[table["adapter"] == name]
    recalls = (mine["predicted"] == mine["label"]).groupby(mine["label"]).mean()
    assert record["saved"][name]["test"]["balanced_accuracy"] == pytest.approx(recalls.mean())
    splits = pd.read_csv(out / "splits.csv")
    assert list(splits.columns[:4]) == ["image", "label", "patient_id", "split"]
    assert set(splits["split"]) == {"train", "test"}
    folder = Path(record["clinics"][0]["test"]["path"]).parent
    tested = [folder / image for image in mine["image"][:30]]
    trained = folder / splits.loc[splits["split"] == "train", "image"].iloc[0]
    csv = tmp_path / "p.csv"
    done = run("predict", out, *tested, trained, "--out", csv, FEWSHOT_FLAIR_CACHE=str(demo_cache))
    assert "1 of them was among the training photographs" in done.stdout
    predicted = pd.read_csv(csv)
    assert list(predicted["predicted"][:30]) == list(mine["predicted"][:30])
    assert np.allclose(predicted["probability"][:30], mine["probability"][:30], atol=2e-6)
    assert predicted["note"].notna().tolist() == [False] * 30 + [True]


@pytest.mark.slow
def test_predict_says_what_each_answer_is_worth(adapted, demo_cache, tmp_path):
    """Set, decision, quality, typicality, patient and nearest photographs; a table of patients and a page."""
    out = adapted[0]
    splits = pd.read_csv(out / "splits.csv")
    record = json.loads((out / "run.json").read_text())
    folder = Path(record["clinics"][0]["test"]["path"]).parent
    rows = splits[splits["split"] == "test"].head(60)
    noise = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(noise)
    trained = splits[splits["split"] == "train"].iloc[0]
    images = [*(str(folder / image) for image in rows["image"]), str(noise), str(folder / trained["image"])]
    patients = [*rows["patient_id"], rows["patient_id"].iloc[0], trained["patient_id"], "lost"]
    images.append(str(tmp_path / "gone.jpg"))
    given = tmp_path / "new.csv"
    pd.DataFrame({"image": images, "patient_id": patients}).to_csv(given, index=False)
    table, people, page = tmp_path / "p.xlsx", tmp_path / "patients.csv", tmp_path / "p.html"
    cache = {"FEWSHOT_FLAIR_CACHE": str(demo_cache)}
    words = ("predict", out, given, "--out", table, "--patients", people)
    done = run(*words, "--html", page, ok=False, **cache)
    assert done.returncode == 1  # a photograph is not there
    assert "referred" in done.stdout
    found = pd.read_excel(table)
    assert list(found["image"]) == images
    after = ["set", "decision", "reason", "quality", "typicality", "patient", "nearest", "note"]
    assert list(found.columns[-8:]) == after
    assert found["quality"][60] == "no retina"
    assert found["decision"][60] == "refer"
    assert found["reason"][60].startswith("no retina")
    answers = [
        "predicted",
        "probability",
        "set",
        *(name for name in found if name.startswith("probability_")),
    ]
    assert found.loc[60, answers].isna().all()
    assert found.loc[:59, answers].notna().all(axis=None)
    assert "none: no retina" in done.stdout
    assert "none: left out" in done.stdout
    assert "1 of them was among the training photographs; what is said of it is no test" in done.stdout
    assert set(found["decision"][:62]) <= {"answer", "refer"}
    covered = [
        label in named.split("; ") for label, named in zip(rows["label"], found["set"][:60], strict=True)
    ]
    assert np.mean(covered) > 0.75
    assert found["nearest"][61].startswith(f"{trained['image']} ({trained['label']})")
    assert found["typicality"][:62].between(0, 1).all()
    assert list(found["patient"]) == patients
    by_patient = pd.read_csv(people).set_index("patient")
    assert by_patient["photographs"].sum() == 61
    assert by_patient.loc[patients[0], "left_out"] == 1
    assert by_patient.loc["lost", ["photographs", "left_out", "decision"]].tolist() == [0, 1, "refer"]
    assert by_patient.loc[patients[0], "decision"] == "refer"
    shares = ",".join(
        f"{grade}={share}" for grade, share in zip(GRADES, (0.96, 0.01, 0.01, 0.01, 0.01), strict=True)
    )
    run(*words, "--prevalence", shares, ok=False, **cache)
    moved = pd.read_excel(table)
    assert (moved["predicted"] != found["predicted"])[:60].any()
    assert (moved["decision"] == found["decision"])[:62].all()
    assert pd.read_csv(people).set_index("patient")["decision"].equals(by_patient["decision"])
    text = page.read_text()
    assert text.index("noise.png") < text.index(Path(images[0]).name)
    assert "<script" not in text
    assert "<h1>63 photographs</h1>" in text
    assert text.index("No answer") < text.index("noise.png") < text.index("For a person to look at")
    alone = tmp_path / "one.csv"
    run("predict", out, images[7], "--no-decide", "--out", alone, **cache)
    one = pd.read_csv(alone)
    assert "decision" not in one.columns
    for column in ("predicted", "set", "quality", "nearest"):
        assert one[column][0] == found[column][7]
    assert one["typicality"][0] == pytest.approx(found["typicality"][7], abs=1e-6)
    done = run("predict", out, images[7], "--out", alone, "--patients", people, ok=False, **cache)
    assert done.returncode == 2
    assert "patient_id" in done.stderr
    copy = tmp_path / "run"
    shutil.copytree(out, copy)
    for name in ("sets.safetensors", "../training-backbone.safetensors"):
        path = copy / record["saved"]["logistic"]["folder"] / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        done = run("predict", copy, images[7], "--adapter", "logistic", "--out", alone, ok=False, **cache)
        assert done.returncode == 2
        assert "damaged" in done.stderr
        path.write_bytes(whole)


@pytest.mark.slow
def test_second_run_encodes_nothing_and_says_the_same(adapted, demo_cache, tmp_path):
    words = ("adapt", "--shots", "4,16", "--seeds", 5, "--out", tmp_path / "again", "--json")
    summary = json.loads(run(*words, FEWSHOT_FLAIR_CACHE=str(demo_cache)).stdout)
    assert summary["extraction"]["encoded"] == 0
    a, b = (pd.read_csv(folder / "results.csv") for folder in (adapted[0], tmp_path / "again"))
    pd.testing.assert_frame_equal(a, b)


@pytest.mark.slow
def test_predict_agrees_with_the_refitted_adapter(adapted, demo_cache, tmp_path):
    from fewshot_flair import Manifest

    record = json.loads((adapted[0] / "run.json").read_text())
    test = Manifest.read(record["clinics"][0]["test"]["path"]).split("test")
    photographs = test.paths[:40]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photographs[0].read_bytes()[:500])
    out = tmp_path / "predictions.csv"
    done = run(
        "predict",
        adapted[0],
        *photographs,
        broken,
        "--out",
        out,
        ok=False,
        FEWSHOT_FLAIR_CACHE=str(demo_cache),
    )
    assert "broken.jpg" in done.stdout
    table = pd.read_csv(out)
    assert list(table["image"]) == [str(path) for path in [*photographs, broken]]
    assert table["predicted"].isna().tolist() == [False] * 40 + [True]
    assert "truncated" in table["note"][40]
    table = table[:40]
    probabilities = table[[f"probability_{grade}" for grade in GRADES]]
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    assert (table["predicted"] == [GRADES[i] for i in probabilities.to_numpy().argmax(axis=1)]).all()
    assert (table["predicted"] == test.frame["label"][:40]).mean() > 0.5


@pytest.mark.slow
def test_predict_refuses_another_encoder(adapted, demo_cache, tmp_path):
    done = run(
        *("predict", adapted[0] / "adapters" / "lp", adapted[0] / "run.json", "--out", tmp_path / "p.csv"),
        *("--encoder", tmp_path),
        ok=False,
        FEWSHOT_FLAIR_CACHE=str(demo_cache),
    )
    assert done.returncode == 2
    # an adapter alone: within its run, run.json's digest would say first that it is another
    alone = shutil.copytree(adapted[0] / "adapters" / "lp", tmp_path / "lp")
    original = (alone / "adapter.json").read_text()
    fingerprint = json.loads(original)["extra"]["encoder"]["fingerprint_id"]
    record = json.loads(original.replace(fingerprint, "0" * 64))
    del record["sha256"]
    (alone / "adapter.json").write_text(json.dumps(record | {"sha256": digest_of(record)}))
    done = run(
        *("predict", alone, adapted[0] / "run.json", "--out", tmp_path / "p.csv"),
        ok=False,
        FEWSHOT_FLAIR_CACHE=str(demo_cache),
    )
    assert "is not the one this adapter was fitted with" in done.stderr


@pytest.mark.slow
def test_cut_of_a_recipe_with_its_report(demo_cache, tmp_path):
    recipes = Path(__file__).resolve().parents[1] / "recipes"
    for name in ("sstext-u", "flair-tables"):
        out = tmp_path / name
        words = ("study", recipes / name / "study.toml", "--on", "demo", "--encoder", "mini", "--seeds", 2)
        cut = () if name == "flair-tables" else ("--shots", "1,4")
        run(*words, *cut, "--out", out, FEWSHOT_FLAIR_CACHE=str(demo_cache))
        assert (out / "report.html").is_file()
        assert "rendered by a program" in (out / "report.html").read_text()


@pytest.mark.slow
def test_killed_three_times_a_study_ends_in_the_same_table(demo_cache, tmp_path):
    design = tmp_path / "study.toml"
    design.write_text(
        'name = "killed"\nquestion = "?"\nadapters = ["zero-shot", "lp", "ss-text+", "lp-cw"]\n'
        'shots = [1, 2, 4]\nscenarios = ["standard", "realistic"]\nseeds = 3\n'
        '[[data]]\nname = "demo clinic"\nmanifest = "demo"\n'
    )
    words = ("study", design, "--no-report", "--out")
    environment = {**os.environ, "FEWSHOT_FLAIR_CACHE": str(demo_cache)}
    run(*words, tmp_path / "whole", FEWSHOT_FLAIR_CACHE=str(demo_cache))
    cells = tmp_path / "killed" / "cells"
    kept: dict[str, int] = {}
    for finished in (2, 8, 15):
        process = subprocess.Popen(
            [sys.executable, "-c", "from fewshot_flair.cli import main; main()"]
            + [str(word) for word in (*words, tmp_path / "killed")],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and len(list(cells.glob("*.json"))) < finished:
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert not (tmp_path / "killed" / "results.csv").exists()
        now = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.json")}
        assert finished <= len(now) < 24
        assert kept.items() <= now.items()  # what was finished is not computed again
        kept = now
    run(*words, tmp_path / "killed", FEWSHOT_FLAIR_CACHE=str(demo_cache))
    a, b = ((tmp_path / name / "results.csv").read_bytes() for name in ("whole", "killed"))
    assert a == b


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("adapt", "--shots", "none"), "1,2,4,8,16"),
        (("adapt", "--shots", "0"), "at least 1"),
        (("adapt", "--adapter", "sstext+"), "ss-text+"),
        (("adapt", "--data", "nowhere.csv"), "nowhere.csv"),
        (("adapt", "--encoder", "flare"), "flair"),
        (("adapt", "--operating-point", "0.9"), "give sensitivity=0.9"),
        (("adapt", "--prevalence", "a:0.7"), "a=0.7,b=0.3"),
        (("predict", "nowhere", "x.jpg", "--out", "p.csv"), "run.json"),
        (("study", "nowhere.toml"), "recipes"),
        (("report", "."), "no finished run"),
        (("prompts", "--prompts", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_mistakes_get_one_sentence(words, said, demo_cache, tmp_path):
    done = run(*words, ok=False, cwd=tmp_path, FEWSHOT_FLAIR_CACHE=str(demo_cache))
    assert done.returncode == 2
    assert said in done.stderr


def test_out_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    done = run("adapt", "--out", tmp_path, ok=False)
    assert "holds no earlier run" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_lists():
    assert "ss-text+" in run("adapters").stdout
    assert "flair" in run("encoders").stdout
    names = [about["name"] for about in json.loads(run("adapters", "--json").stdout)]
    assert len(names) == len(set(names)) >= 20


def test_encoders_are_named_whole_however_narrow_the_terminal():
    said = run("encoders", COLUMNS="40").stdout
    assert "openai/clip-vit-base-patch32" in said
    assert "…" not in said


def shown(width: int = 80):
    from rich.console import Console

    return Console(file=io.StringIO(), width=width, highlight=False)


def test_a_title_is_one_line_however_narrow_the_table():
    table = terminal.plain_table()
    table.add_column("a")
    title = "a data set [of a long name], some encoder, standard: balanced accuracy, %, by shots"
    to = shown(30)
    terminal.under_title(to, title, table)
    assert to.file.getvalue().splitlines()[0] == title


def test_names_neither_colour_nor_move_the_cursor():
    to = shown()
    terminal.warn(to, "eye\x1b[31m[bold]\u202e.jpg")
    assert to.file.getvalue() == "eye\\x1b[31m[bold]\\u202e.jpg\n"


def test_a_file_gets_lines_where_a_terminal_has_a_bar():
    to = shown()
    with Bar(to, "encoding with [mini]") as bar:
        for done in range(4):
            bar.tell(done, 3, "9 images/s")
    assert to.file.getvalue().splitlines()[-1] == "encoding with [mini]: 3 of 3, 9 images/s"


def test_hints_on_names_and_order(planted_clinic):
    classes = ["cataract thing", "glaucoma", "normal", "odd", "zoster"]
    texts = {name: [name] if name in ("odd", "zoster") else ["a", "b"] for name in classes}
    told = planted_clinic.provenance.model_copy(update={"descriptions": texts})
    to = shown()
    show.doubts(to, replace(planted_clinic, classes=classes, ordinal=False, provenance=told))
    said = to.file.getvalue()
    assert "reads just the name of: odd, zoster\n" in said
    assert "alphabetical order" in said
    assert "1 row left out; run.json lists" in said
    to = shown()
    show.doubts(to, planted_clinic)
    assert "alphabetical" not in to.file.getvalue()


@pytest.mark.parametrize(("brought", "said"), [(False, "PHOTOGRAPHS"), (True, "FEATURES.npz")])
def test_the_next_command_can_be_pasted(planted_clinic, tmp_path, brought, said):
    out = tmp_path / "a run of mine with a name that is longer than most terminals are wide"
    clinic = named(planted_clinic, "planted", brought=brought)
    results = results_of(study_of(shots=[1]), out, clinic, default_adapter="lp")
    to = shown(40)
    show.written(to, results, out)
    command = to.file.getvalue().splitlines()[1].split(": ", 1)[1]
    assert shlex.split(command) == ["fewshot-flair", "predict", str(out), said, "--out", "predictions.csv"]


def test_a_study_s_tables_have_intervals_where_they_fit(planted_clinic, tmp_path):
    results = results_of(study_of(shots=[1, 2, 4]), tmp_path, planted_clinic)
    wide, narrow = shown(100), shown(40)
    tables.study(wide, results)
    tables.study(narrow, results)
    row = next(line for line in wide.file.getvalue().splitlines() if line.startswith(" lp"))
    assert row.count("±") == 3
    assert "±" not in narrow.file.getvalue()


def test_tables_of_sets_say_of_which_data_and_scenario_they_are(planted_clinic, tmp_path):
    study = study_of(shots=[2], scenarios=["standard", "realistic"], conformal=["full:lac:0.1"])
    results = results_of(study, tmp_path, planted_clinic)
    to = shown(80)
    tables.study(to, results)
    titles = [line for line in to.file.getvalue().splitlines() if line.startswith("conformal sets")]
    assert titles == [
        f"conformal sets, {scenario}, 2 shots, mean over the draws (conformal.csv)"
        for scenario in ("standard", "realistic")
    ]


def test_help_flows_and_keeps_its_brackets():
    helped = run("study", "--help", COLUMNS="80").stdout
    assert "under [[data]]." in helped
    line = next(line.rstrip() for line in helped.splitlines() if "it is the same" in line)
    assert len(line) > 60  # no line ends where the source's does
