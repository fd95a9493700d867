"""Conformal sets: how often they hold the true class, how large they are, and where the guarantee ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from fewshot_flair.evaluation import interval_over_seeds
from fewshot_flair.evaluation.set_figures import SET_FIGURES
from fewshot_flair.experiment.results import by_draw
from fewshot_flair.experiment.sets import NOTE, by_method
from fewshot_flair.report.context import Context

__all__ = ["TEMPLATE", "content"]

WORDS = {
    "coverage": "coverage",
    "set_size": "size",
    "single_share": "one class",
    "empty_share": "empty",
    "class_coverage_gap": "class gap",
    "patient_coverage": "by patient",
}
TEMPLATE = """
<h2>Conformal sets</h2>
<p class="soft">Fitted on the support draws and tested on the same rows as accuracy. {% if n_draws > 1 %}Mean over {{ draws }} ± half its 95 % interval{{ "" if folds else ", on this one test set" }}.{% else %}One draw.{% endif %} In %, but for size: classes a set. A set should hold the true class of 1 − alpha of the photographs, with few classes. One class, empty: sets of one or no class. Class gap: how far coverage of a class is from that, on average. By patient: patients all of whose photographs are covered.</p>
{% for title, rows in tables %}
<h3>{{ title }}</h3>
<div class="wide"><table class="main-table">
<thead><tr>{% for word in words %}<th>{{ word }}</th>{% endfor %}</tr></thead>
<tbody>{% for name, figures in rows %}<tr><td colspan="{{ words | length }}"><b>{{ name }}</b></td></tr>
<tr>{% for figure in figures %}<td>{{ figure }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% endfor %}
{% if notes %}<h3>Where the guarantee ends here</h3><ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>{% endif %}
"""


def content(context: Context) -> dict[str, Any] | None:
    """A table a setting, a row an adapter and method; None where no sets were asked for."""
    tables: dict[str, list[tuple[str, list[str]]]] = {}
    for cell in context.results.cells:
        title = context.setting(cell)
        for method, rows in by_method(cell.sets).items():
            figures = [_figure(key, by_draw(rows, key)) for key in SET_FIGURES]
            tables.setdefault(title, []).append((f"{cell.names['adapter']}: {method}", figures))
    notes = [n for cell in context.results.cells for n in cell.notes if n.startswith(NOTE)]
    if not tables and not notes:
        return None
    return {
        "tables": list(tables.items()),
        "words": [WORDS[figure] for figure in SET_FIGURES],
        "n_draws": context.n_draws,
        "draws": context.draws,
        "folds": context.folds,
        "notes": [note.removeprefix(NOTE) for note in dict.fromkeys(notes)],
    }


def _figure(key: str, values: list[float]) -> str:
    """A mean and half its interval."""
    scale, digits = (1, 2) if key == "set_size" else (100, 1)
    mean, low, high = (scale * value for value in interval_over_seeds(values))
    shown, half = f"{mean:.{digits}f}", f"{(high - low) / 2:.{digits}f}"
    return shown if np.isnan(low) or not float(half) else f"{shown} ±\N{NO-BREAK SPACE}{half}"
