"""Published numbers beside measured ones."""

from __future__ import annotations

from typing import Any

from fewshot_flair.evaluation import METRICS
from fewshot_flair.experiment.published import unmet_needs
from fewshot_flair.report.context import Context
from fewshot_flair.report.wording import unit

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
<h2>Published beside measured</h2>
<p class="soft">{{ source }}</p>
{% if reasons %}<p>Not printed, as these would be other numbers: {{ reasons | join("; ") }}.</p>{% else %}<div class="wide"><table>
<thead><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>{% endfor %}</tbody>
</table></div>{% endif %}
"""


def content(context: Context) -> dict[str, Any] | None:
    """Rows of published and measured values, or why they can't be compared; None where nothing published is named.

    A published row that was not measured shows –; so the table also says what is still to be run.
    """
    published = context.record.published
    if not published:
        return None
    record = context.record
    if reasons := unmet_needs(published["needs"], record.study, record.clinics):
        return {"source": published["source"], "reasons": reasons}
    keys = [key for key in published["rows"][0] if key not in ("metric", "value")]
    rows = []
    for row in published["rows"]:
        part = context.results.rows
        for key in keys:
            part = part[part[key] == row[key]]
        measured = part[row["metric"]].mean() if len(part) else float("nan")
        scale, digits = (100, 1) if METRICS[row["metric"]].percent else (1, 3)
        rows.append(
            [
                *(str(row[key]) for key in keys),
                unit(row["metric"]),
                f"{scale * row['value']:.{digits}f}",
                "–" if measured != measured else f"{scale * measured:.{digits}f}",
                "–" if measured != measured else f"{scale * (measured - row['value']):+.{digits}f}",
            ]
        )
    columns = [*keys, "metric", "published", "measured", "difference"]
    return {"source": published["source"], "reasons": [], "columns": columns, "rows": rows}
