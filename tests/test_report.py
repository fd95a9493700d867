"""The report in a real browser: no console error, no missing figure, readable on a phone, inert labels."""

from __future__ import annotations

import csv
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from planted import named, results_of, study_of

from fewshot_flair.experiment.published import unmet_needs
from fewshot_flair.files import FORMULA, digest_of
from fewshot_flair.report.drawing import adapter_styles, new_axes, percent_axis
from fewshot_flair.report.figures import block_figures, ranking_figure
from fewshot_flair.report.files import kept_figure
from fewshot_flair.report.page import write_report
from fewshot_flair.report.plots import confusion_figure, curves_figure, recall_figure
from fewshot_flair.report.sections.questions import reviewers_questions
from fewshot_flair.report.summary import blocks, ranking
from fewshot_flair.report.wording import with_interval

MARKUP = '<img src=x onerror="document.title=1"> $& _%'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def report(planted_clinic, tmp_path_factory):
    """A report whose class names, data set and question are hostile markup."""
    out = tmp_path_factory.mktemp("study")
    classes = [MARKUP, *planted_clinic.classes[1:]]
    told = planted_clinic.provenance
    counts = {"counts": dict.fromkeys(classes, 1)}
    clinic = named(
        replace(planted_clinic, classes=classes, text=replace(planted_clinic.text, classes=classes)),
        MARKUP,
        train=told.train.model_copy(update=counts),
        test=told.test.model_copy(update=counts),
    )
    study = study_of(
        MARKUP,
        question=f"Which? {MARKUP}",
        adapters=["zero-shot", "lp", "ss-text+"],
        shots=[1, 4],
        scenarios=["standard", {"kind": "dirichlet", "label": "a/../../../ESCAPED"}],
        seeds=8,
    )
    published = {
        "source": "a paper",
        "needs": {"encoders": ["planted"], "seeds": 8},
        "rows": [
            {"adapter": "lp", "shots": 4, "metric": "balanced_accuracy", "value": 0.5},
            {"adapter": "lp", "shots": 64, "metric": "balanced_accuracy", "value": 0.9},
        ],
    }
    results_of(
        study,
        out,
        clinic,
        study_text="name = '</pre><script>alert(1)</script>'",
        command="fewshot-flair study study.toml",
        published=published,
    )
    return write_report(out)


def test_report_is_one_file_with_figures_and_tables_beside_it(report):
    text = report.read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "<script" not in text
    assert "&lt;b&gt;gone&lt;/b&gt;.jpg" in text  # the skipped row is named
    assert "http" not in text.split("</style>")[1]
    figures = {path.suffix for path in (report.parent / "figures").iterdir()}
    assert figures == {".png", ".svg"}
    latex = next((report.parent / "tables").glob("*.tex")).read_text()
    assert "\\toprule" in latex
    assert "\\$\\& \\_\\%" in latex
    markdown = next((report.parent / "tables").glob("*.md")).read_text()
    assert markdown.count("**") >= 8


def test_published_numbers_stand_beside_measured_ones(report):
    text = report.read_text(encoding="utf-8")
    part = text.split("Published beside measured")[1].split("</table>")[0]
    assert "50.0" in part
    assert part.count("–") == 2  # 64 shots were not measured


def test_published_numbers_stand_beside_no_other_study(planted_clinic):
    """Another encoder, other prompts, other draws, fewer of them: each is named."""
    told = planted_clinic.provenance.model_copy(update={"brought": False, "descriptions": {"a": ["b"]}})
    needs = {
        "encoders": ["flair"],
        "protocol": "sstext-2025",
        "seeds": 50,
        "prompts": {told.data: digest_of({"a": ["c"]})},
        "images": {told.data: 10**6},
    }
    study = study_of(seeds=8).model_dump(mode="json")
    reasons = "; ".join(unmet_needs(needs, study, [told]))
    parts = ("not flair", "not the paper's", "of protocol fewshot-flair", "8 draws, not 50", "not 1,000,000")
    for part in parts:
        assert part in reasons
    same = study | {"protocol": "sstext-2025", "seeds": list(range(50))}
    assert unmet_needs(needs, same, [told.model_copy(update={"brought": True})]) == []
    n = told.train.images + told.test.images
    met = {"prompts": {told.data: digest_of({"a": ["b"]})}, "images": {told.data: n}}
    assert unmet_needs(met, study, [told]) == []


def test_every_reviewers_question_has_an_answer(report):
    text = report.read_text(encoding="utf-8")
    answers = text.split("<dl>")[1].split("</dl>")[0]
    assert answers.count("<dt>") == answers.count("<dd>") >= 10


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1400])
def test_report_in_a_browser(report, width):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": width, "height": 900})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else problems.append(r.url))
        page.goto(report.as_uri())
        assert problems == []
        assert page.title() == "planted"  # no label ran as markup
        widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert len(widths) >= 7
        assert min(widths) > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # only tables scroll sideways
        ends = "[...document.querySelectorAll('.main-table, img')].map(x => x.getBoundingClientRect().right)"
        assert max(page.evaluate(ends)) <= width
        if width > 1000:  # a picture and what is said of it begin at the same place
            apart = """[...document.querySelectorAll('figure:not(.full)')].map(figure => Math.abs(
                figure.querySelector('img').getBoundingClientRect().left -
                figure.querySelector('figcaption').getBoundingClientRect().left))"""
            assert max(page.evaluate(apart)) < 2
        shrunk = page.evaluate("Math.min(...[...document.images].map(i => i.clientWidth / i.naturalWidth))")
        assert shrunk > 0.49 * 4 / 3  # SVG points; print of 9 points is 8 pixels high or more
        size = page.evaluate(
            "parseFloat(getComputedStyle(document.querySelector('.main-table td')).fontSize)"
        )
        assert size >= 12
        browser.close()


def looks(figure):
    return [(x.get_label(), x.get_color()) for x in figure.axes[0].lines if x.get_label()[0] != "_"]


def test_an_adapter_has_one_colour_and_place_in_all_pictures(planted_clinic, tmp_path):
    results = results_of(study_of(adapters=["zero-shot", "ss", "lp", "ss-text+"]), tmp_path, planted_clinic)
    (block,) = blocks(results)
    styles = adapter_styles(["ss-text+", "lp", "ss"])  # the order is theirs, not that of the rows
    shown = {key: figure for key, _, figure in block_figures(results, block, "balanced_accuracy", styles)}
    assert looks(shown["shots-standard"]) == looks(shown["recall-standard"])
    assert [name for name, _ in looks(shown["shots-standard"])] == list(styles)
    dots = shown["reliability"].axes[0].collections[0].get_facecolor()[0]
    best = block.best_adapter("standard")[0]
    assert to_hex(dots) == styles[best]["color"].lower()


def test_rank_picture_says_which_end_is_best(planted_clinic, tmp_path):
    results = results_of(study_of(shots=[1, 2, 4]), tmp_path, planted_clinic)
    found = ranking(results)
    figure = ranking_figure(found, "accuracy", adapter_styles(list(found.ranks.index)))
    assert "1, to the left, is best" in figure.axes[0].get_xlabel()
    assert "accuracy" in figure.get_suptitle()
    assert "Nemenyi" in figure.get_supxlabel()


def test_recall_says_which_class_has_no_test_images():
    rows = pd.DataFrame({"adapter": ["lp", "lp"], "recall_a": [0.5, 1.0], "recall_b": [np.nan, np.nan]})
    figure = recall_figure(rows, ["a", "b"], ["lp"], "title")
    axes = figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert "no test images" in texts
    assert "zero-shot" not in figure.get_supxlabel()
    low, high = sorted(axes.get_ylim())
    assert low <= -0.5
    assert high >= 1.5  # the lane of the last class is whole


@pytest.mark.parametrize(
    ("scenario", "said"), [("standard", "shots per class"), ("realistic", "shots × 2 classes")]
)
def test_shots_picture_says_what_a_shot_and_a_bar_are(scenario, said):
    rows = pd.DataFrame(
        {
            "adapter": "lp",
            "scenario": scenario,
            "shots": [1, 1, 4, 4],
            "balanced_accuracy": [0.2, 0.9, 0.5, 0.6],
            "support_a": 1,
            "support_b": 1,
        }
    )
    figure = curves_figure(rows, "title")
    axes = figure.axes[0]
    assert said in axes.get_xlabel()
    assert "95 % interval of the mean" in figure.get_supxlabel().replace("\n", " ")
    assert 0 <= axes.dataLim.y0 < axes.dataLim.y1 <= 1


def test_bars_of_one_number_of_shots_stand_side_by_side():
    several = [
        pd.DataFrame({"adapter": name, "shots": [1, 1, 4, 4], "balanced_accuracy": [0.2, 0.4, 0.5, 0.6]})
        for name in ("lp", "ss", "logistic")
    ]
    axes = curves_figure(pd.concat(several), "title").axes[0]
    bars = [segment for bars in axes.collections for segment in bars.get_segments()]
    assert len(bars) == len({segment[0][0] for segment in bars}) == 6


@pytest.mark.parametrize(
    ("limits", "step", "labels"),
    [((0.4, 0.5), 0.025, ["42.5%", "45.0%", "47.5%"]), ((0, 1), 0.25, ["25%", "50%", "75%"])],
)
def test_percent_axis_says_where_its_ticks_are(limits, step, labels):
    figure, axes = new_axes((3, 3))
    axes.set_xlim(limits)
    axes.set_xticks(np.arange(limits[0] + step, limits[1], step))
    axes.xaxis.set_major_formatter(percent_axis())
    figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == labels


def test_every_picture_is_legible_on_a_phone_and_holds_all_its_print(planted_clinic, tmp_path):
    long = [f"{name} {'of a long name ' * 3}" for name in planted_clinic.classes]
    clinic = replace(planted_clinic, classes=long, text=replace(planted_clinic.text, classes=long))
    results = results_of(study_of(adapters=["zero-shot", "ss", "lp", "ss-text+"]), tmp_path, clinic)
    (block,) = blocks(results)
    styles = adapter_styles(block.adapters)
    for key, _, figure in block_figures(results, block, "balanced_accuracy", styles):
        figure.draw_without_rendering()
        smallest = min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())
        assert smallest / 72 * 358 / figure.get_figwidth() >= 8, key
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) > -0.02, key


def test_confusion_picture_has_one_format_of_numbers_and_whole_words():
    title = "what an adapter takes for what, of a clinic, on 20 support-set draws of x"
    figure = confusion_figure(np.array([[16.75, 0.05], [3.8, 10.0]]), ["a", "b"], title)
    counts = [text.get_text().split("\n")[1] for text in figure.axes[0].texts]
    assert counts == ["16.8", "0.1", "3.8", "10.0"]
    assert all("support-set" in line for line in figure.get_suptitle().split("\n") if "support" in line)


def test_a_report_replaces_an_earlier_one_and_leaves_a_users_files(planted_clinic, tmp_path):
    results_of(study_of("old"), tmp_path, named(planted_clinic, "old"))
    write_report(tmp_path)
    old = [*(tmp_path / "figures").glob("old*"), *(tmp_path / "tables").glob("old*")]
    assert len(old) > 3
    (tmp_path / "figures" / "mine.png").write_bytes(b"mine")
    results_of(study_of("new"), tmp_path, named(planted_clinic, "new"))
    write_report(tmp_path)
    assert not any(path.exists() for path in old)
    assert (tmp_path / "figures" / "mine.png").exists()
    assert list((tmp_path / "tables").glob("new*"))


def test_a_metric_that_some_data_lack_is_shown_of_the_others(planted_clinic, tmp_path):
    results_of(
        study_of("graded", "kinds"),
        tmp_path,
        named(planted_clinic, "graded"),
        replace(named(planted_clinic, "kinds"), ordinal=False),
    )
    text = write_report(tmp_path, "quadratic_kappa").read_text()
    assert "kinds is left out" in text
    assert "Quadratic kappa" in text
    assert {path.name.split("-")[0] for path in (tmp_path / "tables").iterdir()} == {"graded"}


def test_tables_say_their_metric_and_what_bold_is(planted_clinic, tmp_path):
    results_of(study_of(), tmp_path, planted_clinic)
    write_report(tmp_path, "log_loss")
    for suffix in ("md", "tex"):
        text = next((tmp_path / "tables").glob(f"*.{suffix}")).read_text()
        assert "log loss (lower is better)" in text
        assert "bold: the best of its column" in text
        assert "it takes at least 6" in text  # three draws
    html = (tmp_path / "report.html").read_text()
    assert "stays below zero-shot" in html
    assert "everything is bold" in html


def test_no_cell_of_a_table_beside_the_report_is_a_formula(planted_clinic, tmp_path):
    labelled = {"kind": "dirichlet", "concentration": 10.0, "label": "=1+1"}
    results_of(study_of(scenarios=["standard", labelled]), tmp_path, planted_clinic)
    write_report(tmp_path)
    with next((tmp_path / "tables").glob("*.csv")).open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert any(cell.startswith("'=1+1") for cell in cells)
    assert not [cell for cell in cells if cell.startswith(FORMULA)]


def test_letters_that_the_pictures_font_has_not_are_said(tmp_path):
    figure, axes = new_axes((3, 2))
    axes.set_title("Grad é Ж 白内障")
    files = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = kept_figure(figure, files, "x", "A title.")
    assert picture.caption.startswith("A title. The picture's font has no letters 白内障, which are boxes")
    assert set(files) == {"figures/x.png", "figures/x.svg"}


def answers_of(clinic, tmp_path, **changes):
    study = study_of(adapters=["zero-shot", "ss", "logistic"])
    return dict(reviewers_questions(results_of(study, tmp_path, named(clinic, "planted", **changes))))


def test_answers_for_features_without_patients(planted_clinic, tmp_path):
    unnamed = planted_clinic.provenance.train.model_copy(update={"patients": None})
    said = answers_of(planted_clinic, tmp_path, train=unnamed, test=unnamed, brought=True, twins=[("a", "b")])
    patients = said["Can a patient be in training and in test?"]
    assert "cannot be told" in patients
    assert "each image counts as one" in patients
    assert "1 test row has the very numbers" in patients
    assert "both eyes" not in said["What is the interval over?"]
    assert "test images" in said["What is the interval over?"]
    assert "came with the features" in said["What did the text tower read?"]
    assert "fewshot-flair prompts" not in said["What did the text tower read?"]
    assert "image preparation" not in said["Which weights, which preparation?"]


def test_answers_for_photographs_of_named_patients(planted_clinic, tmp_path):
    said = answers_of(planted_clinic, tmp_path, skipped=[])
    assert said["Can a patient be in training and in test?"].startswith("No")
    assert "byte by byte" in said["Can a patient be in training and in test?"]
    assert "ss, logistic have no text" in said["What about a class without test images, or without shots?"]
    assert "same kind of processor" in said["Is it deterministic?"]
    assert said["Were rows left out?"] == "None was."


@pytest.mark.parametrize(
    ("values", "metric", "said"),
    [
        ((0.844, 0.823, 0.865), "balanced_accuracy", "84.4 ± 2.1"),
        ((0.562, -0.097, 1.221), "balanced_accuracy", "56.2 (0 to 100)"),
        ((0.9, 0.62, 1.18), "balanced_accuracy", "90.0 (62.0 to 100)"),
        ((0.411, 0.411, 0.411), "balanced_accuracy", "41.1"),
        ((0.5, np.nan, np.nan), "accuracy", "50.0"),
        ((np.nan, np.nan, np.nan), "accuracy", "–"),
        ((0.3, -0.2, 0.8), "quadratic_kappa", "0.300 ± 0.500"),
        ((0.2, -0.1, 0.5), "log_loss", "0.200 (0 to 0.500)"),
    ],
)
def test_intervals_stay_within_what_is_possible(values, metric, said):
    assert with_interval(*values, metric) == said
