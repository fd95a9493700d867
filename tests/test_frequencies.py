"""Recall by pre-training frequency: the statistic, the table of counts, a study's table and section, the recipe."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import named, results_of, study_of
from scipy.stats import spearmanr

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.evaluation import spearman_with_interval
from fewshot_flair.evaluation.intervals import weighted_bootstrap
from fewshot_flair.experiment.choices import EncoderChoice
from fewshot_flair.experiment.design import Study
from fewshot_flair.experiment.frequencies import (
    frequencies_of,
    read_frequencies,
    recall_by_frequency,
    with_frequencies,
)
from fewshot_flair.experiment.runner import run_study
from fewshot_flair.rendering import GRADES
from fewshot_flair.report.context import Context
from fewshot_flair.report.drawing import adapter_styles
from fewshot_flair.report.frequency_figure import frequency_figure
from fewshot_flair.report.page import write_report
from fewshot_flair.report.sections import frequencies

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes" / "concept-frequency"))
import design
import measures
import table as recipe

SEVERE, MODERATE = "severe diabetic retinopathy", "moderate diabetic retinopathy"
TABLE = f"concept,photographs\nno diabetic retinopathy,900\nmild DR,40\n{MODERATE},0\n{SEVERE},3\nzebra,7\n"


@pytest.mark.parametrize("seed", range(2))
def test_the_rank_correlation_is_scipys_and_its_interval_that_of_repeated_rows(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 5, 9).astype(float), rng.normal(size=9)
    groups = np.array(list("aabcdefgh"))

    def plain(weights):
        found = []
        for row in weights.astype(int):
            a, b = np.repeat(x, row), np.repeat(y, row)
            alike = len(set(a)) < 2 or len(set(b)) < 2
            found.append(np.nan if alike else spearmanr(a, b).statistic)
        return np.array(found)

    found = spearman_with_interval(x, y, groups, resamples=50)
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    np.testing.assert_allclose((found.low, found.high), weighted_bootstrap(plain, groups, resamples=50))


def test_unknown_recalls_are_left_out_and_two_concepts_have_no_correlation():
    assert spearman_with_interval([1, 2, 3, 9], [0.1, 0.2, 0.3, np.nan]).value == 1
    assert np.isnan(spearman_with_interval([1, 2, 3], [0.1, 0.2, 0.3], ["a", "a", "b"])[:3]).all()
    assert np.isnan(spearman_with_interval([5, 5, 5], [0.1, 0.2, 0.3]).value)
    with pytest.raises(InputError, match="one of each"):
        spearman_with_interval([1, 2, 3], [0.1, 0.2])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("photographs", "photos", "not one column photographs, but concept, photos"),
        ("concept,photographs", "concept,photographs,photographs", "not one column photographs"),
        ("900", "-900", "row 2: photographs of 'no diabetic retinopathy' are '-900'"),
        ("900", "many", "'many'; give a whole number"),
        ("900", "9.5", "'9.5'; give a whole number"),
        ("900", "", "are ''"),
        ("zebra", "mild DR", "row 6: 'mild DR' is there twice"),
        ("zebra", "mild_npdr", "'mild_npdr' and 'mild DR' are one category (mild diabetic retinopathy)"),
        ("zebra", " ", "row 6: the concept is empty"),
        ("zebra,7", "zebra", "row 6 has 1 cell"),
        (TABLE, "concept,photographs\n", "has no row"),
        (TABLE, "", "but nothing"),
        ("zebra", '"zebra', "cannot be read"),
        ("zebra", "z\xe9bra", "cannot be read"),
    ],
)
def test_a_bad_table_is_refused_by_row(tmp_path, old, new, said):
    path = tmp_path / "f.csv"
    path.write_bytes(TABLE.replace(old, new, 1).encode("latin-1"))
    with pytest.raises(InputError, match=r"f\.csv") as error:
        read_frequencies(path)
    assert said in str(error.value)


def test_a_class_finds_its_concept_by_its_own_name_first_then_by_the_dictionary(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("concept,photographs\nAMD,5\nPDR,1\nzebra eye,2\n")
    counts = read_frequencies(path)
    assert counts.of_class("AMD") == "AMD"
    assert counts.of_class("zebra eye") == "zebra eye"
    assert counts.of_class("age-related macular degeneration") == "AMD"
    assert counts.of_class("proliferative diabetic retinopathy") == "PDR"
    assert counts.of_class("glaucoma") is None
    assert counts.of_class("lion eye") is None


def test_a_models_folder_brings_its_own_table(tmp_path):
    model = tmp_path / "flair"
    model.mkdir()
    assert frequencies_of(EncoderChoice(name=str(model)), tmp_path) is None
    (model / "frequencies.csv").write_text(TABLE)
    (model / "flair_resnet.pth").touch()
    for asked in (model, f"flair:{model}", model / "flair_resnet.pth"):
        assert frequencies_of(EncoderChoice(name="ours", load=str(asked)), tmp_path)["mild DR"] == 40
    (model / "frequencies.csv").write_text("hz\n50\n")  # somebody else's file ends nothing
    assert "left out" in frequencies_of(EncoderChoice(name=str(model)), tmp_path)
    with pytest.raises(MissingFileError, match="there is no file"):
        frequencies_of(EncoderChoice(name="mini", frequencies="gone.csv"), tmp_path)


def test_the_mini_model_brings_the_counts_of_its_ten_thousand_photographs():
    counts = frequencies_of(EncoderChoice(name="mini"), Path())
    assert counts["normal"] + counts["a disease"] == 10_000
    # every eye has one grade, but for those whose bleeding is of an occlusion
    assert sum(counts[name] for name in GRADES) + counts["branch retinal vein occlusion"] == 10_000


@pytest.fixture(scope="module")
def ran(demo, tmp_path_factory):
    """A study of eight demo photographs a grade with the mini encoder, whose frequencies a file gives."""
    folder = tmp_path_factory.mktemp("study")
    table = pd.read_csv(demo)
    table["image"] = [str(demo.parent / name) for name in table["image"]]
    few = table.groupby(["split", "label"]).head(4)
    few.to_csv(folder / "few.csv", index=False)
    (folder / "f.csv").write_text(TABLE)
    (folder / "study.toml").write_text(
        'name = "f"\nadapters = ["zero-shot", "ss-text"]\nshots = [1, 2]\nseeds = 2\nallow_fewer = true\n'
        '[[data]]\nname = "few"\nmanifest = "few.csv"\n'
        '[[encoders]]\nname = "mini"\nfrequencies = "f.csv"\n'
    )
    results = run_study(Study.read(folder / "study.toml"), folder / "out", cache=folder / "cache")
    write_report(results, folder=folder / "out")
    return folder / "out", results


def test_a_study_says_the_recall_of_each_class_by_its_frequency(ran):
    out, results = ran
    table = pd.read_csv(out / "recall_by_frequency.csv")
    own = table[(table["adapter"] == "ss-text") & (table["shots"] == 2)].set_index("class")
    assert dict(own["photographs"]) == {
        "no diabetic retinopathy": 900, "mild diabetic retinopathy": 40, MODERATE: 0, SEVERE: 3,
    }  # fmt: skip
    assert own.loc["mild diabetic retinopathy", "concept"] == "mild DR"
    rows = results.rows[(results.rows["adapter"] == "ss-text") & (results.rows["shots"] == 2)]
    assert own.loc[SEVERE, "recall"] == pytest.approx(rows[f"recall_{SEVERE}"].mean())
    assert set(own["draws"]) == {2}
    assert set(own["test_images"]) == {4}


def test_the_class_without_a_count_is_said_and_left_out(ran):
    out, results = ran
    said = [text for text in results.record.clinics[0].remarks if "has no count of" in text]
    assert len(said) == 1
    assert "f.csv has no count of proliferative diabetic retinopathy" in said[0]
    assert "unknown (not 0)" in said[0]
    assert "proliferative" not in (out / "recall_by_frequency.csv").read_text()


def test_no_table_stays_from_an_earlier_run_in_the_folder(ran, tmp_path):
    out, _ = ran
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "unmet.csv").write_text("concept,photographs\ncataract,4\n")
    study = Study.read(out.parent / "study.toml")
    unmet = study.encoders[0].model_copy(update={"frequencies": str(tmp_path / "unmet.csv")})
    run_study(study.model_copy(update={"encoders": [unmet]}), tmp_path / "out", cache=out.parent / "cache")
    assert not (tmp_path / "out" / "recall_by_frequency.csv").exists()


def test_the_report_has_the_test_and_the_picture(ran):
    out, _ = ran
    page = (out / "report.html").read_text()
    section = page[page.index("Recall by pre-training frequency</h2>") :]
    section = section[: section.index("<h2>", 10)]
    table = pd.read_csv(out / "recall_by_frequency.csv")
    own = table[(table["adapter"] == "ss-text") & (table["shots"] == 2)]
    value = spearman_with_interval(own["photographs"], own["recall"], own["concept"]).value
    assert f"<td>ss-text</td><td>{value:.2f}</td>" in section
    assert "not taken for 0): proliferative diabetic retinopathy" in section
    assert "no proof of a cause" in section
    assert len(list((out / "figures").glob("recall-by-frequency*.png"))) == 1


def test_a_setting_has_a_picture_where_frequencies_are_known_and_none_where_not(planted_clinic, tmp_path):
    (tmp_path / "f.csv").write_text("concept,photographs\nnone,9\nmild,5\nmoderate,2\n")
    known, unknown, spoilt = (
        with_frequencies(named(planted_clinic, name), "mini", counts)
        for name, counts in (
            ("known", read_frequencies(tmp_path / "f.csv")),
            ("unknown", None),
            ("spoilt", "left out: no table"),
        )
    )
    assert "left out: no table" in spoilt.provenance.remarks
    few = {"adapters": ["zero-shot", "ss"], "shots": [1, 2]}
    results = results_of(study_of("known", "unknown", **few), tmp_path, known, unknown)
    assert set(recall_by_frequency(results)["data"]) == {"known"}
    context = Context.of(results, "balanced_accuracy")
    (setting,) = frequencies.content(context)["settings"]
    assert setting["title"] == "known, standard, 2 shots"
    assert "not taken for 0): severe, proliferative." in setting["source"]
    assert [row[0] for row in setting["rows"]] == ["zero-shot", "ss"]
    assert {row[-1] for row in setting["rows"]} == {"3"}
    assert "figures/recall-by-frequency-known-standard-2-shots.png" in context.files
    alone = Context.of(results_of(study_of("unknown", **few), tmp_path, unknown), "balanced_accuracy")
    assert frequencies.content(alone) is None


def test_what_was_never_met_stands_left_of_a_line():
    table = pd.DataFrame(
        {"adapter": "lp", "class": list("abc"), "photographs": [0, 10, 1000], "recall": [0.1, 0.5, 0.9]}
    )
    figure = frequency_figure(table, ["lp"], "t", adapter_styles(["lp"]))
    (axes,) = figure.axes
    x = axes.lines[0].get_xdata()
    assert 0 < x[0] < axes.lines[1].get_xdata()[0] < x[1] == 10
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "10", "100", "1,000"]
    assert "0 has no place" in figure._supxlabel.get_text()


@pytest.mark.parametrize("k", [2, 5, 6])
def test_each_concept_has_each_frequency_once(k):
    squares = [design.latin_square(k, np.random.default_rng(seed)) for seed in range(5)]
    for square in squares:
        np.testing.assert_array_equal(np.sort(square, axis=0), np.tile(np.arange(k)[:, None], k))
        np.testing.assert_array_equal(np.sort(square, axis=1), np.tile(np.arange(k), (k, 1)))
    np.testing.assert_array_equal(squares[0], design.latin_square(k, np.random.default_rng(0)))


def test_the_slope_is_that_of_least_squares_with_models_and_concepts():
    rng = np.random.default_rng(0)
    square, ladder = design.latin_square(6, rng), 12 * 2 ** np.arange(6)
    y = 3.0 * square + 10 * rng.normal(size=(6, 1)) + 10 * rng.normal(size=6) + rng.normal(size=(6, 6))
    models, concepts = (np.eye(6)[place.ravel()] for place in np.indices((6, 6)))
    X = np.column_stack([square.ravel(), models, concepts])
    found = design.doubling_effect(y, square, ladder, draws=199, seed=1)
    assert found.slope == pytest.approx(np.linalg.lstsq(X, y.ravel(), rcond=None)[0][0])
    assert found.slope == pytest.approx(found.by_concept.mean())
    assert found.low < found.slope < found.high
    assert found.slope == pytest.approx(3, abs=0.5)
    assert found.p == 1 / 200
    nothing = design.doubling_effect(rng.normal(size=(6, 6)), square, ladder, draws=199, seed=1)
    assert nothing.p > 0.05


def test_the_recipes_table_has_the_planted_slopes(tmp_path):
    square, ladder = design.latin_square(6, np.random.default_rng(1)), 12 * 2 ** np.arange(6)
    cells = pd.DataFrame(
        {
            **{"model": m, "concept": f"c{c}", "photographs": ladder[square[m, c]]},
            **{
                "adapter": adapter,
                "shots": shots,
                "precision": 0.5,
                "f1": 0.5,
                "auroc": 0.5,
                "answered": 1 / 6,
            },
            "recall": 0.2 + slope * square[m, c] + 0.01 * c,
        }
        for m, c in np.ndindex(6, 6)
        for adapter, shots, slope in (("zero-shot", 0, 0.1), ("logistic", 4, 0.05), ("logistic", 8, 0.02))
    )
    text = recipe.tables(cells)
    assert "| recall | +10.0 (+10.0 to +10.0; p 0.0001) | +5.0 (" in text
    assert "More for zero-shot recall: +5.0 (" in text
    assert "1.00, 1.00, 1.00, 1.00, 1.00, 1.00 in the six models; the interval lies above 0 in 6" in text
    recipe.draw(cells, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_a_concept_against_the_rest():
    y = np.array([0, 0, 1, 2])
    logits = np.log([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]])
    found = measures.one_against_rest(y, logits)
    np.testing.assert_allclose(found[0], [0.5, 0.5, 0.5, 0.75, 0.5])
    np.testing.assert_allclose(found[1], [1, 0.5, 2 / 3, 1, 0.5])
    np.testing.assert_allclose(found[2], [0, 0, 0, 1, 0])
