"""Studies: the design, the cells, going on after a stop, and what the evaluation may and may not see."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import named, results_of, study_of, tasks_of
from threadpoolctl import threadpool_limits

from fewshot_flair.adapters import registry
from fewshot_flair.bank import FeatureBank
from fewshot_flair.encoders import load_encoder
from fewshot_flair.episodes import EpisodeSampler
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.cells import run_tasks
from fewshot_flair.experiment.clinic import check_sides
from fewshot_flair.experiment.code import code_digest
from fewshot_flair.experiment.design import Study
from fewshot_flair.experiment.folder import folder_name
from fewshot_flair.experiment.results import CellResult, StudyResults
from fewshot_flair.experiment.runner import run_study
from fewshot_flair.experiment.scoring import evaluate_adapter
from fewshot_flair.experiment.spec import AdapterSpec, usable_adapters
from fewshot_flair.report.page import write_report
from fewshot_flair.text import prompts
from fewshot_flair.text.prompts import described, text_digest, text_prototypes

DESIGN = """
name = "planted"
question = "Which?"
adapters = ["zero-shot", "ss-text", {name = "ss-text", lam = 0.5}]
shots = [4, 1]
scenarios = ["standard", {kind = "missing-class", missing = ["severe"]}]
label_noise = [0.0, 0.2]
seeds = 3
[[data]]
name = "planted"
manifest = "planted.csv"
"""


def read(tmp_path: Path, text: str = DESIGN) -> Study:
    path = tmp_path / "study.toml"
    path.write_text(text)
    return Study.read(path)


def test_design_is_read(tmp_path):
    study = read(tmp_path)
    assert study.seeds == [0, 1, 2]
    assert study.shots == [1, 4]
    assert [spec.label for spec in study.adapters] == ["zero-shot", "ss-text", "ss-text(lam=0.5)"]
    labels = [cell.names["scenario"] for cell in study.cells()]
    assert len(labels) == 2 * 2 * 2 * 3
    assert set(labels) == {"standard", "missing-class(missing=['severe'])"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("shots = [4, 1]", "shots = [0]", "shots"),
        ("shots = [4, 1]", "shots = [4, 4]", "twice"),
        ("seeds = 3", "sedes = 3", "sedes"),
        ("label_noise = [0.0, 0.2]", "label_noise = [1.5]", "label_noise"),
        ('name = "planted"\nquestion', "question", "name"),
        ("seeds = 3", "seeds = ", "not TOML"),
    ],
)
def test_design_errors_name_the_entry(tmp_path, old, new, said):
    assert old in DESIGN
    with pytest.raises(InputError, match=said):
        read(tmp_path, DESIGN.replace(old, new, 1))


def test_missing_design(tmp_path):
    with pytest.raises(MissingFileError, match="recipes"):
        Study.read(tmp_path / "no.toml")


def test_cells_are_computed_once_and_a_stopped_study_goes_on(planted_clinic, tmp_path):
    study = read(tmp_path)
    whole = tasks_of(study, tmp_path / "whole", planted_clinic)
    computed = []
    a = run_tasks(whole, done=computed.append)
    assert len(computed) == len(whole) == 24
    run_tasks(whole, done=computed.append)
    assert len(computed) == 24
    parts = tasks_of(study, tmp_path / "parts", planted_clinic)
    run_tasks(parts[5:9])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts" / "cells").iterdir()}
    b = run_tasks(parts, done=computed.append)
    assert len(computed) == 24 + 20
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert [cell.rows for cell in a] == [cell.rows for cell in b]


def test_results_are_read_again_as_they_were(planted_clinic, tmp_path):
    results = results_of(read(tmp_path), tmp_path, planted_clinic)
    pd.testing.assert_frame_equal(StudyResults.read(tmp_path).rows, results.rows)


def test_a_flipped_bit_is_never_read_as_another_number(planted_clinic, tmp_path):
    study = study_of(adapters=["lp"], shots=[1])
    results_of(study, tmp_path, planted_clinic)
    (path,) = (tmp_path / "cells").iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged"):
            CellResult.read(path)
    with pytest.raises(InputError, match="computes just this cell again"):
        StudyResults.read(tmp_path)
    again = []
    run_tasks(tasks_of(study, tmp_path, planted_clinic), done=again.append)
    assert len(again) == 1
    assert path.read_bytes()[65:200] == whole[65:200]


def test_processes_give_the_same_table(planted_clinic, tmp_path):
    study = read(tmp_path, DESIGN.replace("label_noise = [0.0, 0.2]", ""))
    one, two = (
        run_tasks(tasks_of(study, tmp_path / str(jobs), planted_clinic), jobs=jobs) for jobs in (1, 2)
    )
    assert [cell.rows for cell in one] == [cell.rows for cell in two]


@pytest.mark.slow
def test_a_dask_scheduler_gives_the_same_table(planted_clinic, tmp_path):
    from distributed import LocalCluster

    study = read(tmp_path, DESIGN.replace("label_noise = [0.0, 0.2]", ""))
    here = run_tasks(tasks_of(study, tmp_path / "a", planted_clinic))
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        there = run_tasks(
            tasks_of(study, tmp_path / "b", planted_clinic), scheduler=cluster.scheduler_address
        )
    assert [cell.rows for cell in here] == [cell.rows for cell in there]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has no second thread")
def test_the_number_of_cores_changes_no_digit(planted_clinic, tmp_path):
    tables = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            out = tmp_path / str(threads)
            tables.append(results_of(study_of(seeds=40), out, planted_clinic).rows)
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_missing_class_has_no_shots(planted_clinic, tmp_path):
    rows = results_of(read(tmp_path), tmp_path, planted_clinic).rows
    missing = rows[rows["scenario"].str.startswith("missing") & (rows["label_noise"] == 0)]
    assert (missing["support_severe"] == 0).all()
    assert (missing["support_none"] == missing["shots"]).all()


def test_all_adapters_see_the_same_support_sets(planted_clinic, tmp_path):
    study = study_of(adapters=["lp", "ss-text+"], shots=[2], scenarios=["realistic"], seeds=4)
    rows = results_of(study, tmp_path, planted_clinic).rows
    support = [name for name in rows.columns if name.startswith(("support_", "seed"))]
    a, b = (part[support].reset_index(drop=True) for _, part in rows.groupby("adapter"))
    pd.testing.assert_frame_equal(a, b)


def test_a_pool_is_learned_from_and_never_counted(planted_clinic, tmp_path):
    train = planted_clinic.train
    halves = np.arange(len(train)) % 2 == 0
    pool = replace(train.take(np.flatnonzero(halves)), y=np.full(halves.sum(), -1))
    clinic = replace(planted_clinic, train=train.take(np.flatnonzero(~halves)), pool=pool)
    alone = replace(clinic, pool=None)
    found = {}
    for name, each, extra in (
        ("pool", clinic, {}),
        ("some", clinic, {"unlabelled": 20}),
        ("fewer", clinic, {"unlabelled": 10_000}),
        ("none", alone, {}),
    ):
        study = study_of(adapters=["ss-text-u", "ss-text"], shots=[2], **extra)
        results = results_of(study, tmp_path / name, each)
        told = [
            note for cell in results.cells for note in cell.notes if "unlabelled images an episode" in note
        ]
        assert told == ([f"{len(pool)} unlabelled images an episode, not the 10000 asked for: there are no more"]
                        if name == "fewer" else [])  # fmt: skip
        rows = results.rows
        found[name] = rows.pivot(index="seed", columns="adapter", values="log_loss")
        assert (rows[[f"support_{c}" for c in clinic.classes]].sum(axis=1) == 10).all()
    for other in ("some", "none"):
        pd.testing.assert_series_equal(found["pool"]["ss-text"], found[other]["ss-text"])
        assert not np.allclose(found["pool"]["ss-text-u"], found[other]["ss-text-u"])


def test_fitting_never_sees_test_labels(planted_clinic):
    episodes = EpisodeSampler(4).sample_many(planted_clinic.train.y, range(3))
    rng = np.random.default_rng(0)
    shuffled = replace(planted_clinic.test, y=rng.permutation(planted_clinic.test.y))
    other = replace(planted_clinic, test=shuffled)
    for name in ("lp", "ss-text+", "logistic"):
        a = evaluate_adapter(planted_clinic, AdapterSpec(name), episodes)
        b = evaluate_adapter(other, AdapterSpec(name), episodes)
        assert a.confusion.sum(axis=0) == pytest.approx(b.confusion.sum(axis=0))  # the same predictions
        assert a.rows[0]["accuracy"] > b.rows[0]["accuracy"] + 0.1


def test_label_noise_hurts_and_is_seeded(planted_clinic):
    episodes = EpisodeSampler(8).sample_many(planted_clinic.train.y, range(5))
    clean, noisy, again = (
        pd.DataFrame(
            evaluate_adapter(planted_clinic, AdapterSpec("ss-text+"), episodes, label_noise=rate).rows
        )
        for rate in (0.0, 0.4, 0.4)
    )
    assert noisy["balanced_accuracy"].mean() < clean["balanced_accuracy"].mean() - 0.03
    pd.testing.assert_frame_equal(noisy, again)


def test_known_prior_helps_accuracy_on_a_long_tail(planted_clinic):
    episodes = EpisodeSampler(8).sample_many(planted_clinic.train.y, range(5))
    plain, known, estimated = (
        pd.DataFrame(evaluate_adapter(planted_clinic, AdapterSpec("ss-text"), episodes, prior=prior).rows)
        for prior in ("none", "known", "estimated")
    )
    assert known["accuracy"].mean() > plain["accuracy"].mean()
    assert not np.allclose(known["accuracy"], estimated["accuracy"])


def test_patients_as_the_unit_of_a_shot(planted_clinic):
    train = planted_clinic.train
    groups = np.unique(train.patients, return_inverse=True)[1]
    drawn = EpisodeSampler(3).sample_many(train.y, range(4), groups=groups)
    for rows in drawn:
        for c in range(5):
            own = rows[train.y[rows] == c]
            patients = set(groups[own])
            assert len(patients) == 3
            assert set(own) == {i for i in range(len(train)) if train.y[i] == c and groups[i] in patients}


def test_leaks_are_named(planted_clinic):
    train, test = planted_clinic.train, planted_clinic.test
    check_sides("x", planted_clinic.classes, train, test)
    with pytest.raises(InputError, match="P3"):
        check_sides("x", planted_clinic.classes, train, replace(test, patients=["P3", *test.patients[1:]]))
    with pytest.raises(InputError, match="patients 'P3' and 'p_03', of training and of test, read alike"):
        check_sides("x", planted_clinic.classes, train, replace(test, patients=["p_03", *test.patients[1:]]))
    with pytest.raises(InputError, match=r"two names.*'5\.jpg' and '270\.jpg'.*drop-train"):
        check_sides("x", planted_clinic.classes, train, replace(test, keys=[train.keys[5], *test.keys[1:]]))
    with pytest.raises(InputError, match="only one class"):
        check_sides("x", ["none"], train, test)


def test_a_leaking_manifest_is_refused_before_anything_is_computed(tmp_path):
    from PIL import Image

    rows = ["image,label,patient_id,split"]
    for i, (patient, split) in enumerate((("P1", "train"), ("P2", "train"), ("P2", "test"), ("P3", "test"))):
        Image.new("RGB", (32, 32), (90 + i, 40, 20)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'healthy' if i % 2 else 'diseased'},{patient},{split}")
    (tmp_path / "leaky.csv").write_text("\n".join(rows))
    study = read(tmp_path, DESIGN.replace("planted.csv", "leaky.csv"))
    with pytest.raises(InputError, match="P2"):
        run_study(study, tmp_path / "out", cache=tmp_path / "cache")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()


def test_vision_only_encoder_leaves_out_what_needs_text():
    specs = [AdapterSpec("zero-shot"), AdapterSpec("logistic")]
    usable, left_out = usable_adapters(specs, has_text=False)
    assert [spec.name for spec in usable] == ["logistic"]
    assert [spec.name for spec in left_out] == ["zero-shot"]
    assert usable_adapters([AdapterSpec("ss", without_text=True)], has_text=True) == ([], [])


def test_adapter_spec():
    spec = AdapterSpec.parse("tip-adapter:alpha=2,beta=5.5")
    assert spec.params == {"alpha": 2, "beta": 5.5}
    assert spec.label == "tip-adapter(alpha=2, beta=5.5)"
    with pytest.raises(InputError, match="parameter=value"):
        AdapterSpec.parse("lp:fast")


ADAPTER = """
from fewshot_flair.adapters import Adapter, cosine_head, register

@register
class Scaled(Adapter):
    name = "scaled"
    summary = "text prototypes times a factor"

    def fit_batch(self, batch):
        return cosine_head(batch.xp, 2 * batch.prototypes.prototypes, batch.prototypes.scale)
"""


def test_cells_of_an_edited_adapter_are_computed_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(registry._adapters, "known", dict(registry._adapters.known))
    path, digests = tmp_path / "scaled_adapter.py", []
    for text in (ADAPTER, ADAPTER + "# edited", ADAPTER):
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("scaled_adapter", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "scaled_adapter", module)
        spec.loader.exec_module(module)
        digests.append(code_digest("scaled"))
    assert digests[0] == digests[2] != digests[1]
    assert code_digest("ss-text") == code_digest("lp") != digests[0]


def test_so_are_those_of_an_adapter_that_was_typed(monkeypatch):
    monkeypatch.setattr(registry._adapters, "known", dict(registry._adapters.known))
    digests = []
    for factor in (1, 2, 1):
        exec(ADAPTER.replace("2 *", f"{factor} *"), {"__name__": "__console__"})
        digests.append(code_digest("scaled"))
    assert digests[0] == digests[2] != digests[1]


def test_other_images_under_the_same_names_are_other_cells(planted_clinic, tmp_path):
    study = read(tmp_path)
    swapped = replace(planted_clinic.test, keys=planted_clinic.test.keys[::-1])
    a, b = (
        {task.path.name for task in tasks_of(study, tmp_path, clinic)}
        for clinic in (planted_clinic, replace(planted_clinic, test=swapped))
    )
    assert not a & b


def test_names_of_a_study_differ(tmp_path):
    twice = DESIGN + '[[data]]\nname = "planted"\nmanifest = "other.csv"\n'
    with pytest.raises(InputError, match="data: 'planted' is there twice"):
        read(tmp_path, twice)
    with pytest.raises(InputError, match="adapters: 'lp' is there twice"):
        read(tmp_path, DESIGN.replace('"zero-shot", "ss-text"', '"lp", "lp"'))
    on = read(tmp_path).changed(on=["a/data.csv", "b/data.csv"])
    assert len({data.name for data in on.data}) == 2


def test_a_study_leaves_other_folders_alone(tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "results.csv").write_text("precious")
    with pytest.raises(InputError, match="holds no earlier run"):
        run_study(read(tmp_path), out)
    assert (out / "results.csv").read_text() == "precious"


def test_warnings_of_adapters_become_notes(planted_clinic):
    episodes = EpisodeSampler(1).sample_many(planted_clinic.train.y, range(2))
    assert "nearest class means" in evaluate_adapter(planted_clinic, AdapterSpec("gda"), episodes).notes[0]
    assert evaluate_adapter(planted_clinic, AdapterSpec("logistic", {"max_steps": 1}), episodes).notes


def test_prior_correction_of_zero_shot_ignores_the_support(planted_clinic):
    results = []
    for scenario in ("standard", "realistic"):
        episodes = EpisodeSampler(4, scenario).sample_many(planted_clinic.train.y, range(2))
        outcome = evaluate_adapter(planted_clinic, AdapterSpec("zero-shot"), episodes, prior="known")
        results.append(outcome.rows[0]["log_loss"])
    assert results[0] == pytest.approx(results[1])


def test_file_names_of_labels_differ():
    names = [
        folder_name(label) for label in ("诊所一", "诊所二", "a/b", "a:b", "a$b", "ss-text(lam=0.5)", "lp++")
    ]
    assert len(set(names)) == len(names)
    assert "lp++" in names
    assert not any(set(name) & set('/\\:*?"<>|$') for name in names)


def test_report_with_awkward_names_and_an_undefined_metric(planted_clinic, tmp_path):
    clinic = replace(named(planted_clinic, "a$^$b"), ordinal=False)
    results_of(study_of("a$^$b"), tmp_path, clinic)
    report = write_report(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "a$^$b" in report.read_text()
    with pytest.raises(InputError, match=r"quadratic_kappa is undefined.*a\$\^\$b.*ordered = true"):
        write_report(tmp_path, "quadratic_kappa")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_what_a_study_asks_for_is_bounded():
    for entries in (
        {"seeds": 10**9},
        {"shots": [10**12]},
        {"seeds": [2**40]},
        {"shots": list(range(1, 60_000))},
    ):
        with pytest.raises(InputError):
            study_of(**entries)


@pytest.mark.parametrize("text", ["x = " + "[" * 20000 + "]" * 20000, "\x00", 'a."b' * 5])
def test_whatever_a_study_s_file_holds_the_error_is_ours(tmp_path, text):
    with pytest.raises(InputError, match=r"study\.toml"):
        read(tmp_path, text)


def test_prototypes_follow_the_dictionary(tmp_path, monkeypatch):
    encoder = load_encoder("mini")
    bank = FeatureBank.open(tmp_path, encoder)
    classes = ["no diabetic retinopathy", "mild diabetic retinopathy"]

    def made():
        return text_prototypes(encoder, bank, described(classes, "expert"))

    before = made()
    assert text_digest(made()) == text_digest(before)
    monkeypatch.setattr(prompts, "descriptions", lambda name: [f"a changed description of {name}"])
    after = made()
    assert after.descriptions[classes[0]] == ["a changed description of no diabetic retinopathy"]
    assert text_digest(after) != text_digest(before)
