"""One self-contained HTML file that says what a study found, how, and how to repeat it."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_flair.evaluation import METRICS
from fewshot_flair.experiment.folder import folder_name
from fewshot_flair.experiment.results import StudyResults
from fewshot_flair.report import figures
from fewshot_flair.report.drawing import Styles, adapter_styles
from fewshot_flair.report.files import kept_figure, replace_files
from fewshot_flair.report.published import published_table
from fewshot_flair.report.questions import reviewers_questions
from fewshot_flair.report.summary import Block, defined_blocks, ranking
from fewshot_flair.report.text_tables import text_tables
from fewshot_flair.report.wording import bold_means, counted, unit, with_interval

if TYPE_CHECKING:
    from fewshot_flair.evaluation.statistics import Ranking

__all__ = ["write_report"]


def write_report(folder: str | Path, metric: str = "balanced_accuracy") -> Path:
    """Write ``report.html`` beside a finished study, its figures as PNG and SVG, its tables as text.

    Figures and tables of an earlier report in the folder are removed.

    Parameters
    ----------
    folder : path
        What ``fewshot-flair study`` wrote.
    metric : str
        A key of `evaluation.METRICS`, the one that tables and curves show.

    Returns
    -------
    Path
        The report: one file, without any reference outside itself.

    Raises
    ------
    MissingFileError
        If the study has not finished.
    InputError
        If the metric is undefined on all of its data; an earlier report stays as it was.
    """
    folder = Path(folder)
    results = StudyResults.read(folder)
    defined, undefined = defined_blocks(results, metric)
    record, ranked = results.record, ranking(results, metric)
    styles = adapter_styles(_by_rank(results, defined))
    files: dict[str, bytes] = {}
    shown = [_block(results, block, metric, styles, files) for block in defined]
    n_seeds = len(record["study"]["seeds"])
    text = _template().render(
        study=record["study"],
        record=record,
        metric=METRICS[metric],
        unit=unit(metric),
        undefined=undefined,
        subtitle=_subtitle(record),
        setting=_setting(results),
        n_seeds=n_seeds,
        rendered=sorted({c["data"]["name"] for c in record["clinics"] if c["data"]["rendered"]}),
        mini=any(c["encoder"]["name"] == "mini" for c in record["clinics"]),
        data_sets=_data_sets(results),
        blocks=shown,
        ranking=_ranking(ranked, metric, styles, files),
        published=published_table(results),
        skipped=_skipped(results),
        notes=_notes(results),
        questions=reviewers_questions(results),
        command=record["command"],
        study_text=record["study_text"],
    )
    replace_files(folder, files)
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def _by_rank(results: StudyResults, shown: list[Block]) -> list[str]:
    """All adapters of the study, the best on average first, as these are the ones that pictures show."""
    ranks: dict[str, list[float]] = {name: [] for name in dict.fromkeys(results.rows["adapter"])}
    for block in shown:
        for name, rank in block.mean_ranks.items():
            ranks[name].append(rank)
    return sorted(ranks, key=lambda name: float(np.mean(ranks[name])) if ranks[name] else np.inf)


def _subtitle(record: dict[str, Any]) -> str:
    """On what data and with which encoders; `--on` leaves the name and the question of another study."""
    data = dict.fromkeys(clinic["data"]["name"] for clinic in record["clinics"])
    encoders = dict.fromkeys(clinic["encoder"]["name"] for clinic in record["clinics"])
    plural = "" if len(encoders) == 1 else "s"
    return f"Data: {', '.join(data)}. Encoder{plural}: {', '.join(encoders)}."


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("fewshot_flair.report", "templates")
    # whatever comes from data (labels, file names, prompts) is text: all of it is escaped
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("report.html.j2")


def _setting(results: StudyResults) -> str:
    study = results.record["study"]
    rows = results.rows

    named = all(clinic["data"]["test"]["patients"] is not None for clinic in results.record["clinics"])
    judged = (
        "test rows of other patients" if named else "other rows (where patients are named, of other patients)"
    )
    shots = sorted(rows["shots"].unique())
    scenarios = list(dict.fromkeys(rows["scenario"]))
    budget = (
        ""
        if scenarios == ["standard"]
        else " (outside the standard scenario a budget of as many in all, shared out as the scenario says)"
    )
    return (
        f"{counted(rows['adapter'].nunique(), 'adapter')} on frozen features of "
        f"{counted(rows['encoder'].nunique(), 'encoder')} and {counted(rows['data'].nunique(), 'data set')}: "
        f"{', '.join(map(str, shots))} {'shot' if shots == [1] else 'shots'} per class{budget} in the "
        f"{', '.join(scenarios)} scenario{'s' if len(scenarios) > 1 else ''}, "
        f"{counted(len(study['seeds']), 'support set')} drawn from the training rows for each, no validation "
        f"images; judged on {judged}. {counted(len(rows), 'fit')}."
    )


def _data_sets(results: StudyResults) -> list[dict[str, Any]]:
    found = {}
    for clinic in results.record["clinics"]:
        train, test = clinic["data"]["train"], clinic["data"]["test"]
        found[clinic["data"]["name"]] = {
            "name": clinic["data"]["name"],
            "counts": [(name, n, test["counts"][name]) for name, n in train["counts"].items()],
            "patients": (train["patients"], test["patients"]),
        }
    return list(found.values())


def _block(
    results: StudyResults, block: Block, metric: str, styles: Styles, files: dict[str, bytes]
) -> dict[str, Any]:
    """What the template shows of a block; its figures and tables go into `files`."""
    scenarios = list(dict.fromkeys(name for name, _ in block.columns))
    table = [
        {
            "adapter": adapter,
            "cells": [_cell(block, adapter, column, metric) for column in block.columns],
            "rank": f"{block.mean_ranks[adapter]:.1f}",
        }
        for adapter in block.adapters
    ]
    name = folder_name(block.title)
    for suffix, content in text_tables(block, metric).items():
        files[f"tables/{name}{suffix}"] = content.encode()
    last = {scenario: max(k for s, k in block.columns if s == scenario) for scenario in scenarios}
    pictures = [
        {
            "uri": kept_figure(figure, files, f"{name}-{key}"),
            "caption": caption,
            "full": key == "reliability",
        }
        for key, caption, figure in figures.block_figures(results, block, metric, styles)
    ]
    crossing = [
        {
            "adapter": adapter,
            "cells": [block.overtakes[scenario].get(adapter) or "–" for scenario in scenarios],
        }
        for adapter in block.adapters
        if adapter != "zero-shot" and "zero-shot" in block.adapters
    ]
    patients = [
        {
            "adapter": adapter,
            "cells": [
                "{:.1f} to {:.1f}".format(
                    *(100 * v for v in block.entries[adapter, (s, last[s])].patient_interval)
                )
                for s in scenarios
            ],
        }
        for adapter in block.adapters
    ]
    return {
        "title": block.title,
        "groups": [(scenario, len(list(group))) for scenario, group in groupby(s for s, _ in block.columns)],
        "shots": [shots for _, shots in block.columns],
        "scenarios": [f"{scenario}, {counted(last[scenario], 'shot')}" for scenario in scenarios],
        "table": table,
        "figures": pictures,
        "overtakes": crossing,
        "patients": patients,
        "named": _patients_named(results, block.names["data"]),
        "bold": bold_means(block.rows["seed"].nunique(), len(block.adapters)),
    }


def _patients_named(results: StudyResults, data: str) -> bool:
    clinics = [c["data"] for c in results.record["clinics"] if c["data"]["name"] == data]
    return all(clinic["test"]["patients"] is not None for clinic in clinics)


def _cell(block: Block, adapter: str, column: tuple[str, int], metric: str) -> dict[str, str]:
    entry = block.entries[adapter, column]
    style = "best" if entry.best else "tied" if entry.tied else ""
    return {"text": with_interval(entry.mean, entry.low, entry.high, metric), "style": style}


def _ranking(
    found: Ranking | None, metric: str, styles: Styles, files: dict[str, bytes]
) -> dict[str, Any] | None:
    if found is None:
        return None
    order = ", ".join(f"{name} {rank:.2f}" for name, rank in found.ranks.items())
    if np.isnan(found.p_friedman):
        return {"text": f"Over {found.settings} settings: {order}.", "uri": None}
    uri = kept_figure(figures.ranking_figure(found, metric, styles), files, "average-ranks")
    said = (
        f"Over {found.settings} settings (each a data set, scenario and number of shots; they share images, "
        f"so the test is optimistic) Friedman's test gives p = {found.p_friedman:.2g}. {order}."
    )
    return {"text": said, "uri": uri}


def _notes(results: StudyResults) -> list[str]:
    """What adapters warned of, with the numbers of shots at which they did."""
    shots: dict[str, set[int]] = {}
    for cell in results.cells:
        for note in cell.notes:
            shots.setdefault(note, set()).add(cell.names["shots"])
    return [
        f"{note} ({', '.join(map(str, sorted(k)))} {'shot' if k == {1} else 'shots'})"
        for note, k in shots.items()
    ]


def _skipped(results: StudyResults) -> list[dict[str, Any]]:
    rows = [
        {"data": clinic["data"]["name"], **row}
        for clinic in results.record["clinics"]
        for row in clinic["skipped"]
    ]
    return [row for i, row in enumerate(rows) if row not in rows[:i]]
