"""What the run asked, on what data and with which encoders, and what its photographs are."""

from __future__ import annotations

from typing import Any

from fewshot_flair.experiment.choices import FLAIR_2025
from fewshot_flair.experiment.grid import shots_texts
from fewshot_flair.report.context import Context
from fewshot_flair.report.wording import MINI
from fewshot_flair.words import counted

__all__ = ["TEMPLATE", "content"]

TEMPLATE = """
<h1>{{ name }}</h1>
<p class="question">{{ question }}<br>{{ subtitle }}</p>
<p>{{ setting }}</p>
{% if rendered %}<p class="note"><strong>{{ rendered | join(", ") }}: these photographs are rendered by a program;</strong> they are no real eyes, and the numbers on them say nothing of patients.</p>{% endif %}
{% if mini %}<p class="note">{{ mini }}</p>{% endif %}
{% for name, why in undefined.items() %}<p class="note"><strong>{{ name }} is left out of the tables and pictures below:</strong> {{ metric.title }} is undefined there, as {{ why }}.</p>{% endfor %}
"""


def content(context: Context) -> dict[str, Any]:
    """Name, question, setting and warnings."""
    record = context.record
    data = list(dict.fromkeys(clinic.data for clinic in record.clinics))
    encoders = list(dict.fromkeys(clinic.encoder.name for clinic in record.clinics))
    return {
        "name": record.study["name"],
        "question": record.study["question"],
        # `--on` leaves the name and the question of another study
        "subtitle": f"Data: {', '.join(data)}. Encoder{'' if len(encoders) == 1 else 's'}: {', '.join(encoders)}.",
        "setting": _setting(context),
        "rendered": sorted({clinic.data for clinic in context.data_sets if clinic.rendered}),
        "mini": MINI if "mini" in encoders else "",
        "undefined": context.undefined,
        "metric": context.metric,
    }


def _setting(context: Context) -> str:
    rows = context.results.rows
    named = all(clinic.names_patients for clinic in context.record.clinics)
    flair = context.record.study["protocol"] == FLAIR_2025
    judged = (
        "the rows that a fold tests (zero-shot on all)"
        if flair
        else "test rows of other patients"
        if named
        else "other rows (where patients are named, of other patients)"
    )
    shots = sorted(rows["shots"].unique())
    scenarios = list(dict.fromkeys(rows["scenario"]))
    budget = (
        ""
        if scenarios == ["standard"]
        else " (outside the standard scenario a budget of as many in all, shared out as the scenario says)"
    )
    networks = {cell.names["adapter"] for cell in context.results.cells if cell.tuned is not None}
    adapters = rows["adapter"].nunique() - len(networks)
    fitted = [f"{counted(adapters, 'adapter')} on frozen features"] if adapters else []
    fitted += [f"{counted(len(networks), 'kind')} of fine-tuned networks"] if networks else []
    tests = list(dict.fromkeys(context.everywhere.rows["test"]))[rows["test"].nunique() :]
    elsewhere = f" All are tested on {', '.join(tests)} too: see Here and elsewhere." if tests else ""
    return (
        f"{' and '.join(fitted)} of "
        f"{counted(rows['encoder'].nunique(), 'encoder')} and {counted(rows['data'].nunique(), 'data set')}: "
        f"{shots_texts(shots)} per class{budget} in the "
        f"{', '.join(scenarios)} scenario{'s' if len(scenarios) > 1 else ''}, "
        f"{_drawn(context)} drawn from the training rows for each, no validation "
        f"images; judged on {judged}. {counted(len(rows), 'fit')}.{elsewhere}"
    )


def _drawn(context: Context) -> str:
    folds = context.record.study.get("folds")
    sets = counted(context.n_seeds, "support set")
    return f"{sets} in each of {folds} folds" if folds else sets
