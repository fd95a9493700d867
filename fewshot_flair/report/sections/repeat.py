"""How to repeat the run: the command, the study's file, the versions."""

from __future__ import annotations

from typing import Any

from fewshot_flair.report.context import Context

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
<h2>To repeat it</h2>
<pre>{{ command }}</pre>
{% if study_text %}
<p>with this as the study's file (what the command says goes before what the file says):</p>
<pre>{{ study_text }}</pre>
{% endif %}
<p class="soft">{% for name, version in versions.items() %}{{ name }} {{ version }}{{ ", " if not loop.last }}{% endfor %}</p>
"""


def content(context: Context) -> dict[str, Any]:
    """Command, text and versions."""
    record = context.record
    return {"command": record.command, "study_text": record.study_text, "versions": record.versions}
