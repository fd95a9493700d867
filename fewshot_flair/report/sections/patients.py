"""Figures by patient: both eyes and several photographs combined."""

from __future__ import annotations

from typing import Any

from fewshot_flair.report.context import Context
from fewshot_flair.report.deciding import kept_adapters, ranged
from fewshot_flair.words import counted

__all__ = ["TEMPLATE", "content"]

RULES = {
    "worst": "the photograph of the worst predicted grade",
    "mean": "the mean of the photographs' log-probabilities",
}
TEMPLATE = """
<h2>By patient</h2>
<p class="soft">{{ patients }}: photographs of one patient combined, by {{ rules }}. {{ truth }} In %, in brackets 95 %.</p>
<div class="wide"><table class="dense">
<thead><tr><th>adapter</th><th>rule</th><th>balanced accuracy</th><th>accuracy</th>{% if positive %}<th>sensitivity</th><th>specificity</th>{% endif %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
"""


def content(context: Context) -> dict[str, Any] | None:
    """A row an adapter and rule; None where no patient has several photographs."""
    kept = {name: each for name, each in kept_adapters(context.record).items() if each[1].patients}
    if not kept:
        return None
    decision, figures = next(iter(kept.values()))
    positive = decision.operating is not None
    truth = "A patient's true class is the worst grade of the photographs."
    if "worst" not in figures.patients:
        left = counted(figures.patients_left_out, "patient")
        truth = f"{left} with photographs of different classes, which have no order, are left out."
    rows = [
        [
            name,
            rule,
            ranged(found.balanced_accuracy),
            ranged(found.accuracy),
            *([ranged(found.sensitivity), ranged(found.specificity)] if positive else []),
        ]
        for name, (_, each) in kept.items()
        for rule, found in each.patients.items()
    ]
    n = next(iter(figures.patients.values())).patients
    return {
        "patients": counted(n, "test patient"),
        "rules": " or ".join(f"{RULES[rule]} ({rule})" for rule in figures.patients),
        "truth": truth,
        "positive": positive,
        "rows": rows,
    }
