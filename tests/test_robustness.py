"""Effective robustness and the Pareto front against plain loops."""

from __future__ import annotations

import numpy as np
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
