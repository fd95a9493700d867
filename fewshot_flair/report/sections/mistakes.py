"""The test photographs that the run's own choice is most wrong about, and where it looked."""

from __future__ import annotations

from typing import Any

from fewshot_flair.report.context import Context
from fewshot_flair.report.thumbnails import data_uri, thumbnail
from fewshot_flair.words import counted

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
<h2>What it is most wrong about</h2>
<p class="soft">Of {{ tested }} the saved {{ adapter }} answers {{ wrong }} wrongly.{% if cards %} {{ first }} {{ said }}
A wrong answer may also be a wrong label: look.{% endif %}</p>
<div class="cards">
{% for card in cards %}
<article>{% if card.picture %}<img src="{{ card.picture }}" alt="{{ card.image }}" loading="lazy">{% endif %}
{% if card.map %}<img src="{{ card.map }}" alt="what spoke for {{ card.predicted }}" loading="lazy">{% endif %}
<h3>{{ card.image }}</h3>
<p>labelled <b>{{ card.label }}</b> ({{ card.of_label }})</p>
<p>answered <b>{{ card.predicted }}</b> ({{ card.probability }})</p></article>
{% endfor %}
</div>
"""


def content(context: Context) -> dict[str, Any] | None:
    """A card a photograph, none where no answer is wrong; None where the report was given no mistakes."""
    found = context.mistakes
    if found is None:
        return None
    order = "those that are most grades away first, then the surest" if found.graded else "the surest first"
    if found.wrong == 1:
        first = "This is the one."
    elif found.wrong == len(found.shown):
        first = f"These are all, {order}."
    else:
        first = f"These {len(found.shown)} are the worst, {order}."
    return {
        "adapter": found.adapter,
        "wrong": found.wrong or "none",
        "tested": counted(found.tested, "test photograph"),
        "first": first,
        "said": found.said,
        "cards": [
            {
                "image": each.image,
                "label": each.label,
                "predicted": each.predicted,
                "probability": f"{each.probability:.0%}",
                "of_label": f"{each.of_label:.0%}",
                "picture": thumbnail(each.path) if each.path else "",
                "map": data_uri(each.looked) if each.looked else "",
            }
            for each in found.shown
        ],
    }
