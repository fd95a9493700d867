"""How many photographs and patients of each class there are on each side."""

from __future__ import annotations

from typing import Any

from fewshot_flair.report.context import Context

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
<h2>The data</h2>
<div class="wide"><table>
<thead><tr><th>data set</th><th class="text">class</th><th>training images</th><th>test images</th></tr></thead>
<tbody>
{% for data in data_sets %}{% for label, n in data.train.counts.items() %}
<tr><td>{{ data.data if loop.first else "" }}</td><td class="text">{{ label }}</td><td>{{ n }}</td><td>{{ data.test.counts[label] }}</td></tr>
{% endfor %}
<tr><td></td><td class="text"><em>patients</em></td>{% for side in (data.train, data.test) %}<td>{{ "not named" if side.patients is none else side.patients }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% for data in data_sets if data.folds %}{% if loop.first %}<p>Both sides are all labelled rows here, of which every fold makes its own two sides; splits.csv has them.</p>{% endif %}{% endfor %}
{% for data in data_sets %}{% for remark in data.remarks %}<p class="lines">{{ data.data }}: {{ remark }}.</p>{% endfor %}{% endfor %}
{% for sentence in terms %}<p class="soft">{{ sentence }}</p>{% endfor %}
"""


def content(context: Context) -> dict[str, Any]:
    """The data sets."""
    terms = dict.fromkeys(sentence for data in context.data_sets for sentence in data.terms)
    return {"data_sets": context.data_sets, "terms": list(terms)}
