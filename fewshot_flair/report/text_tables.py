"""A study's main tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewshot_flair.evaluation import METRICS
from fewshot_flair.experiment.grid import draws_text, n_draws, shots_text
from fewshot_flair.files import inert
from fewshot_flair.report.wording import bold_means, unit, with_interval

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.report.summary import Block

__all__ = ["text_tables"]


def text_tables(block: Block, metric: str) -> dict[str, str]:
    """The main table by suffix: Markdown and LaTeX (booktabs) with a caption, and CSV.

    In the first two the best and its ties are bold, and the caption says so.
    """
    import pandas as pd

    plain = _table(block, metric, "{}").rename(index=inert, columns=inert)
    latex = _table(block, metric, "\\textbf{{{}}}")
    latex.columns = pd.Index([_latex(name) for name in latex.columns])
    latex.index = pd.Index([_latex(name) for name in latex.index], name="adapter")
    latex = latex.map(lambda text: text.replace("±", "$\\pm$").replace("–", "--"))
    caption = _caption(block, metric)
    return {
        ".md": f"{caption}\n\n{_table(block, metric, '**{}**').to_markdown()}\n",
        ".tex": latex.to_latex(escape=False, caption=_latex(caption), position="t"),
        ".csv": plain.to_csv(),
    }


def _table(block: Block, metric: str, bold: str) -> pd.DataFrame:
    import pandas as pd

    values = {
        f"{scenario} {shots_text(shots, alone=True)}": [
            (bold if entry.tied else "{}").format(with_interval(entry.mean, entry.low, entry.high, metric))
            for entry in (block.entries[a, (scenario, shots)] for a in block.adapters)
        ]
        for scenario, shots in block.columns
    }
    return pd.DataFrame(values, index=pd.Index(block.adapters, name="adapter"))


def _caption(block: Block, metric: str) -> str:
    draws = n_draws(block.rows)
    direction = "" if METRICS[metric].higher_is_better else " (lower is better)"
    interval = f" ± half the 95 % interval over {draws_text(block.rows)}" if draws > 1 else ", one draw"
    return (
        f"{block.title}: {unit(metric)}{direction}, by scenario and shots; mean{interval}; "
        f"{bold_means(draws, len(block.adapters))}"
    )


def _latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"±": "$\\pm$", "×": "$\\times$", "–": "--"}
    return "".join(special.get(character, character) for character in text)
