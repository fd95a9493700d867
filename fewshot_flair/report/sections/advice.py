"""What to do: the best choice, whether it beats zero-shot, what it misses, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fewshot_flair.evaluation import interval_over_seeds
from fewshot_flair.evaluation.statistics import draw_columns
from fewshot_flair.experiment.grid import shots_text
from fewshot_flair.report.context import Context
from fewshot_flair.report.summary import Block
from fewshot_flair.report.wording import percent_range
from fewshot_flair.words import counted

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
<h2>What to do</h2>
{% for item in items %}
{% if items | length > 1 %}<h3>{{ item.title }}</h3>{% endif %}
<ul class="advice">
{% for line in item.lines %}<li>{{ line }}</li>{% endfor %}
</ul>
{% endfor %}
"""
MISSED = 0.5
"""A class with a lower recall is said to be missed."""


def content(context: Context) -> dict[str, Any] | None:
    """A few sentences for the saved adapters, or for each block of a study."""
    if context.record.default_adapter is not None:
        return {"items": [{"title": "", "lines": _of_saved(context)}]}
    blocks = context.blocks if context.metric.key == "balanced_accuracy" else []
    items = [{"title": block.title, "lines": _of_block(context, block)} for block in blocks]
    return {"items": items} if items else None


def _of_saved(context: Context) -> list[str]:
    record = context.record
    name = record.default_adapter or ""
    found = record.saved[name].test
    unit = "patients" if record.clinics[0].names_patients else "images"
    sure = percent_range(found.low, found.high)
    lines = [f"Use {name}: predict takes it unless told otherwise. It was chosen by {record.default_rule}."]
    if record.verdict:
        lines.append(record.verdict)
    if found.balanced_accuracy is not None:
        lines.append(
            f"Fitted on all {counted(record.saved[name].training_images, 'training image')}, it has "
            f"{100 * found.balanced_accuracy:.1f} % balanced accuracy on the test rows (95 % over test {unit}: "
            f"{sure}). These are the figures of the adapter that predict uses; those of a few shots stand below."
        )
    return [*lines, _missed(found.recall)]


def _of_block(context: Context, block: Block) -> list[str]:
    lines = []
    unit = "patients" if context.data_set(block.names["data"]).names_patients else "images"
    for scenario in dict.fromkeys(name for name, _ in block.columns):
        best, shots = block.best_adapter(scenario)
        entry = block.entries[best, (scenario, shots)]
        tied = [
            name for name in block.adapters if name != best and block.entries[name, (scenario, shots)].tied
        ]
        others = f" (not told from it: {', '.join(tied[:5])}{' …' if len(tied) > 5 else ''})" if tied else ""
        lines.append(
            f"{scenario}, {shots_text(shots)}: {best} has the best mean, {100 * entry.mean:.1f} % balanced "
            f"accuracy{others}; 95 % over test {unit}: {percent_range(*entry.patient_interval)}. "
            f"{_above_zero_shot(block, best, scenario, shots)}{_of_path(context, best)}"
        )
        rows = block.rows[
            (block.rows["scenario"] == scenario)
            & (block.rows["shots"] == shots)
            & (block.rows["adapter"] == best)
        ]
        recall = {
            name.removeprefix("recall_"): float(rows[name].mean())
            for name in rows.columns
            if name.startswith("recall_") and rows[name].notna().any()
        }
        lines.append(_missed(recall))
    return lines


def _above_zero_shot(block: Block, best: str, scenario: str, shots: int) -> str:
    if "zero-shot" not in block.adapters:
        return "There is no zero-shot to compare with."
    if best == "zero-shot":
        return "No adapter has a better mean than zero-shot."
    part = block.rows[(block.rows["scenario"] == scenario) & (block.rows["shots"] == shots)]
    wide = part.pivot_table(index=draw_columns(part.columns), columns="adapter", values="balanced_accuracy")
    mean, low, high = interval_over_seeds((wide[best] - wide["zero-shot"]).to_numpy(float))
    said = f"{100 * mean:+.1f} points against zero-shot"
    if np.isnan(low):
        return f"{said}, from one draw."
    return f"{said} (95 % over draws {100 * low:+.1f} to {100 * high:+.1f})."


def _of_path(context: Context, best: str) -> str:
    """That a place between the ends of a path was found by the test rows."""
    tuned = next(cell.tuned for cell in context.results.cells if cell.names["adapter"] == best)
    if tuned is None or tuned["soup"] or tuned["wise"] in (0, 1):
        return ""
    return " The test rows alone say that this place on its path (wise) is the best, so that the figure flatters."


def _missed(recall: Mapping[str, float | None]) -> str:
    known = {name: value for name, value in recall.items() if value is not None and not np.isnan(value)}
    untested = [name for name in recall if name not in known]
    missed = sorted((name for name in known if known[name] < MISSED), key=lambda name: known[name] or 0.0)
    said = (
        "It misses more than half of: " + ", ".join(f"{name} (finds {known[name]:.0%})" for name in missed)
        if missed
        else "It finds at least half of every class that was tested"
    )
    if untested:
        said += f". Nothing is known of {', '.join(untested)}: no test images"
    return said + "."
