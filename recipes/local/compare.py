"""Local adapters against the best adapter of the global feature, on the same draws. See README.md beside this.

python recipes/local/compare.py runs/local-dr-clinic runs/local-idrid
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from fewshot_flair.evaluation.statistics import paired_comparisons

METRIC = "balanced_accuracy"


def main() -> None:
    """Print a table for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of the study")
    for run in parser.parse_args().runs:
        rows = pd.read_parquet(run / "results.parquet")
        for shots, some in rows.groupby("shots"):
            print(f"\n{run.name}, {shots} shots\n\n{table(some)}")


def table(rows: pd.DataFrame) -> str:
    """Means, and paired differences with the best global adapter, in Markdown."""
    local = rows["adapter"].str.startswith("local-")
    tiled = rows["encoder"].str.contains("tiles")
    rows = rows[local | ~tiled].assign(
        method=rows["adapter"] + tiled.map({True: ", tiles 2x2", False: ""}),
    )
    wide = 100 * rows.pivot_table(index="seed", columns="method", values=METRIC)
    wholes = [name for name in wide if not name.startswith("local-")]
    best = wide[wholes].mean().idxmax()
    compared = paired_comparisons(wide[[best, *(name for name in wide if name.startswith("local-"))]], best)
    lines = [["method", "balanced accuracy", f"difference with {best}", "95 %", "p (Wilcoxon, Holm)"]]
    lines.append(["---", "---:", "---:", "---:", "---:"])
    lines += [[name, f"{wide[name].mean():.1f}", "", "", ""] for name in wholes]
    for name, row in compared.iterrows():
        low, high = row["low"], row["high"]
        told = [f"{wide[name].mean():.1f}", f"{row['difference']:+.1f}", f"{low:+.1f} to {high:+.1f}"]
        lines.append([str(name), *told, f"{row['p_holm']:.2g}"])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
