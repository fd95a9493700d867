"""Recall against how often the encoder's pre-training met a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewshot_flair.evaluation import spearman_with_interval
from fewshot_flair.experiment.frequencies import recall_by_frequency
from fewshot_flair.experiment.grid import SETTING
from fewshot_flair.report.context import Context
from fewshot_flair.report.drawing import COLOURS, in_order
from fewshot_flair.report.files import kept_figure
from fewshot_flair.report.frequency_figure import frequency_figure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
{% from "picture.html.j2" import show %}
<h2>Recall by pre-training frequency</h2>
<p>Does the encoder find the classes better that its pre-training met more often? Spearman's rank correlation of a class's recall (mean over the draws) with the photographs of its concept in pre-training, and its 95 % interval by bootstrap over the concepts. 1: the more frequent concept always has the higher recall; 0: no relation.</p>
{% for setting in settings %}
<h3>{{ setting.title }}</h3>
<p class="soft">{{ setting.source }}</p>
<div class="wide"><table>
<thead><tr><th>adapter</th><th>rank correlation</th><th>95 % interval</th><th>concepts</th></tr></thead>
<tbody>{% for row in setting.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% if setting.picture %}<div class="pair">{{ show(setting.picture, "full") }}</div>{% endif %}
{% endfor %}
<p class="soft">What this can say, and what not. The concepts are few, and the interval over fewer than ten of them is rough. Frequency was not assigned: a concept may be frequent and easy to see at once, so a correlation is no proof of a cause (recipes/concept-frequency assigns it). Recall also depends on what else is in the test, and a class that is answered too often has a high recall. Adapters are looked at one by one, without a correction for their number.</p>
"""

SHOWN = 4
"""Adapters in the picture beside zero-shot."""


def content(context: Context) -> dict[str, Any] | None:
    """A table and a picture a setting, at its most shots; None where no encoder's frequencies are known."""
    table = recall_by_frequency(context.results)
    if table.empty:
        return None
    titles = {tuple(cell.names[key] for key in SETTING): context.setting(cell) for cell in context.most_shots}
    settings = [(titles[names], own) for names, own in table.groupby(SETTING, sort=False) if names in titles]
    return {"settings": [_setting(context, title, own) for title, own in settings]}


def _setting(context: Context, title: str, table: pd.DataFrame) -> dict[str, Any]:
    adapters = in_order(list(dict.fromkeys(table["adapter"])), context.styles)
    tested = table[table["recall"].notna()]
    others = [name for name in adapters if name != "zero-shot"][: min(SHOWN, len(COLOURS))]
    picture = None
    if len(tested):
        figure = frequency_figure(
            tested,
            [name for name in adapters if name == "zero-shot" or name in others],
            f"Recall by pre-training frequency: {title}",
            context.styles,
        )
        caption = f"Recall of each class by the photographs of its concept in pre-training: {title}."
        picture = kept_figure(figure, context.files, f"recall-by-frequency-{title}", caption)
    return {
        "title": title,
        "source": _source(context, table),
        "rows": [_row(name, tested[tested["adapter"] == name]) for name in adapters],
        "picture": picture,
    }


def _row(adapter: str, own: pd.DataFrame) -> list[str]:
    found = spearman_with_interval(own["photographs"], own["recall"], own["concept"])
    if found.value != found.value:
        return [adapter, "–", "–", str(own["concept"].nunique())]
    return [
        adapter,
        f"{found.value:.2f}",
        f"{found.low:.2f} to {found.high:.2f}",
        str(own["concept"].nunique()),
    ]


def _source(context: Context, table: pd.DataFrame) -> str:
    """Where the counts come from, and which classes have none or were not tested."""
    data, encoder = table["data"].iloc[0], table["encoder"].iloc[0]
    made, found = next(
        (each, each.frequencies)
        for each in context.record.clinics
        if each.frequencies is not None and (each.data, each.frequencies.encoder) == (data, encoder)
    )
    sentences = [f"Counts: {found.path}."]
    if unknown := [name for name in made.test.counts if name not in found.concepts]:
        sentences.append(f"Without a count, and left out (not taken for 0): {', '.join(unknown)}.")
    if untested := sorted(set(table.loc[table["recall"].isna(), "class"])):
        sentences.append(f"Without a test photograph: {', '.join(untested)}.")
    if table["concept"].nunique() < 3:
        sentences.append("With fewer than three concepts there is no correlation to speak of.")
    return " ".join(sentences)
