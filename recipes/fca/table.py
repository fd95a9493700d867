"""The table of a study with conformal sets, as Markdown: methods × scores × alpha, mean over the draws.

    python recipes/fca/table.py RUN

Without RUN the recipe's study is run on the demo clinic first.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
RUN = HERE.parents[1] / "runs" / "figures" / "fca"
NAMES = {
    ("zero-shot", "split"): "scp: `split`, zero-shot",
    ("zero-shot", "conf-ot"): "`conf-ot`, zero-shot",
    ("ss-text", "full"): "fca: `full`, ss-text",
    ("ss-text", "split(prefit=True)"): "the mistake: adapt+scp, ss-text",
}


def main() -> None:
    """Print coverage, size and class gap (points, the papers' CCV) of each method."""
    run = Path(sys.argv[1]) if sys.argv[1:] else RUN
    if not sys.argv[1:]:
        study = ("-c", "from fewshot_flair.cli import main; main()", "study", str(HERE / "study.toml"))
        study += ("--on", "demo", "--encoder", "mini")
        subprocess.run(
            [sys.executable, *study, "--out", str(run), "--no-report"], check=True, stdout=subprocess.DEVNULL
        )
    table = pd.read_csv(run / "conformal.csv")
    for setting, rows in table.groupby(["data", "scenario", "shots"], sort=False):
        print(
            f"\n{setting[0]}, {setting[1]}, {setting[2]} shots; coverage, %, classes a set, class gap (CCV):\n"
        )
        settings = [(alpha, score) for alpha in (0.1, 0.05) for score in ("lac", "aps", "raps")]
        print("| method | " + " | ".join(f"{score}, {alpha:g}" for alpha, score in settings) + " |")
        print("| --- |" + " ---: |" * len(settings))
        for key, own in rows.groupby(["adapter", "method"], sort=False):
            means = own.groupby(["alpha", "score"])[["coverage", "set_size", "class_coverage_gap"]].mean()
            cells = [
                "{:.1f}, {:.2f}, {:.1f}".format(*(means.loc[where] * [100, 1, 100]))
                if where in means.index
                else "–"
                for where in settings
            ]
            print(f"| {NAMES.get(key, ', '.join(key))} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
