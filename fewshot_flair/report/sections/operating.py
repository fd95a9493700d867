"""Positive or not: areas under the curves, and what the threshold finds and spares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewshot_flair.report.context import Context
from fewshot_flair.report.deciding import kept_adapters, operating_point, ranged
from fewshot_flair.report.decision_figures import operating_figure
from fewshot_flair.report.files import kept_figure

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
{% from "picture.html.j2" import show %}
<h2>Positive or not</h2>
<p>{{ name }}: {{ sentence }}</p>
<p class="soft">{{ positives }} test photographs are positive. Thresholds were chosen on the training rows, each predicted by a fit without its patient: the fewest calls that reach a sensitivity, or the most that keep a specificity. Intervals: {{ methods }}. By chance alone AUROC is 0.5 and AUPRC the share of positives.</p>
<div class="wide"><table class="dense">
<thead><tr><th>adapter</th><th>threshold, %</th><th>sensitivity, %</th><th>specificity, %</th><th>AUROC</th><th>AUPRC</th></tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% if picture %}{{ show(picture, "") }}{% endif %}
"""


def content(context: Context) -> dict[str, Any] | None:
    """A row an adapter and the curves of the default one; None without positive classes."""
    kept = kept_adapters(context.record)
    if not kept:
        return None
    name, (decision, figures) = next(iter(kept.items()))
    if decision.operating is None:
        return None
    rows = [
        [
            label,
            f"{100 * own.operating.threshold:.1f}" if own.operating else "–",
            ranged(found.sensitivity),
            ranged(found.specificity),
            ranged(found.auroc, percent=False),
            ranged(found.auprc, percent=False),
        ]
        for label, (own, found) in kept.items()
    ]
    by = {
        what: measured.method
        for what, measured in (
            ("sensitivity", figures.sensitivity),
            ("AUROC", figures.auroc),
            ("AUPRC", figures.auprc),
        )
        if measured
    }
    picture = None
    if figures.roc:
        caption = (
            f"ROC and precision–recall curves of {name} on the test rows: AUROC "
            f"{ranged(figures.auroc, percent=False)}, AUPRC {ranged(figures.auprc, percent=False)}."
        )
        drawn = operating_figure(decision, figures, f"{name} on {context.record.clinics[0].data}")
        picture = kept_figure(drawn, context.files, "operating-point", caption)
    return {
        "name": name,
        "sentence": operating_point(decision, figures),
        "positives": figures.positives,
        "methods": _methods(by),
        "rows": rows,
        "picture": picture,
    }


def _methods(by: Mapping[str, str]) -> str:
    """How the intervals were made; once where all were made in one way."""
    if len(set(by.values())) == 1:
        return next(iter(by.values()))
    return "; ".join(f"{what}: {method}" for what, method in by.items())
