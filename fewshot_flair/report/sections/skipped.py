"""What was left out: rows, adapters; and what adapters warned of."""

from __future__ import annotations

from typing import Any

from fewshot_flair.experiment.grid import shots_texts
from fewshot_flair.experiment.sets import NOTE
from fewshot_flair.report.context import Context

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
<h2>Rows that were skipped</h2>
{% if skipped %}
<div class="wide"><table><thead><tr><th>data set</th><th>row</th><th>image</th><th>reason</th></tr></thead>
<tbody>{% for data, row in skipped %}<tr><td>{{ data }}</td><td>{{ row.row }}</td><td>{{ row.image }}</td><td class="wrap">{{ row.reason }}</td></tr>{% endfor %}</tbody></table></div>
{% else %}<p>None.</p>{% endif %}
{% if notes %}<h3>What adapters warned of</h3><ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>{% endif %}
{% if left_out %}<p>Left out: {{ left_out | join("; ") }}.</p>{% endif %}
"""


def content(context: Context) -> dict[str, Any]:
    """Rows, notes and adapters."""
    shots: dict[str, set[int]] = {}
    for cell in context.results.cells:
        for note in cell.notes:
            if note.startswith(NOTE):
                continue  # the section of sets has them
            shots.setdefault(note, set()).add(cell.names["shots"])
    return {
        "skipped": [(clinic.data, row) for clinic in context.data_sets for row in clinic.skipped],
        "notes": [f"{note} ({shots_texts(k)})" for note, k in shots.items()],
        "left_out": context.record.left_out,
    }
