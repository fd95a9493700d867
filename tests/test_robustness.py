"""Effective robustness and the Pareto front against plain loops, and the table and picture that show them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import baseline_line, pareto_front
from fewshot_flair.evaluation.robustness import Line
from fewshot_flair.experiment.elsewhere import Panel, panels, robustness_table
from fewshot_flair.experiment.results import CellResult, RunRecord, StudyResults
from fewshot_flair.report.robustness import line_text, markdown, robustness_figure


def test_models_on_the_line_have_no_effective_robustness():
    inside = np.array([0.3, 0.5, 0.6, 0.9])
    line = baseline_line(inside, 0.1 + 0.7 * inside)
    assert line.slope == pytest.approx(0.7)
    assert line.r2 == pytest.approx(1)
    assert line.n == 4
    np.testing.assert_allclose(line.effective([0.5, 0.5], [0.45, 0.5]), [0, 0.05], atol=1e-12)


@pytest.mark.parametrize("inside", [[0.2, 0.4], [0.3, 0.3, 0.3]])
def test_a_line_needs_three_models_that_differ(inside):
    with pytest.raises(InputError, match="three"):
        baseline_line(inside, inside)


@pytest.mark.parametrize("seed", range(5))
def test_the_front_holds_those_that_nothing_beats(seed):
    gains = np.random.default_rng(seed).integers(0, 5, (20, 3))
    free = [not any((other >= own).all() and (other > own).any() for other in gains) for own in gains]
    np.testing.assert_array_equal(pareto_front(gains), free)


def cell(adapter: str, test: str, share: float, tuned: dict | None = None) -> CellResult:
    """A cell of one draw and five classes."""
    setting = {
        "encoder": "mini",
        "prompts": "expert",
        "scenario": "standard",
        "label_noise": 0.0,
        "prior": "none",
    }
    return CellResult(
        names={"data": "a", "test": test, "distribution": "in" if test == "a" else "out", **setting}
        | {"shots": 16, "adapter": adapter},
        classes=list("vwxyz"),
        rows=[{"seed": 0, "balanced_accuracy": share}],
        confusion=np.zeros((5, 5)),
        reliability=np.zeros((3, 15)),
        patient_interval=(0.0, 1.0),
        fit_seconds=10.0,
        trainable_parameters=5,
        bytes=2048,
        tuned=tuned,
    )


@pytest.fixture(scope="module")
def results() -> StudyResults:
    whole = {"method": "full", "wise": 1.0, "soup": False}
    made = {
        "lp": (0.4, 0.3, None),
        "ss": (0.5, 0.35, None),
        "gda": (0.6, 0.4, None),
        "tip": (0.21, 0.5, None),  # at the level of chance: no part of the line
        "full(wise=0)": (0.3, 0.3, whole | {"wise": 0.0}),
        "full": (0.6, 0.45, whole),
        "full(soup=True)": (0.55, 0.5, whole | {"soup": True}),
    }
    cells = [
        cell(name, test, pair[side], pair[2]) for side, test in enumerate("ab") for name, pair in made.items()
    ]
    return StudyResults.of(cells, RunRecord(study={"data": [{"name": "a"}]}, clinics=[]))


def test_a_panel_says_what_is_above_the_line_and_on_the_front(results):
    (panel,) = panels(results)
    assert panel.line.n == 3
    text = markdown([panel])
    assert "elsewhere = 10.0 + 0.50 · here" in text
    assert "| full \\* | 60.0 | 45.0 | +5.0 | 10 | 5 | 2 |" in text
    assert "| full(soup=True) \\* | 55.0 | 50.0 | +12.5 | 10 | 5 | 2 |" in text
    assert "| lp, frozen | 40.0 | 30.0 | +0.0" in text
    assert "wise=0)" not in text


def test_the_table_beside_the_results_has_both_sides(results):
    table = robustness_table(results).set_index(["adapter", "test"])
    assert len(table) == 14
    assert table.loc[("full", "b"), "effective_robustness"] == pytest.approx(0.05)
    assert table.loc[("full", "b"), "front"]
    assert not table.loc[("lp", "b"), "front"]
    assert table.loc[("full", "a"), ["effective_robustness", "front"]].isna().all()
    assert table.loc[("full(soup=True)", "b"), "kind"] == "soup"


def test_a_falling_line_has_a_minus():
    panel = Panel({}, Line(slope=-0.25, intercept=0.6, n=7, r2=0.5), pd.DataFrame())
    assert line_text(panel) == "The line of 7 frozen fits: elsewhere = 60.0 - 0.25 · here (R² 0.50)"


def test_intervals_beside_the_results_are_of_what_a_share_can_be(results):
    draws = [{"seed": 0, "balanced_accuracy": 0.1}, {"seed": 1, "balanced_accuracy": 0.9}]
    wide = [replace(c, rows=draws) for c in results.cells]
    table = robustness_table(StudyResults.of(wide, results.record))
    assert (table["low"] == 0).all()
    assert (table["high"] == 1).all()


def test_without_three_frozen_adapters_there_is_no_line(results):
    few = StudyResults.of(
        [c for c in results.cells if c.names["adapter"] not in ("ss", "gda")], results.record
    )
    (panel,) = panels(few)
    assert panel.line is None
    assert panel.rows["effective_robustness"].isna().all()
    assert "There is no line" in markdown([panel])


def test_of_losses_less_is_better(results):
    cells = [
        replace(c, rows=[row | {"log_loss": 1 - row["balanced_accuracy"]} for row in c.rows])
        for c in results.cells
    ]
    (panel,) = panels(StudyResults.of(cells, results.record), "log_loss")
    (other,) = panels(results)
    assert panel.rows["front"].tolist() == other.rows["front"].tolist()
    found, expected = (each.rows["effective_robustness"] for each in (panel, other))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_picture_has_a_panel_a_side(results):
    figure = robustness_figure(panels(results) * 3, "here and there")
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["a, 16 shots: b"] * 3
    assert {text.get_text() for text in figure.legends[0].get_texts()} >= {
        "full",
        "their line",
        "Pareto front",
    }
