"""Average ranks of the adapters over all settings."""

from __future__ import annotations

from typing import Any

import numpy as np

from fewshot_flair.report.context import Context
from fewshot_flair.report.figures import ranking_figure
from fewshot_flair.report.files import kept_figure
from fewshot_flair.report.summary import ranking

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
{% from "picture.html.j2" import show %}
<h2>Average ranks by {{ metric.title }}</h2>
<p>{{ text }}</p>
{% if picture %}<div class="pair">{{ show(picture, "full") }}</div>{% endif %}
"""


def content(context: Context) -> dict[str, Any] | None:
    """Ranks in words and, where a test can be made, as a picture; None where there is too little to rank."""
    found = ranking(context.results, context.metric.key)
    if found is None:
        return None
    order = ", ".join(f"{name} {rank:.2f}" for name, rank in found.ranks.items())
    if np.isnan(found.p_friedman):
        text = f"Over {found.settings} settings: {order}."
        return {"text": text, "picture": None, "metric": context.metric}
    figure = ranking_figure(found, context.metric.key, context.styles)
    caption = (
        f"Average rank by {context.metric.title} over all settings, 1 is best. Adapters joined by a bar are not "
        "told apart by Nemenyi's test at 5 % (Demšar, JMLR 2006)."
    )
    return {
        "text": (
            f"Over {found.settings} settings (each a data set, scenario and number of shots; they share images, "
            f"so the test is optimistic) Friedman's test gives p = {found.p_friedman:.2g}. {order}."
        ),
        "picture": kept_figure(figure, context.files, "average-ranks", caption),
        "metric": context.metric,
    }
