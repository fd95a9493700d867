"""Each data set and encoder: the main table, when adapters overtake zero-shot, intervals over patients, pictures."""

from __future__ import annotations

from typing import Any

from fewshot_flair.experiment.grid import n_draws, shots_text
from fewshot_flair.report.context import Context
from fewshot_flair.report.figures import block_figures
from fewshot_flair.report.files import free_name, kept_figure
from fewshot_flair.report.summary import Block
from fewshot_flair.report.text_tables import text_tables
from fewshot_flair.report.wording import bold_means, percent_range, unit, with_interval

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
{% from "picture.html.j2" import show %}
{% for block in blocks %}
<h2>{{ block.title }}</h2>
<h3>{{ unit[0] | upper }}{{ unit[1:] }}</h3>
<p class="soft">{% if n_draws > 1 %}Mean over {{ draws }} ± half its 95 % interval (where that would leave what is possible: its ends, clipped){% else %}One support-set draw{% endif %}{{ "" if metric.higher_is_better else "; lower is better" }}. Numbers below the scenarios are shots. <span class="best">Blue</span>: the best mean of its column; {{ block.bold }}</p>
<div class="row">
{% for table in block.tables %}
<div class="wide"><table class="main-table">
<thead>
<tr><th rowspan="2">adapter</th><th colspan="{{ table.shots | length }}">{{ table.scenario }}</th></tr>
<tr>{% for shots in table.shots %}<th>{{ shots }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in table.rows %}
<tr><td>{{ row.adapter }}</td>{% for cell in row.cells %}<td class="{{ cell.style }}">{{ cell.text | replace("± ", "±\N{NO-BREAK SPACE}") }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endfor %}
<div class="wide"><table>
<thead><tr><th>adapter</th><th title="mean over all columns of the rank by mean">mean rank</th></tr></thead>
<tbody>{% for adapter, rank in block.ranks.items() %}<tr><td>{{ adapter }}</td><td>{{ "%.1f" | format(rank) }}</td></tr>{% endfor %}</tbody>
</table></div>
</div>

{% if block.overtakes %}
<h3>Shots from which an adapter stays {{ "above" if metric.higher_is_better else "below" }} zero-shot</h3>
<p class="soft">The fewest shots from which the 95 % Student-t interval of its paired difference to zero-shot lies on the better side of 0, there and at every larger number that was studied; – means at none. This looks at one adapter at a time and is not corrected; bold above is Wilcoxon's test, corrected for all adapters of the column. So zero-shot can be bold (not told from the best of its column) where an adapter of the same column stands here.</p>
<div class="wide"><table>
<thead><tr><th>adapter</th>{% for table in block.tables %}<th>{{ table.scenario }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in block.overtakes %}<tr><td>{{ row.adapter }}</td>{% for value in row.cells %}<td>{{ value }}</td>{% endfor %}</tr>{% endfor %}</tbody>
</table></div>
{% endif %}

<h3>Over {{ "patients" if block.named else "test images" }}: balanced accuracy, %</h3>
<p class="soft">The intervals above are over {{ "folds" if folds else "support-set draws, on this one test set" }}. Were other {{ "patients" if block.named else "images" }} tested, balanced accuracy at the most shots would lie in (95 %, {{ "cluster bootstrap over test patients, all images of one together" if block.named else "bootstrap over test images, as no patients are named; too narrow where some are of one person" }}):</p>
<div class="wide"><table>
<thead><tr><th>adapter</th>{% for name in block.scenarios %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in block.patients %}<tr><td>{{ row.adapter }}</td>{% for value in row.cells %}<td>{{ value }}</td>{% endfor %}</tr>{% endfor %}</tbody>
</table></div>

<h3>Pictures</h3>
<div class="pair">
{% for picture in block.narrow %}
{{ show(picture, "full" if loop.last and loop.length is odd else "") }}
{% endfor %}
{% for picture in block.broad %}
{{ show(picture, "broad") }}
{% endfor %}
</div>
{% endfor %}
"""

HALF = 560
"""Pixels: the widest picture that goes beside another."""


def content(context: Context) -> dict[str, Any]:
    """The blocks; their figures and tables go into the report's files."""
    return {
        "blocks": [_block(context, block) for block in context.blocks],
        "metric": context.metric,
        "unit": unit(context.metric.key),
        "n_draws": context.n_draws,
        "draws": context.draws,
        "folds": context.folds,
    }


def _block(context: Context, block: Block) -> dict[str, Any]:
    metric = context.metric.key
    scenarios = list(dict.fromkeys(name for name, _ in block.columns))
    name = free_name(block.title, "tables", context.files)
    for suffix, text in text_tables(block, metric).items():
        context.files[f"tables/{name}{suffix}"] = text.encode()
    last = {scenario: max(k for s, k in block.columns if s == scenario) for scenario in scenarios}
    pictures = [
        kept_figure(figure, context.files, f"{name}-{key}", caption)
        for key, caption, figure in block_figures(context.results, block, metric, context.styles)
    ]
    others = [a for a in block.adapters if a != "zero-shot" and "zero-shot" in block.adapters]
    return {
        "title": block.title,
        "scenarios": [f"{scenario}, {shots_text(last[scenario])}" for scenario in scenarios],
        "tables": [_table(block, scenario, metric) for scenario in scenarios],
        "ranks": block.mean_ranks,
        "narrow": [picture for picture in pictures if picture.width <= HALF],
        "broad": [picture for picture in pictures if picture.width > HALF],
        "overtakes": [
            {
                "adapter": a,
                "cells": [
                    shots_text(first, alone=True) if (first := block.overtakes[scenario].get(a)) else "–"
                    for scenario in scenarios
                ],
            }
            for a in others
        ],
        "patients": [
            {
                "adapter": adapter,
                "cells": [
                    percent_range(*block.entries[adapter, (s, last[s])].patient_interval) for s in scenarios
                ],
            }
            for adapter in block.adapters
        ],
        "named": context.data_set(block.names["data"]).test.patients is not None,
        "bold": bold_means(n_draws(block.rows), len(block.adapters)),
    }


def _table(block: Block, scenario: str, metric: str) -> dict[str, Any]:
    columns = [column for column in block.columns if column[0] == scenario]
    return {
        "scenario": scenario,
        "shots": [shots_text(shots, alone=True) for _, shots in columns],
        "rows": [
            {"adapter": adapter, "cells": [_cell(block, adapter, column, metric) for column in columns]}
            for adapter in block.adapters
        ],
    }


def _cell(block: Block, adapter: str, column: tuple[str, int], metric: str) -> dict[str, str]:
    entry = block.entries[adapter, column]
    style = "best" if entry.best else "tied" if entry.tied else ""
    return {"text": with_interval(entry.mean, entry.low, entry.high, metric), "style": style}
