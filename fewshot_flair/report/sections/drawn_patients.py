"""A study's adapters by patient: the photographs of one combined, over the support-set draws."""

from __future__ import annotations

from typing import Any

from fewshot_flair.evaluation import interval_over_seeds
from fewshot_flair.experiment.results import BY_PATIENT, by_draw
from fewshot_flair.report.context import Context
from fewshot_flair.report.wording import with_interval

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
<h2>By patient, over the draws</h2>
<p class="soft">Balanced accuracy in %: photographs of one test patient combined (of ordered grades the worst predicted one counts, else the mean of their log-probabilities), beside that of single photographs. {% if n_draws > 1 %}Mean over {{ draws }} ± half its 95 % interval.{% else %}One draw.{% endif %}</p>
{% for title, rows in tables %}
<h3>{{ title }}</h3>
<div class="wide"><table>
<thead><tr><th>adapter</th><th>by photograph</th><th>by patient</th></tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% endfor %}
"""


def content(context: Context) -> dict[str, Any] | None:
    """A table a setting, at its most shots; None where no test patient has several photographs."""
    tables: dict[str, list[list[str]]] = {}
    for cell in context.most_shots:
        if any(BY_PATIENT not in row for row in cell.rows):
            continue
        figures = (
            with_interval(*interval_over_seeds(by_draw(cell.rows, name)))
            for name in ("balanced_accuracy", BY_PATIENT)
        )
        tables.setdefault(context.setting(cell), []).append([cell.names["adapter"], *figures])
    if not tables:
        return None
    return {"tables": list(tables.items()), "n_draws": context.n_draws, "draws": context.draws}
