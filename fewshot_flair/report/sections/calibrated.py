"""A study's probabilities before and after a temperature, where it measured that (``calibrate = true``)."""

from __future__ import annotations

from typing import Any

from fewshot_flair.evaluation import interval_over_seeds
from fewshot_flair.experiment.results import by_draw
from fewshot_flair.report.context import Context
from fewshot_flair.report.wording import unit, with_interval

__all__ = ["TEMPLATE", "content"]

MEASURED = ("brier_score", "expected_calibration_error")
TEMPLATE = """
<h2>Probabilities before and after a temperature</h2>
<p class="soft">The temperature of each draw is of its own support rows, each predicted by a fit without its patient. On the test rows; lower is better; figures of fewer shots stand in results.csv. {% if n_draws > 1 %}Mean over {{ draws }} ± half its 95 % interval.{% else %}One draw.{% endif %}</p>
{% for title, rows in tables %}
<h3>{{ title }}</h3>
<div class="wide"><table class="dense">
<thead><tr><th>adapter</th>{% for name in units %}<th>{{ name }}: before</th><th>after</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% endfor %}
"""


def content(context: Context) -> dict[str, Any] | None:
    """A table a setting, at its most shots; None where it was not measured."""
    columns = [(key, name) for key in MEASURED for name in (key, f"{key}_calibrated")]
    tables: dict[str, list[list[str]]] = {}
    for cell in context.most_shots:
        if any(name not in row for row in cell.rows for _, name in columns):
            continue
        figures = (
            with_interval(*interval_over_seeds(by_draw(cell.rows, name)), key) for key, name in columns
        )
        tables.setdefault(context.setting(cell), []).append([cell.names["adapter"], *figures])
    if not tables:
        return None
    return {
        "tables": list(tables.items()),
        "units": [unit(key) for key in MEASURED],
        "n_draws": context.n_draws,
        "draws": context.draws,
    }
