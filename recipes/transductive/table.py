"""Means of a study of adapters that learn without labels, and paired differences from two others, as Markdown.

    python recipes/transductive/table.py RUN [--page]

With ``--page`` it writes ``results/page.md``, the rows that docs/adapters.md shows, instead.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from fewshot_flair.evaluation.statistics import paired_comparisons
from fewshot_flair.words import counted

REFERENCES = ("ss-text", "ss-text-u")
PAGE = Path(__file__).parent / "results" / "page.md"
TESTED = ", test photographs"


def page(table: pd.DataFrame) -> str:
    """Rows of the transductive data sets side by side, with the difference from `ss-text` in brackets."""
    rows: dict[str, list[str]] = {}
    tested = table[table["data"].str.endswith(TESTED)]
    for _, own in tested.groupby(["data", "shots"], sort=False):
        wide = 100 * own.pivot(index="seed", columns="adapter", values="balanced_accuracy")
        found = paired_comparisons(wide, REFERENCES[0])
        for name in own["adapter"].unique():
            cell = f"{wide[name].mean():.1f}"
            if name in found.index:
                star = "\\*" if found.loc[name].p_holm < 0.05 else ""
                cell += f" ({found.loc[name].difference:+.1f}{star})"
            rows.setdefault(name, []).append(cell)
    return "".join(f"| `{name}` | {' | '.join(cells)} |\n" for name, cells in rows.items())


def main() -> None:
    """A table a data set; * is a Wilcoxon test on the draws, Holm-corrected over the table's column, below 0.05."""
    table = pd.read_csv(Path(sys.argv[1]) / "results.csv")
    if "--page" in sys.argv:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(table))
        return
    for data, rows in table.groupby("data", sort=False):
        shots = sorted(rows["shots"].unique())
        wide = {
            k: 100 * own.pivot(index="seed", columns="adapter", values="balanced_accuracy")
            for k, own in rows.groupby("shots")
        }
        found = {(k, name): paired_comparisons(wide[k], name) for k in shots for name in REFERENCES}
        columns = ("%", *(f"− {name}" for name in REFERENCES))
        head = [f"{counted(int(k), 'shot')}, {what}" for k in shots for what in columns]
        print(f"\n{data}\n\n| adapter | {' | '.join(head)} |\n| --- |{' ---: |' * len(head)}")
        for name in rows["adapter"].unique():
            cells = []
            for k in shots:
                cells.append(f"{wide[k][name].mean():.1f}")
                for reference in REFERENCES:
                    if name == reference:
                        cells.append("–")
                        continue
                    own = found[k, reference].loc[name]
                    cells.append(f"{own.difference:+.1f}{'*' if own.p_holm < 0.05 else ''}")
            print(f"| `{name}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
