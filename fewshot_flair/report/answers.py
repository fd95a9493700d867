"""The answers of ``predict`` as one HTML page: a small picture each, first what a person should look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_flair.errors import InputError
from fewshot_flair.files import replace_file
from fewshot_flair.report.page import render
from fewshot_flair.report.thumbnails import data_uri, thumbnail
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_page", "shown_rows", "write_answers"]

MOST_PICTURES = 2000

TEMPLATE = """
<h1>{{ title }}</h1>
{% for sentence in told %}<p>{{ sentence }}</p>
{% endfor %}
{% if left %}<p class="note">{{ left }} in the table only.</p>{% endif %}
{% for group in groups %}
<h2>{{ group.name }} <span class="soft">({{ group.cards | length }})</span></h2>
<div class="cards">
{% for card in group.cards %}
<article>{% if card.picture %}<img src="{{ card.picture }}" alt="{{ card.image }}" loading="lazy">{% endif %}
{% if card.map %}<img src="{{ card.map }}" alt="what spoke for {{ card.answer }}" loading="lazy">{% endif %}
<h3>{{ card.image }}</h3>
{% if card.answer %}<p><b>{{ card.answer }}</b></p>{% endif %}
{% for line in card.lines %}<p class="soft">{{ line }}</p>{% endfor %}
{% if card.more %}<details><summary class="soft">more</summary>
{% for line in card.more %}<p class="soft">{{ line }}</p>{% endfor %}
</details>{% endif %}</article>
{% endfor %}
</div>
{% endfor %}
"""


def check_page(page: Path | None) -> None:
    """Raise where the page cannot go to `page`; a file that is no page of ours is not replaced."""
    if page is None:
        return
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html {page}: give a name that ends in .html")
    if page.exists() and b"fewshot-flair" not in page.read_bytes()[:20_000]:
        raise InputError(f"--html {page}: this file holds something other than answers; give another name")


def write_answers(
    page: Path,
    table: pd.DataFrame,
    paths: Sequence[Path | None],
    *,
    title: str,
    told: Sequence[str],
    maps: Mapping[int, bytes] = MappingProxyType({}),
) -> Path:
    """Write the page: what has no answer, what is referred (doubtful photographs, positive ones), then the rest.

    Parameters
    ----------
    table : DataFrame
        As `Predictions.table`.
    paths : sequence of Path or None
        The file of each row; None where there is none to show.
    title : str
    told : sequence of str
        By which model the answers are, and what they mean.
    maps : mapping of int to bytes
        JPEG pictures of where the model looked, by row of the table.

    Returns
    -------
    Path
        The page: one file, without any reference outside itself.
    """
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    order = _order(rows)
    shown = order[:MOST_PICTURES]
    names = ["No answer", "For a person to look at", "Answered", "All answers, the least sure first"]
    groups: dict[int, list[dict[str, Any]]] = {}
    for i in shown:
        groups.setdefault(_group(rows[i]), []).append(_card(rows[i], paths[i], maps.get(i)))
    content = {
        "title": title,
        "told": told,
        "left": _left(len(order) - len(shown)),
        "groups": [{"name": names[key], "cards": cards} for key, cards in sorted(groups.items())],
    }
    return replace_file(page, [render(title, [(TEMPLATE, content)]).encode(errors="backslashreplace")])


def shown_rows(table: pd.DataFrame) -> list[int]:
    """Rows of the table that the page has pictures of, in its order."""
    return _order(table.to_dict("records"))[:MOST_PICTURES]  # type: ignore[arg-type]


def _order(rows: list[dict[str, Any]]) -> list[int]:
    return sorted(range(len(rows)), key=lambda i: _place(rows[i]))


def _left(n: int) -> str:
    return f"{counted(n, 'more photograph', 'is', 'are')}" if n else ""


def _group(row: dict[str, Any]) -> int:
    """0 where there is no answer, 1 where a person decides, 2 where the answer stands, 3 without a decision."""
    if not isinstance(row.get("predicted"), str):
        return 0
    decision = row.get("decision")
    return {"refer": 1, "answer": 2}.get(decision, 3) if isinstance(decision, str) else 3


def _place(row: dict[str, Any]) -> tuple[int, int, float]:
    """Doubts about the photograph first, then the likeliest positive ones, then the least sure answers."""

    def number(column: str) -> float:
        value = row.get(column)
        return float(value) if isinstance(value, float) and not np.isnan(value) else -1.0

    reason = row.get("reason")
    kind = {"positive": 1, "unsure": 2, "": 2}.get(reason, 0) if isinstance(reason, str) else 2
    return _group(row), kind, -number("positive") if kind == 1 else number("probability")


def _card(row: dict[str, Any], path: Path | None, looked: bytes | None) -> dict[str, Any]:
    def told(column: str, label: str = "") -> str:
        value = row.get(column)
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{label}{value:.2g}"
        return f"{label}{value}" if isinstance(value, str) and value else ""

    shown = _group(row) > 0
    answer = f"{row['predicted']}, {row['probability']:.0%}" if shown else ""
    if shown and row.get("decision") == "answer" and isinstance(row.get("positive"), float):
        answer = f"not positive ({row['positive']:.0%}); {answer}"
    first, _, others = told("reason").partition("; ")
    lines = [first, told("note")]
    if row.get("reason") == "positive" and isinstance(row.get("positive"), float):
        lines[0] = f"positive, {row['positive']:.0%}"
    more = [
        others,
        told("set", "classes that cannot be ruled out: "),
        told("typicality", "typical of the training photographs: p = "),
        told("patient", "patient "),
        told("nearest", "most like "),
    ]
    return {
        "image": Path(str(row["image"])).name,
        "answer": answer,
        "lines": [line for line in lines if line],
        "more": [line for line in more if line],
        "picture": thumbnail(path) if path is not None else "",
        "map": data_uri(looked) if looked and shown else "",
    }
