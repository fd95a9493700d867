"""Whether the saved adapters' probabilities are to be believed: before and after calibration."""

from __future__ import annotations

from typing import Any

from fewshot_flair.report.context import Context
from fewshot_flair.report.deciding import kept_adapters, ranged
from fewshot_flair.report.decision_figures import reliability_pair
from fewshot_flair.report.files import kept_figure

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
{% from "picture.html.j2" import show %}
<h2>Probabilities of the saved adapters</h2>
<p class="soft">Calibrated on the training rows, each predicted by a fit without its patient ({{ folds }} folds, no test row). On the test rows; lower is better; in brackets 95 % over {{ unit }}. The interval of an ECE can lie above it, as noise within a bin only ever adds.</p>
<div class="wide"><table class="dense">
<thead><tr><th>adapter</th><th>temperature</th><th>Brier before</th><th>Brier after</th><th>ECE before, %</th><th>ECE after, %</th></tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
<p>{{ rule }}</p>
{% if moved %}<p>{{ moved }}</p>{% endif %}
{{ show(picture, "") }}
"""


def content(context: Context) -> dict[str, Any] | None:
    """Brier and ECE of each adapter, and the reliability of the default one."""
    kept = kept_adapters(context.record)
    if not kept:
        return None
    name, (decision, figures) = next(iter(kept.items()))
    rows = [
        [
            label,
            f"{own.temperature:.2f}",
            *(ranged(found.brier_score[when], percent=False) for when in ("before", "after")),
            *(ranged(found.expected_calibration_error[when]) for when in ("before", "after")),
        ]
        for label, (own, found) in kept.items()
    ]
    moved = figures.prevalence_note
    if figures.prevalence:
        shares = ", ".join(f"{label} {100 * share:.1f} %" for label, share in figures.prevalence.items())
        moved = (
            f"Moved to the prevalence {shares}, {name} has a Brier score of "
            f"{ranged(figures.brier_score['moved'], percent=False)} and an ECE of "
            f"{ranged(figures.expected_calibration_error['moved'])} %."
        )
    before, after = (ranged(figures.expected_calibration_error[when]) for when in ("before", "after"))
    caption = (
        f"How often {name} is right by how sure it is, on the test rows: points below the diagonal are too sure. "
        f"Expected calibration error before {before} %, after {after} %."
    )
    picture = reliability_pair(figures.reliability, f"{name} on {context.record.clinics[0].data}")
    return {
        "folds": decision.folds,
        "unit": "test patients" if context.record.clinics[0].names_patients else "test images",
        "rows": rows,
        "rule": f"{name}: {decision.calibration}.",
        "moved": moved,
        "picture": kept_figure(picture, context.files, "calibration", caption),
    }
