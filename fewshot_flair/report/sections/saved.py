"""The saved adapters: what each does on the test rows when fitted on all training rows."""

from __future__ import annotations

from typing import Any

from fewshot_flair.report.context import Context
from fewshot_flair.report.deciding import aurocs
from fewshot_flair.report.wording import percent_range, percentage

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
<h2>The saved adapters, fitted on all training rows</h2>
<p class="soft">These are what predict uses. {{ default }} is taken unless told otherwise: {{ rule }}. In %{% if ranked %}, but AUROC{% endif %}.</p>
<div class="wide"><table{% if ranked %} class="dense"{% endif %}>
<thead><tr><th>adapter</th><th>cross-validation (training rows)</th><th>balanced accuracy (test rows)</th><th>95 % over test {{ unit }}</th><th>accuracy</th>{% if ranked %}<th>AUROC in cross-validation</th>{% endif %}</tr></thead>
<tbody>
{% for row in rows %}<tr><td>{{ row.name }}</td>{% for cell in row.cells %}<td{% if row.name == default %} class="best"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
<h3>Recall on the test rows, %</h3>
<div class="wide"><table>
<thead><tr><th>class</th>{% for row in rows %}<th>{{ row.name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for label in classes %}<tr><td>{{ label }}</td>{% for row in rows %}<td{% if row.name == default %} class="best"{% endif %}>{{ row.recall[label] }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
"""


def content(context: Context) -> dict[str, Any] | None:
    """A row an adapter; None where none was saved."""
    record = context.record
    if not record.saved:
        return None
    classes = list(next(iter(record.saved.values())).test.recall)
    ranked = aurocs(record)
    rows = [
        {
            "name": name,
            "cells": [
                percentage(saved.cross_validation),
                percentage(saved.test.balanced_accuracy),
                percent_range(saved.test.low, saved.test.high),
                percentage(saved.test.accuracy),
                *ranked.get(name, ())[:1],
            ],
            "recall": {label: percentage(saved.test.recall[label], 0) for label in classes},
        }
        for name, saved in record.saved.items()
    ]
    return {
        "rows": rows,
        "ranked": bool(ranked),
        "classes": classes,
        "default": record.default_adapter,
        "rule": record.default_rule,
        "unit": "patients" if record.clinics[0].names_patients else "images",
    }
