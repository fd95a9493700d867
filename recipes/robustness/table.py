"""Here against elsewhere: one table and one picture of several studies.

    python recipes/robustness/table.py RUN [RUN ...]

Writes ``results/table.md`` and ``docs/images/robustness.png``, which docs/robustness.md shows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fewshot_flair.experiment import StudyResults
from fewshot_flair.experiment.elsewhere import panels
from fewshot_flair.report.drawing import save
from fewshot_flair.report.robustness import markdown, robustness_figure


def main() -> None:
    """Read, write, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "table.md")
    parser.add_argument("--picture", type=Path, default=Path("docs/images/robustness.png"))
    args = parser.parse_args()
    found = [panel for run in args.runs for panel in panels(StudyResults.read(run))]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(markdown(found), encoding="utf-8")
    # other places in the picture; of spoilt photographs the table says enough
    places = [panel for panel in found if ":" not in panel.names["test"]]
    save(
        robustness_figure(places, "Trained in one place, tested there and in another", across=2), args.picture
    )
    print(f"{args.out} and {args.picture}")


if __name__ == "__main__":
    main()
