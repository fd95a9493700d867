"""What adapters and fine-tuned networks do on the study's further test sides, against what they do at home."""

from __future__ import annotations

from typing import Any

from fewshot_flair.experiment.elsewhere import Panel, panels
from fewshot_flair.report.context import Context
from fewshot_flair.report.files import kept_figure
from fewshot_flair.report.robustness import (
    COLUMNS,
    line_text,
    markdown,
    panel_rows,
    panel_title,
    robustness_figure,
)
from fewshot_flair.report.wording import unit

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
{% from "picture.html.j2" import show %}
<h2>Here and elsewhere</h2>
<p class="soft">{{ unit[0] | upper }}{{ unit[1:] }}: on the data set's own test rows (here) and on a further test side (elsewhere), means over {{ draws }}{{ "" if higher_is_better else "; lower is better, and effective robustness is turned so that above zero is better" }}. Effective: what is elsewhere above (or below) what the line of the frozen adapters expects of the figure here (Taori et al., NeurIPS 2020). *: on the Pareto front, no other row is at least as good on both sides and better on one. Seconds of one fit or training; numbers trained, and what must be kept of them. No place on a path (wise) is recommended: to take the best one by test rows would be to choose on them. robustness.csv has all rows, with intervals.</p>
{% for group in groups %}
<div class="pair">
{% for table in group %}
{{ show(table.picture, "full" if loop.last and loop.length is odd else "") }}
{% endfor %}
</div>
{% for table in group %}
<h3>{{ table.title }}</h3>
<div class="wide"><table class="dense">
<thead><tr><th>adapter</th>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
<p class="soft">{{ table.line }}.</p>
{% endfor %}
{% endfor %}
"""
VARIED = ("encoder", "prompts", "scenario", "label_noise", "prior")


def content(context: Context) -> dict[str, Any] | None:
    """A picture and a table for each setting and further test side; None where the study has none."""
    found = panels(context.everywhere, context.metric.key)
    if not found:
        return None
    varied = [name for name in VARIED if len({panel.names[name] for panel in found}) > 1]
    groups: dict[str, list[dict[str, Any]]] = {}
    for panel in found:
        title = panel_title(panel, varied)
        groups.setdefault(title, []).append(_table(context, title, panel))
    context.files["tables/here-and-elsewhere.md"] = markdown(found, context.metric.key).encode()
    return {
        "groups": list(groups.values()),
        "columns": COLUMNS,
        "unit": unit(context.metric.key),
        "draws": context.draws,
        "higher_is_better": context.metric.higher_is_better,
    }


def _table(context: Context, title: str, panel: Panel) -> dict[str, Any]:
    metric, test = context.metric.key, panel.names["test"]
    figure = robustness_figure([panel], f"Trained on {title}, tested there and on {test}", metric)
    caption = (
        f"{title}, here and on {test}: means over {context.draws}. A path goes from the start of a method (the head on "
        "the frozen encoder, or the first place that was measured) to its last place, the large dot."
    )
    return {
        "title": f"{title}: {test}",
        "picture": kept_figure(figure, context.files, f"here-and-elsewhere-{title}-{test}", caption),
        "rows": panel_rows(panel, metric),
        "line": line_text(panel, metric),
    }
