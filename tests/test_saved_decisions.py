"""What saved adapters keep for decisions: chosen out of fold, kept with a digest, measured once, shown."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from planted import results_of, study_of
from scipy.special import softmax

from fewshot_flair.cli import show, terminal
from fewshot_flair.cli.parsing import parse_prevalence
from fewshot_flair.data.grades import DR_GRADES, referable_grades
from fewshot_flair.episodes import EpisodeSampler
from fewshot_flair.episodes.folds import inseparable, patient_folds
from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import balanced_accuracy, combine_patients, patient_labels, score
from fewshot_flair.evaluation.calibration import fit_temperature
from fewshot_flair.evaluation.patients import predicted_by_patient
from fewshot_flair.evaluation.priors import correct_prior
from fewshot_flair.experiment.calibrating import draw_temperatures
from fewshot_flair.experiment.choices import DecisionChoice, EncoderChoice
from fewshot_flair.experiment.decisions import check_prevalence, positive_classes
from fewshot_flair.experiment.design import Study
from fewshot_flair.experiment.spec import AdapterSpec
from fewshot_flair.models import calibrated, cross_validate, decide, load_adapter
from fewshot_flair.models.decided import measure
from fewshot_flair.models.decision import (
    Decision,
    OperatingPoint,
    Referral,
    Shift,
    estimated_prevalence,
    sureness,
)
from fewshot_flair.models.origin import Origin
from fewshot_flair.models.refit import refit, refit_all
from fewshot_flair.report.page import write_report

POSITIVE = ["moderate", "severe", "proliferative"]
SPECS = [AdapterSpec("zero-shot"), AdapterSpec("lp"), AdapterSpec("ss")]


@pytest.fixture(scope="module")
def made(planted_clinic, tmp_path_factory):
    """Adapters of the planted clinic with everything asked for, and their folder."""
    out = tmp_path_factory.mktemp("made")
    wanted = DecisionChoice(
        positive=POSITIVE, operating_point="sensitivity=0.8", max_error=0.2, prevalence="estimate"
    )
    return out, refit_all(planted_clinic, SPECS, EncoderChoice(name="mini"), out, wanted=wanted)


@pytest.fixture
def grades() -> Decision:
    return Decision(
        classes=["none", "mild", "severe"],
        temperature=2.0,
        bias=[0, 0, 0],
        calibration="by hand",
        shift=Shift(temperature=1.5, bias=[0.5, 0, -0.5], presumed=[0.5, 0.3, 0.2]),
        rows=90,
        folds=5,
        operating=OperatingPoint(positive=["severe"], threshold=0.3, sensitivity=0.9, specificity=0.5),
        referral=Referral(max_error=0.05, threshold=0.8, answered=0.5),
    )


def test_patients_who_share_a_photograph_are_in_one_fold(planted_clinic):
    groups = inseparable(["b", "b", "a", "c", "d"], ["1", "2", "3", "2", "4"])
    assert groups.tolist() == [1, 1, 0, 1, 2]
    rows = planted_clinic.train
    plain = inseparable(rows.patients, rows.keys)
    assert plain.tolist() == np.unique(rows.patients, return_inverse=True)[1].tolist()
    keys = [rows.keys[0] if i in (0, 100, 200) else key for i, key in enumerate(rows.keys)]
    crossed = cross_validate(replace(planted_clinic, train=replace(rows, keys=keys)), SPECS[:1])
    assert len(set(crossed.fold[[0, 1, 100, 101, 200, 201]])) == 1
    assert crossed.folds == 5


def test_logits_out_of_fold_are_those_of_a_fit_on_the_other_folds(planted_clinic):
    crossed = cross_validate(planted_clinic, SPECS[1:2])
    rows = planted_clinic.train
    adapter = planted_clinic.create(SPECS[1])
    X = rows.read(planted_clinic.feature_kind(adapter.features))
    held = crossed.fold == 2
    names = [planted_clinic.classes[code] for code in rows.y[~held]]
    again = adapter.fit(X[~held], names).logits(X[held])
    assert crossed.logits["lp"][held] == pytest.approx(again, abs=1e-3)
    assert (crossed.logits["lp"][held].argmax(axis=1) == again.argmax(axis=1)).all()


def test_the_folder_keeps_what_the_record_says_and_predictions_are_calibrated(made, planted_clinic):
    out, refits = made
    for label, saved in refits.saved.items():
        adapter, extra = load_adapter(out / saved.folder)
        decision = Decision.of(extra["decision"], "here")
        assert decision.model_dump() == saved.decision
        assert decision.temperature != 1
        test = planted_clinic.test
        logits = adapter.logits(test.read(planted_clinic.feature_kind(adapter.features)))
        p = calibrated(decision, logits)
        table = refits.predictions[refits.predictions["adapter"] == label]
        assert table.iloc[:, -5:].to_numpy() == pytest.approx(p)
        best = [planted_clinic.classes[c] for c in logits.argmax(axis=1)]
        assert table["predicted"].tolist() == best  # a temperature changes no answer
        assert saved.test.brier_score == pytest.approx(score(test.y, p).values["brier_score"])
        raw = softmax(logits.astype(float), axis=1)
        assert saved.decided.brier_score["before"].value == pytest.approx(
            score(test.y, raw).values["brier_score"]
        )
        assert sum(saved.decided.prevalence.values()) == pytest.approx(1)


def test_with_positive_classes_the_default_has_the_highest_auroc_of_them_out_of_fold(made, planted_clinic):
    from sklearn.metrics import roc_auc_score

    _, refits = made
    crossed = cross_validate(planted_clinic, SPECS)
    truth = np.isin(planted_clinic.train.y, [planted_clinic.classes.index(name) for name in POSITIVE])
    found = {}
    for label, saved in refits.saved.items():
        decision = Decision.of(saved.decision, "here")
        scores = calibrated(decision, crossed.logits[label])[:, decision.positive].sum(axis=1)
        found[label] = roc_auc_score(truth, scores)
        assert saved.cross_validation_auroc == pytest.approx(found[label])
    assert refits.default == max(found, key=lambda name: found[name])
    assert (
        "the highest AUROC of the positive classes (moderate, severe, proliferative) in 5-fold" in refits.rule
    )
    assert "no patient in two folds" in refits.rule
    assert "an AUROC of 0." in refits.verdict


def test_zero_shot_is_compared_though_it_was_not_asked_for(planted_clinic, made, tmp_path):
    wanted = DecisionChoice(positive=POSITIVE)
    refits = refit_all(planted_clinic, SPECS[1:], EncoderChoice(name="mini"), tmp_path, wanted=wanted)
    assert set(refits.saved) == {"lp", "ss"}
    with_it = made[1].saved["zero-shot"].decided.auroc.value
    assert f"zero-shot {with_it:.3f} (difference" in refits.verdict


def test_without_patients_no_rule_speaks_of_them(planted_clinic, tmp_path):
    told = planted_clinic.provenance
    sides = {"train": told.train.model_copy(update={"patients": None})}
    nobody = replace(planted_clinic, provenance=told.model_copy(update=sides))
    refits = refit_all(nobody, SPECS[1:], EncoderChoice(name="mini"), tmp_path)
    assert "every photograph counts as a patient of its own, as none is named; test rows" in refits.rule
    assert "no patient in two folds" not in refits.rule
    assert "the highest balanced accuracy" in refits.rule
    assert all(saved.cross_validation_auroc is None for saved in refits.saved.values())


def test_thresholds_come_from_training_rows_alone(made, planted_clinic, tmp_path):
    test = planted_clinic.test
    other = replace(planted_clinic, test=test.take(np.arange(len(test))[::-1][:90]))
    wanted = DecisionChoice(positive=POSITIVE, operating_point="sensitivity=0.8", max_error=0.2)
    again = refit_all(other, SPECS, EncoderChoice(name="mini"), tmp_path, wanted=wanted)
    assert {name: s.decision for name, s in again.saved.items()} == {
        name: s.decision for name, s in made[1].saved.items()
    }


def test_figures_of_the_stored_threshold_by_hand(made, planted_clinic):
    saved = made[1].saved["ss"]
    table = made[1].predictions[made[1].predictions["adapter"] == "ss"]
    scores = table[[f"probability_{name}" for name in POSITIVE]].sum(axis=1).to_numpy()
    truth = table["label"].isin(POSITIVE).to_numpy()
    point = saved.decision["operating"]
    assert point["sensitivity"] >= 0.8
    called = scores >= point["threshold"]
    assert saved.decided.sensitivity.value == pytest.approx(called[truth].mean())
    assert saved.decided.specificity.value == pytest.approx((~called[~truth]).mean())
    assert saved.decided.positives == truth.sum()
    assert saved.decided.sensitivity.method == "bootstrap over patients"
    decision = Decision.of(saved.decision, "here")
    answers = np.array(decide(decision, table.iloc[:, -5:].to_numpy())[0]) == "answer"
    assert saved.decided.answered.value == pytest.approx(answers.mean())
    assert saved.decided.answered_error.value == pytest.approx(truth[answers].mean())
    whole = [answers[i : i + 2].all() for i in range(0, len(answers), 2)]
    assert saved.decided.patients_answered.value == pytest.approx(np.mean(whole))
    assert set(saved.decided.patients) == {"worst", "mean"}
    assert saved.decided.patients["worst"].patients == len(planted_clinic.test) // 2


def test_without_positive_classes_every_answer_is_the_likeliest_class(planted_clinic, tmp_path):
    refits = refit_all(planted_clinic, SPECS[2:], EncoderChoice(name="mini"), tmp_path)
    saved = refits.saved["ss"]
    assert saved.decision["operating"] is None
    assert saved.decided.auroc is None
    assert saved.decided.risk_coverage[-1] == pytest.approx([1, 1 - saved.test.accuracy])


def test_too_few_patients_for_folds_leave_everything_to_people(planted_clinic, tmp_path):
    rows = planted_clinic.train
    one = replace(planted_clinic, train=replace(rows, patients=["one"] * len(rows)))
    wanted = DecisionChoice(positive=POSITIVE, operating_point="sensitivity=0.8")
    saved = refit_all(one, SPECS[1:2], EncoderChoice(name="mini"), tmp_path, wanted=wanted).saved["lp"]
    decision = Decision.of(saved.decision, "here")
    assert decision.temperature == 1
    assert "too few patients" in decision.calibration
    assert "no rows out of fold" in decision.operating.note
    assert decision.operating.threshold == 0.5
    assert set(decide(decision, np.eye(5))[1]) == {"positive", "unsure"}


def test_a_class_that_a_fold_s_fit_had_not_seen_spoils_no_temperature(planted_clinic, tmp_path):
    rows = planted_clinic.train
    patients = ["one" if code == 4 else name for code, name in zip(rows.y, rows.patients, strict=True)]
    rare = replace(planted_clinic, train=replace(rows, patients=patients))
    saved = refit_all(rare, SPECS[2:], EncoderChoice(name="mini"), tmp_path).saved["ss"]
    decision = Decision.of(saved.decision, "here")
    n = int((rows.y == 4).sum())
    assert f"{n} rows left out, whose class their fit had not seen" in decision.calibration
    assert decision.temperature < 10
    assert decision.shift is None


def test_classes_that_are_apart_entirely_leave_probabilities_as_they_are(planted_clinic, tmp_path):
    from fewshot_flair.models.refit import _decision
    from fewshot_flair.models.selection import CrossValidation

    y = planted_clinic.train.y
    crossed = CrossValidation(5, np.arange(len(y)) % 5, {"lp": 3.0 * np.eye(5)[y]}, {"lp": 1.0})
    decision = _decision(planted_clinic, "lp", crossed, DecisionChoice())
    assert decision.temperature == decision.shift.temperature == 1
    assert "every row out of fold is right" in decision.calibration
    assert decision.referral.answered == 1


def test_class_wise_calibration_changes_answers_and_the_figures_are_of_these(planted_clinic, tmp_path):
    wanted = DecisionChoice(calibration="class-wise")
    refits = refit_all(planted_clinic, SPECS[2:], EncoderChoice(name="mini"), tmp_path, wanted=wanted)
    saved, table = refits.saved["ss"], refits.predictions
    assert any(saved.decision["bias"])
    right = table["predicted"] == table["label"]
    assert saved.test.accuracy == pytest.approx(right.mean())
    best = table.iloc[:, -5:].to_numpy().max(axis=1)
    assert table["probability"].to_numpy() == pytest.approx(best)


def test_probabilities_are_moved_to_a_prevalence_on_request_alone(grades):
    logits = np.random.default_rng(0).normal(size=(100, 3)) * 3
    plain = calibrated(grades, logits)
    assert plain == pytest.approx(softmax(logits / 2, axis=1))
    assert calibrated(grades, logits[:1]) == pytest.approx(plain[:1])  # alone or in company
    shares = {"severe": 0.1, "none": 0.7, "mild": 0.2}
    under = softmax(logits / 1.5 + [0.5, 0, -0.5], axis=1)
    expected = correct_prior(under, [0.5, 0.3, 0.2], [0.7, 0.2, 0.1])
    assert calibrated(grades, logits, shares) == pytest.approx(expected)
    estimated = calibrated(grades, logits, "estimate")
    assert estimated.sum(axis=1) == pytest.approx(np.ones(100))
    assert not np.allclose(estimated, plain)
    with pytest.raises(InputError, match="59 photographs at hand, 60 are needed for 3 classes"):
        calibrated(grades, logits[:59], "estimate")
    unknown = grades.model_copy(update={"shift": None})
    with pytest.raises(InputError, match="fewer than 10 training photographs"):
        calibrated(unknown, logits, shares)


def test_the_prevalence_of_other_rows_is_found(planted_clinic, made):
    """Most rows of one class are taken from the test rows: EM sees it."""
    test = planted_clinic.test
    kept = np.flatnonzero((test.y != 0) | (np.arange(len(test)) % 8 == 0))
    adapter, extra = load_adapter(made[0] / made[1].saved["lp"].folder)
    decision = Decision.of(extra["decision"], "here")
    logits = adapter.logits(test.read(planted_clinic.feature_kind(adapter.features)))[kept]
    found = np.array(list(estimated_prevalence(decision, logits).values()))
    true = np.bincount(test.y[kept], minlength=5) / len(kept)
    before = np.array(decision.shift.presumed)
    assert np.abs(found - true).sum() < 0.8 * np.abs(before - true).sum()


def test_answer_or_refer_with_the_reason(grades):
    p = np.array([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05]])
    decisions, reasons = decide(grades, p, ["", "", "", "too dark"])
    assert decisions == ["answer", "refer", "refer", "refer"]
    assert reasons == ["", "unsure", "positive", "too dark"]
    nobody = grades.model_copy(update={"referral": Referral(max_error=0.01, threshold=None, answered=0)})
    assert decide(nobody, p)[1] == ["unsure", "unsure", "positive", "unsure"]
    odds = abs(np.log(0.2 / 0.8) - np.log(0.3 / 0.7))
    assert sureness(grades, p)[1] == pytest.approx(1 / (1 + np.exp(-odds)))


def test_of_two_classes_the_one_that_is_no_normal_is_positive():
    asked = DecisionChoice()
    assert positive_classes(asked, ["glaucoma", "normal"]) == ["glaucoma"]
    assert positive_classes(asked, ["0", "1"]) == ["1"]
    assert positive_classes(asked, ["no glaucoma", "glaucoma"]) == ["glaucoma"]
    assert positive_classes(asked, ["a", "b", "c"]) == []
    assert referable_grades(DR_GRADES) == list(DR_GRADES[2:])
    assert referable_grades(["a", "b", "c"]) == []


@pytest.mark.parametrize(
    ("given", "grade"),
    [
        *(("No DR", 0), ("no diabetic retinopathy", 0), ("0", 0), ("0.0", 0), ("NO_DR", 0), ("Mild NPDR", 1)),
        *(("PDR", 4), ("4", 4), ("Proliferative  Diabetic Retinopathy", 4)),
    ],
)
def test_a_grade_is_known_by_its_number_and_its_usual_names(given, grade):
    assert positive_classes(DecisionChoice(positive=[given]), DR_GRADES) == [DR_GRADES[grade]]


def test_names_of_no_scale_are_known_but_for_case_and_spaces():
    assert positive_classes(DecisionChoice(positive=["Sick_eye", "01"]), ["1", "2", "sick eye"]) == [
        "1",
        "sick eye",
    ]
    for name in ("3", "No DR", "one"):
        with pytest.raises(InputError, match=f"no class '{name}'"):
            positive_classes(DecisionChoice(positive=[name]), ["1", "2", "sick eye"])
    with pytest.raises(InputError, match="no class 'a B'"):  # which of them?
        positive_classes(DecisionChoice(positive=["a B"]), ["a b", "A B", "c"])


def test_shares_are_of_the_classes_that_their_names_mean():
    shares = {"4": 0.1, "No DR": 0.6, "1": 0.1, "moderate NPDR": 0.1, "severe": 0.1}
    found = check_prevalence(shares, DR_GRADES)
    assert found == dict(zip(DR_GRADES, [0.6, 0.1, 0.1, 0.1, 0.1], strict=True))
    assert check_prevalence("estimate", DR_GRADES) == "estimate"
    with pytest.raises(InputError, match="more than one share for no diabetic retinopathy"):
        check_prevalence({"No DR": 0.4, "0": 0.2} | dict.fromkeys(DR_GRADES[1:], 0.1), DR_GRADES)


def test_an_adapter_that_is_not_there_is_named_with_what_lies_on_the_disk(made, planted_clinic, tmp_path):
    out, refits = made
    shutil.copytree(out / "adapters", tmp_path / "adapters")
    told = {"saved": refits.saved, "default_adapter": refits.default, "default_rule": refits.rule}
    results_of(study_of(save=True), tmp_path, planted_clinic, **told)
    with pytest.raises(
        InputError, match=r"no adapter 'zero-shott'; did you mean 'zero-shot'\? it has zero-shot, lp, ss$"
    ):
        Origin.find(tmp_path, "zero-shott")
    shutil.rmtree(tmp_path / "adapters" / "lp")
    assert Origin.find(tmp_path, "ss").label == "ss"
    with pytest.raises(
        InputError, match=r"saved the adapter 'lp', but its folder is gone.*it has zero-shot, ss"
    ):
        Origin.find(tmp_path, "lp")
    with pytest.raises(InputError, match=r"no adapter 'pl'; it has zero-shot, ss$"):
        Origin.find(tmp_path, "pl")
    shutil.rmtree(tmp_path / "adapters")
    with pytest.raises(InputError, match="none of the run's lies there any more"):
        Origin.find(tmp_path)


def test_a_prevalence_that_cannot_be_moved_to_is_said_and_not_measured(grades):
    logits, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 3
    unknown = grades.model_copy(update={"shift": None})
    shares = {"none": 0.2, "mild": 0.3, "severe": 0.5}
    found = measure(unknown, logits, y, list(map(str, range(30))), ordinal=True, prevalence=shares)
    assert found.prevalence is None
    assert "fewer than 10 training photographs" in found.prevalence_note
    assert "moved" not in found.brier_score
    moved = measure(grades, logits, y, list(map(str, range(30))), ordinal=True, prevalence=shares)
    assert moved.prevalence == shares
    assert "moved" in moved.brier_score


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"positive": ["sever"]}, "did you mean 'severe'"),
        ({"positive": ["none", "mild", "severe"]}, "some must be left"),
        ({"operating_point": "sensitivity=0.9"}, "say with --positive"),
    ],
)
def test_mistaken_positive_classes_are_named(entries, said):
    with pytest.raises(InputError, match=said):
        positive_classes(DecisionChoice(**entries), ["none", "mild", "severe"])


def test_prevalence_is_read_and_checked():
    assert parse_prevalence('"a, b"=0.7, c=0.3') == {"a, b": 0.7, "c": 0.3}
    assert parse_prevalence("estimate") == "estimate"
    with pytest.raises(InputError, match=r"a=0\.7,b=0\.3"):
        parse_prevalence("a:0.7")
    with pytest.raises(InputError, match="a is there twice"):
        parse_prevalence("a=0.3,a=0.7")
    for shares, said in (
        ({"a": float("nan"), "b": 0.2}, "a=nan is no share"),
        ({"a": -0.3, "b": 1.3}, r"a=-0\.3, b=1\.3 is no share"),
        ({"a": 0.7, "b": 0.2}, "sum to 0.9"),
        ({"a": 1.0}, "no share for b"),
        ({"a": 0.7, "bb": 0.3}, "did you mean 'b'"),
    ):
        with pytest.raises(InputError, match=said):
            check_prevalence(shares, ["a", "b"])


def test_a_study_s_file_has_a_table_of_decisions():
    data = [{"name": "planted", "manifest": "planted.csv"}]
    entries = {"name": "x", "data": data, "adapters": ["lp"]}
    study = Study.from_dict(entries | {"decision": {"operating_point": "specificity=0.95"}})
    assert study.decision.wish == ("specificity", 0.95)
    for wrong in ("sensitivity=2", "recall=0.9", "0.9"):
        with pytest.raises(InputError, match=r"give sensitivity=0\.9 or specificity=0\.95"):
            Study.from_dict(entries | {"decision": {"operating_point": wrong}})


def test_report_and_terminal_say_what_decisions_are_worth(made, planted_clinic, tmp_path):
    _, refits = made
    study = study_of(decision={"positive": POSITIVE})
    results = results_of(
        study,
        tmp_path,
        planted_clinic,
        saved=refits.saved,
        default_adapter=refits.default,
        default_rule=refits.rule,
    )
    page = write_report(tmp_path).read_text(encoding="utf-8")
    for title in ("Positive or not", "Answer or refer", "Probabilities of the saved adapters", "By patient"):
        assert f"<h2>{title}</h2>" in page
    found = refits.saved[refits.default].decided
    assert f"{100 * found.sensitivity.value:.1f} (" in page
    assert "<th>AUROC in cross-validation</th>" in page
    assert f"{refits.saved[refits.default].cross_validation_auroc:.3f}" in page
    assert "chosen by the highest AUROC" in page
    alts = re.findall(r'alt="([^"]*)"', page)
    assert any("AUROC" in alt for alt in alts)
    assert any("calibration error before" in alt for alt in alts)
    printed = io.StringIO()
    console = terminal.console()
    console.file = printed
    show.decisions(console, results)
    assert f"sensitivity {100 * found.sensitivity.value:.1f}" in printed.getvalue()
    assert "of 100 patients" in printed.getvalue()


@pytest.mark.parametrize("name", ["lp", "ss", "ss-text-u"])
def test_a_draw_s_temperature_is_that_of_a_plain_loop_over_its_folds(planted_clinic, name):
    rows, spec = planted_clinic.train, AdapterSpec(name)
    episodes = EpisodeSampler(8, allow_fewer=True).sample_many(
        rows.y,
        seeds=[0, 1, 2],
        classes=planted_clinic.classes,
        unlabeled=20 if name == "ss-text-u" else 0,
    )
    labels = [rows.y[support] for support in episodes.indices]
    found = draw_temperatures(planted_clinic, spec, episodes, labels)
    groups = inseparable(rows.patients, rows.keys)
    X = rows.read(planted_clinic.feature_kind(planted_clinic.create(spec).features))
    for draw, support in enumerate(episodes.indices):
        z, y = np.empty((len(support), 5)), rows.y[support]
        for fit, held in patient_folds(y, groups[support], 5, episodes.seeds[draw]):
            free = None if episodes.unlabeled is None else X[episodes.unlabeled[draw]]
            adapter = planted_clinic.create(spec)
            names = [planted_clinic.classes[code] for code in y[fit]]
            z[held] = adapter.fit(X[support[fit]], names, X_unlabeled=free).logits(X[support[held]])
        assert found[draw] == pytest.approx(fit_temperature(z, y), rel=1e-2)


def test_a_study_measures_calibration_on_request_and_changes_nothing_else(planted_clinic, tmp_path):
    plain = study_of(shots=[8], adapters=["zero-shot", "ss"])
    rows = results_of(plain, tmp_path / "plain", planted_clinic).rows
    both = study_of(shots=[8], adapters=["zero-shot", "ss"], calibrate=True)
    more = results_of(both, tmp_path / "both", planted_clinic).rows
    added = [f"{key}_calibrated" for key in ("brier_score", "expected_calibration_error")]
    assert [name for name in more.columns if name not in rows.columns] == added
    assert more.drop(columns=added).to_csv() == rows.to_csv()
    assert (more["brier_score_calibrated"] != more["brier_score"]).any()
    page = write_report(tmp_path / "both").read_text(encoding="utf-8")
    part = page[page.index("<h2>Probabilities before and after a temperature</h2>") :]
    ours = more[more["adapter"] == "ss"]
    for key in ("brier_score", "brier_score_calibrated"):
        assert f"<td>{ours[key].mean():.3f}" in part
    for key in ("expected_calibration_error", "expected_calibration_error_calibrated"):
        assert f"<td>{100 * ours[key].mean():.1f}" in part
    assert "before and after a temperature" not in write_report(tmp_path / "plain").read_text(
        encoding="utf-8"
    )


def test_a_study_measures_patients_too(planted_clinic, tmp_path):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5), (3, len(planted_clinic.test)))
    people = planted_clinic.test.patients
    for rule in ("worst", "mean"):
        found = predicted_by_patient(p, people, rule)
        for draw in range(3):
            expected = combine_patients(p[draw], people, rule)[1].argmax(axis=1)
            assert found[draw].tolist() == expected.tolist()
    results = results_of(study_of(shots=[8], adapters=["zero-shot", "ss"]), tmp_path, planted_clinic)
    zero = results.rows[results.rows["adapter"] == "zero-shot"]
    test = planted_clinic.test
    adapter = refit(planted_clinic, AdapterSpec("zero-shot"))
    logits = adapter.logits(test.read(planted_clinic.feature_kind(adapter.features)))
    rule = "worst" if planted_clinic.ordinal else "mean"
    _, combined = combine_patients(softmax(logits.astype(float), axis=1), people, rule)
    truth = patient_labels(test.y, people, ordinal=planted_clinic.ordinal).y
    expected = balanced_accuracy(truth[truth >= 0], combined.argmax(axis=1)[truth >= 0])
    assert zero["patient_balanced_accuracy"].to_numpy() == pytest.approx(expected)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert f"<td>{100 * expected:.1f}</td>" in page[page.index("<h2>By patient, over the draws</h2>") :]
    alone = replace(planted_clinic, test=replace(test, patients=[str(i) for i in range(len(test))]))
    plain = results_of(study_of(shots=[8], adapters=["ss"]), tmp_path / "alone", alone)
    assert "patient_balanced_accuracy" not in plain.rows


def test_a_report_of_a_run_without_saved_adapters_has_none_of_it(planted_clinic, tmp_path):
    results_of(study_of(), tmp_path, planted_clinic)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Positive or not" not in page
    assert "Answer or refer" not in page
