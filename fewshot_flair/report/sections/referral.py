"""What is answered without anybody looking, at what error, and what is referred."""

from __future__ import annotations

from typing import Any

from fewshot_flair.report.context import Context
from fewshot_flair.report.deciding import answer_alone, kept_adapters, ranged
from fewshot_flair.report.decision_figures import risk_figure
from fewshot_flair.report.files import kept_figure

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
{% from "picture.html.j2" import show %}
<h2>Answer or refer</h2>
<p>{{ name }}: {{ sentence }}</p>
<p class="soft">The threshold of confidence was chosen on training rows out of fold; it is no guarantee, and the test rows say what it is worth. AURC: the mean error over all shares of photographs that could be answered, the surest first; lower is better. {% if positive %}An answer is positive or not, and how sure it is is how far from the threshold.{% else %}An answer is the likeliest class, and how sure it is its probability.{% endif %}</p>
<div class="wide"><table class="dense">
<thead><tr><th>adapter</th><th>answered alone, %</th><th>error of these, %</th>{% if patients %}<th>patients answered alone, %</th>{% endif %}<th>AURC</th></tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{{ show(picture, "") }}
"""


def content(context: Context) -> dict[str, Any] | None:
    """A row an adapter, and the risk–coverage curve of the default one."""
    kept = kept_adapters(context.record)
    if not kept:
        return None
    named = context.record.clinics[0].names_patients
    name, (decision, figures) = next(iter(kept.items()))
    rows = [
        [
            label,
            ranged(found.answered),
            ranged(found.answered_error),
            *([ranged(found.patients_answered)] if named else []),
            f"{found.aurc:.3f}",
        ]
        for label, (_, found) in kept.items()
    ]
    points = figures.risk_coverage
    told = ", ".join(
        f"{100 * risk:.0f} % of the surest {100 * share:.0f} %" if share < 1 else f"{100 * risk:.0f} % of all"
        for share, risk in (_at(points, share) for share in (0.25, 0.5, 0.75, 1.0))
    )
    caption = f"Error of the answers of {name} by how many photographs are answered, the surest first. Wrong are {told}."
    picture = risk_figure(figures, f"{name} on {context.record.clinics[0].data}")
    return {
        "name": name,
        "sentence": answer_alone(decision, figures, "patients" if named else "images"),
        "patients": named,
        "positive": decision.operating is not None,
        "rows": rows,
        "picture": kept_figure(picture, context.files, "risk-coverage", caption),
    }


def _at(points: list[list[float]], share: float) -> tuple[float, float]:
    """The first point of the curve that answers at least a share."""
    coverage, risk = next((p for p in points if p[0] >= share - 1e-9), points[-1])
    return coverage, risk
