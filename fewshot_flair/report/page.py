"""One self-contained HTML file that says what a run found, how, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair import __version__
from fewshot_flair.experiment.results import StudyResults
from fewshot_flair.files import replace_file
from fewshot_flair.report.context import Context
from fewshot_flair.report.files import replace_files
from fewshot_flair.report.sections import SECTIONS

if TYPE_CHECKING:
    from fewshot_flair.models.mistakes import Mistakes

__all__ = ["render", "write_report"]


def write_report(
    run: str | Path | StudyResults,
    metric: str = "balanced_accuracy",
    *,
    folder: str | Path | None = None,
    mistakes: Mistakes | None = None,
) -> Path:
    """Write ``report.html`` beside a finished run, its figures as PNG and SVG, its tables as text.

    Figures and tables of an earlier report in the folder are removed.

    Parameters
    ----------
    run : path or StudyResults
        A run's folder, or its results where they are at hand (then `folder` says where it lies).
    metric : str
        A key of `evaluation.METRICS`, the one that tables and curves show.
    mistakes : Mistakes, optional
        The test photographs to show with what is wrong about their answers (see `models.worst_mistakes`).

    Returns
    -------
    Path
        The report: one file, without any reference outside itself.

    Raises
    ------
    MissingFileError
        If the run has not finished.
    InputError
        If the metric is undefined on all of its data; an earlier report stays as it was.
    """
    if isinstance(run, StudyResults):
        results, place = run, Path(folder or ".")
    else:
        results, place = StudyResults.read(run), Path(run)
    context = Context.of(results, metric, mistakes)
    parts = [(section.TEMPLATE, section.content(context)) for section in SECTIONS]
    text = render(context.record.study["name"], [(text, told) for text, told in parts if told is not None])
    replace_files(place, context.files)
    return replace_file(place / "report.html", [text.encode(errors="backslashreplace")])


def render(title: str, sections: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """A page of sections, each a template and its content."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("fewshot_flair.report", "templates")
    # whatever comes from data (labels, file names, prompts) is text: all of it is escaped
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    parts = [environment.from_string(text).render(content) for text, content in sections]
    return environment.get_template("page.html.j2").render(title=title, version=__version__, sections=parts)
