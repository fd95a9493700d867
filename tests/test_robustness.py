"""Effective robustness and the Pareto front against plain loops."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation import baseline_line, pareto_front


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


def recipe():
    path = Path(__file__).parents[1] / "recipes" / "robustness" / "table.py"
    spec = importlib.util.spec_from_file_location("robustness_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(accuracies: dict[tuple[str, str, float], tuple[float, float]]) -> pd.DataFrame:
    """Results of one seed: (method, kind, alpha) to accuracy here and elsewhere."""
    return pd.DataFrame(
        {
            **dict(zip(("method", "kind", "alpha"), names, strict=True)),
            **{
                "data": "a",
                "shots": 16,
                "seed": 0,
                "test": test,
                "distribution": side,
                "balanced_accuracy": share,
            },
            **{f"recall_{c}": 0.5 for c in range(5)},
            **{"seconds": 10.0, "trainable_parameters": 5, "bytes": 20},
        }
        for names, pair in accuracies.items()
        for test, side, share in zip(("a", "b"), ("in", "out"), pair, strict=True)
    )


def test_the_recipe_says_what_is_above_the_line_and_on_the_front(tmp_path, monkeypatch):
    made = results(
        {
            ("lp", "frozen", np.nan): (0.4, 0.3),
            ("ss", "frozen", np.nan): (0.5, 0.35),
            ("gda", "frozen", np.nan): (0.6, 0.4),
            ("tip", "frozen", np.nan): (0.21, 0.5),  # at the level of chance: no part of the line
            ("full", "fine-tuned", 1.0): (0.6, 0.45),
            ("full", "soup", 1.0): (0.55, 0.5),
        }
    )
    (tmp_path / "run").mkdir()
    made.to_csv(tmp_path / "run" / "results.csv", index=False)
    out, picture = str(tmp_path / "out" / "table.md"), str(tmp_path / "picture.png")
    monkeypatch.setattr("sys.argv", ["table.py", str(tmp_path / "run"), "--out", out, "--picture", picture])
    recipe().main()
    text = Path(out).read_text()
    assert "elsewhere = 10.0 + 0.50 · here" in text
    assert "| `full`, α = 1 \\* | 60.0 | 45.0 | +5.0 | 10 | 5 | 0 |" in text
    assert "| soup of `full` \\* | 55.0 | 50.0 | +12.5 | 10 | 5 | 0 |" in text
    assert "| `lp` (frozen) | 40.0 | 30.0 | +0.0" in text
    assert Path(picture).stat().st_size > 1000
