"""One self-contained HTML file that says what a study found, how, and how to repeat it."""

from __future__ import annotations

import base64
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_flair.evaluation import METRICS
from fewshot_flair.studies import figures, plots
from fewshot_flair.studies.published import published_table
from fewshot_flair.studies.questions import reviewers_questions
from fewshot_flair.studies.run_folder import folder_name
from fewshot_flair.studies.summary import Block, blocks, ranking
from fewshot_flair.studies.tables import StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fewshot_flair.evaluation.statistics import Ranking

__all__ = ["write_report"]


def write_report(folder: str | Path, metric: str = "balanced_accuracy") -> Path:
    """Write ``report.html`` beside a finished study, its figures as PNG and SVG, its tables as text.

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
    """
    folder = Path(folder)
    results = StudyResults.read(folder)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    shown = [_block(results, block, metric, folder) for block in blocks(results, metric)]
    text = _template().render(
        study=results.record["study"],
        record=results.record,
        metric=METRICS[metric],
        setting=_setting(results),
        n_seeds=len(results.record["study"]["seeds"]),
        rendered=sorted({c["data"]["name"] for c in results.record["clinics"] if c["data"]["rendered"]}),
        mini=any(c["encoder"]["name"] == "mini" for c in results.record["clinics"]),
        data_sets=_data_sets(results),
        blocks=shown,
        ranking=_ranking(ranking(results, metric), folder),
        published=published_table(results),
        skipped=_skipped(results),
        notes=_notes(results),
        questions=reviewers_questions(results),
        command=results.record["command"],
        study_text=results.record["study_text"],
    )
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("fewshot_flair.studies", "templates")
    # whatever comes from data (labels, file names, prompts) is text: all of it is escaped
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("report.html.j2")


def _setting(results: StudyResults) -> str:
    study = results.record["study"]
    rows = results.rows

    def several(column: str, noun: str) -> str:
        n = rows[column].nunique()
        return f"{n} {noun}{'' if n == 1 else 's'}"

    named = all(clinic["data"]["test"]["patients"] is not None for clinic in results.record["clinics"])
    judged = (
        "test rows of other patients" if named else "other rows (where patients are named, of other patients)"
    )
    shots = ", ".join(str(k) for k in sorted(rows["shots"].unique()))
    scenarios = list(dict.fromkeys(rows["scenario"]))
    return (
        f"{several('adapter', 'adapter')} on frozen features of "
        f"{several('encoder', 'encoder')} and {several('data', 'data set')}: "
        f"{shots} shots per class in the {', '.join(scenarios)} scenario{'s' if len(scenarios) > 1 else ''}, "
        f"{len(study['seeds'])} support sets drawn from the training rows for each, no validation images; "
        f"judged on {judged}. {len(rows):,} fits."
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


def _block(results: StudyResults, block: Block, metric: str, folder: Path) -> dict[str, Any]:
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
    _write_tables(block, metric, folder / "tables" / name)
    last = {scenario: max(k for s, k in block.columns if s == scenario) for scenario in scenarios}
    pictures = [
        {
            "uri": _kept(figure, folder, f"{name}-{key}"),
            "caption": caption,
            "full": key == "reliability",
        }
        for key, caption, figure in figures.block_figures(results, block, metric)
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
        "scenarios": [f"{scenario}, {last[scenario]} shots" for scenario in scenarios],
        "table": table,
        "figures": pictures,
        "overtakes": crossing,
        "patients": patients,
    }


def _cell(block: Block, adapter: str, column: tuple[str, int], metric: str) -> dict[str, str]:
    entry = block.entries[adapter, column]
    style = "best" if entry.best else "tied" if entry.tied else ""
    return {"text": _value(entry.mean, entry.high - entry.mean, metric), "style": style}


def _value(mean: float, half: float, metric: str) -> str:
    if np.isnan(mean):
        return "–"
    scale, digits = (100, 1) if METRICS[metric].percent else (1, 3)
    text = f"{scale * mean:.{digits}f}"
    return text if np.isnan(half) or half == 0 else f"{text} ± {scale * half:.{digits}f}"


def _write_tables(block: Block, metric: str, stem: Path) -> None:
    """The main table as Markdown, LaTeX (booktabs) and CSV; bold is the best and its ties."""
    import pandas as pd

    def table(bold: str) -> pd.DataFrame:
        values = {
            f"{scenario} {shots}": [
                (bold if entry.tied else "{}").format(_value(entry.mean, entry.high - entry.mean, metric))
                for entry in (block.entries[a, (scenario, shots)] for a in block.adapters)
            ]
            for scenario, shots in block.columns
        }
        return pd.DataFrame(values, index=pd.Index(block.adapters, name="adapter"))

    stem.with_name(stem.name + ".md").write_text(table("**{}**").to_markdown() + "\n", encoding="utf-8")
    latex = table("\\textbf{{{}}}")
    latex.columns = pd.Index([_latex(name) for name in latex.columns])
    latex.index = pd.Index([_latex(name) for name in latex.index], name="adapter")
    latex = latex.map(lambda text: text.replace("±", "$\\pm$").replace("–", "--"))
    text = latex.to_latex(escape=False, caption=_latex(block.title), position="t")
    stem.with_name(stem.name + ".tex").write_text(text, encoding="utf-8")
    table("{}").to_csv(stem.with_name(stem.name + ".csv"))


def _latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)


def _ranking(found: Ranking | None, folder: Path) -> dict[str, Any] | None:
    if found is None:
        return None
    order = ", ".join(f"{name} {rank:.2f}" for name, rank in found.ranks.items())
    if np.isnan(found.p_friedman):
        return {"text": f"Over {found.settings} settings: {order}.", "uri": None}
    uri = _kept(figures.ranking_figure(found), folder, "average-ranks")
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
    return [f"{note} ({', '.join(map(str, sorted(k)))} shots)" for note, k in shots.items()]


def _skipped(results: StudyResults) -> list[dict[str, Any]]:
    rows = [
        {"data": clinic["data"]["name"], **row}
        for clinic in results.record["clinics"]
        for row in clinic["skipped"]
    ]
    return [row for i, row in enumerate(rows) if row not in rows[:i]]


def _kept(figure: Figure, folder: Path, name: str) -> str:
    """Save as PNG and SVG, and give the SVG as a data address, inert wherever it stands."""
    plots.save(figure, folder / "figures" / f"{name}.png")
    path = plots.save(figure, folder / "figures" / f"{name}.svg")
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
