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
<p class="soft">{{ unit[0] | upper }}{{ unit[1:] }} on the data set's own test rows (here) and on a further test side (elsewhere), means over {{ draws }}{{ "" if higher_is_better else "; lower is better, and effective robustness is turned so that above zero is better" }}. Effective: what is elsewhere above (or below) what the line of the frozen adapters expects of the figure here (Taori et al., NeurIPS 2020). *: on the Pareto front, no other row is at least as good on both sides and better on one. Seconds of one fit or training; numbers trained, and what must be kept of them. No place on a path (wise) is recommended: to take the best one by test rows would be to choose on them. robustness.csv has all rows, with intervals.</p>
{% for group in groups %}
{{ show(group.picture, "broad") }}
{% for table in group.tables %}
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
    """A picture a setting, a table a further test side; None where the study has none."""
    found = panels(context.everywhere, context.metric.key)
    if not found:
        return None
    varied = [name for name in VARIED if len({panel.names[name] for panel in found}) > 1]
    groups: dict[str, list[Panel]] = {}
    for panel in found:
        groups.setdefault(panel_title(panel, varied), []).append(panel)
    context.files["tables/here-and-elsewhere.md"] = markdown(found, context.metric.key).encode()
    return {
        "groups": [_group(context, title, own) for title, own in groups.items()],
        "columns": COLUMNS,
        "unit": unit(context.metric.key),
        "draws": context.draws,
        "higher_is_better": context.metric.higher_is_better,
    }


def _group(context: Context, title: str, own: list[Panel]) -> dict[str, Any]:
    metric = context.metric.key
    tests = ", ".join(panel.names["test"] for panel in own)
    figure = robustness_figure(own, f"Trained on {title}; tested there and on {tests}", metric)
    caption = (
        f"{title}: each point is a mean over {context.draws}. Paths go from the start of a method (the head on the "
        "frozen encoder, or the first place that was measured) to its last place, the large dot."
    )
    name = f"here-and-elsewhere-{title}"
    return {
        "picture": kept_figure(figure, context.files, name, caption),
        "tables": [
            {
                "title": f"{title}: {panel.names['test']}",
                "rows": panel_rows(panel, metric),
                "line": line_text(panel, metric),
            }
            for panel in own
        ],
    }
