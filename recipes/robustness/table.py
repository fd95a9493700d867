"""Here against elsewhere: the table, the picture, the Pareto front and effective robustness of runs of `finetune`.

    python recipes/robustness/table.py RUN [RUN ...]

Writes ``results/table.md`` and ``docs/images/robustness.png``. A row is a method and alpha, the mean over seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from fewshot_flair.evaluation import baseline_line, pareto_front
from fewshot_flair.evaluation.robustness import Line
from fewshot_flair.experiment.grid import ALL_SHOTS, shots_text

METRIC = "balanced_accuracy"
SHOWN = ("zero-shot", "lp", "logistic", "ss-text+")
"""Frozen adapters that tables have beside those on the front; pictures have all."""
NAMES = ["method", "kind", "alpha"]


def read(runs: list[Path]) -> pd.DataFrame:
    """The results of all runs, accuracies in percent."""
    table = pd.concat([pd.read_csv(run / "results.csv") for run in runs], ignore_index=True)
    shots = [ALL_SHOTS if str(k) == "all" else int(k) for k in table["shots"]]
    return table.assign(**{METRIC: 100 * table[METRIC], "shots": shots})


def sides(own: pd.DataFrame, elsewhere: str) -> pd.DataFrame:
    """A row a method and alpha: accuracy at home and elsewhere, effective robustness, front, cost."""
    home = own[own["distribution"] == "in"]
    away = own[own["test"] == elsewhere]
    keys = [*NAMES, "seed"]
    pairs = home.merge(away[[*keys, METRIC]], on=keys, suffixes=("", "_out"))
    found = pairs.groupby(NAMES, sort=False, dropna=False).agg(
        inside=(METRIC, "mean"),
        outside=(f"{METRIC}_out", "mean"),
        seconds=("seconds", "mean"),
        parameters=("trainable_parameters", "mean"),
        bytes=("bytes", "mean"),
        seeds=("seed", "size"),
    )
    found = found.reset_index()
    # a soup costs the trainings of all its members
    whole = found[found["kind"] == "fine-tuned"].set_index(["method", "alpha"])
    for i in found.index[found["kind"] == "soup"]:
        one = whole.loc[(found.loc[i, "method"], 1.0)]
        found.loc[i, ["seconds", "parameters", "bytes"]] = [
            one["seconds"] * one["seeds"],
            one["parameters"],
            one["bytes"],
        ]
    found["front"] = pareto_front(found[["inside", "outside"]])
    return found


def line_of(own: pd.DataFrame, elsewhere: str) -> Line:
    """The line of the frozen adapters, a point an adapter and seed; zero-shot once, none at the level of chance."""
    frozen = own[own["kind"] == "frozen"]
    frozen = frozen[(frozen["method"] != "zero-shot") | (frozen["seed"] == frozen["seed"].min())]
    classes = sum(name.startswith("recall_") for name in own.columns) or 2
    home = frozen[frozen["distribution"] == "in"]
    chance = home.loc[home[METRIC] < 100 / classes + 2, "method"]  # they answer one class
    frozen = frozen[~frozen["method"].isin(chance)]
    keys = ["method", "seed"]
    home = frozen[frozen["distribution"] == "in"].set_index(keys)[METRIC]
    away = frozen[frozen["test"] == elsewhere].set_index(keys)[METRIC].reindex(home.index)
    return baseline_line(home, away)


def label(row: pd.Series) -> str:
    """What a row is called."""
    if row["kind"] == "frozen":
        return f"`{row['method']}` (frozen)"
    if row["kind"] == "soup":
        return f"soup of `{row['method']}`"
    return f"`{row['method']}`, α = {row['alpha']:g}"


def markdown(title: str, found: pd.DataFrame, line: Line, elsewhere: str) -> str:
    """One table, without the starts of paths (alpha 0)."""
    head = f"| {title} | here | {elsewhere} | effective | seconds | numbers trained | KiB |"
    rows = [f"\n{head}\n| --- |{' ---: |' * 6}"]
    for _, row in found.iterrows():
        if row["alpha"] == 0 or (row["kind"] == "frozen" and row["method"] not in SHOWN and not row["front"]):
            continue
        star = " \\*" if row["front"] else ""
        rows.append(
            f"| {label(row)}{star} | {row['inside']:.1f} | {row['outside']:.1f} | {row['effective']:+.1f} | "
            f"{row['seconds']:.3g} | {row['parameters']:,.0f} | {row['bytes'] / 1024:,.0f} |"
        )
    rows.append(
        f"\nThe line of {line.n} frozen fits: elsewhere = {line.intercept:.1f} + {line.slope:.2f} · here "
        f"(R² {line.r2:.2f}).\n"
    )
    return "\n".join(rows)


def draw(
    axis: plt.Axes, colours: dict[str, int], title: str, found: pd.DataFrame, line: Line, elsewhere: str
) -> None:
    """Paths from start to end, frozen adapters, and their line; a method has one colour in all pictures."""
    frozen = found[found["kind"] == "frozen"]
    axis.scatter(frozen["inside"], frozen["outside"], c="0.55", s=22, label="frozen adapters")
    low, high = found["inside"].min() - 1, found["inside"].max() + 1
    axis.plot([low, high], [line.intercept + line.slope * x for x in (low, high)], c="0.7", lw=1, ls="--")
    tuned = found[found["kind"] == "fine-tuned"]
    for method, path in tuned.groupby("method", sort=False):
        i = colours.setdefault(method, len(colours))
        path = path.sort_values("alpha")
        axis.plot(path["inside"], path["outside"], c=f"C{i}", lw=1.2, marker="o", ms=3, label=method)
        end = path[path["alpha"] == 1]
        axis.scatter(end["inside"], end["outside"], c=f"C{i}", s=55, zorder=3)
        soup = found[(found["kind"] == "soup") & (found["method"] == method)]
        axis.scatter(soup["inside"], soup["outside"], c=f"C{i}", s=60, marker="*", zorder=3)
    axis.scatter([], [], c="k", s=60, marker="*", label="soup of its seeds")
    front = found[found["front"]].sort_values("inside")
    axis.step(front["inside"], front["outside"], where="pre", c="k", lw=0.6, label="Pareto front")
    axis.set(title=title, xlabel="balanced accuracy here, %", ylabel=f"balanced accuracy on {elsewhere}, %")


def main() -> None:
    """Read, fit, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "table.md")
    parser.add_argument("--picture", type=Path, default=Path("docs/images/robustness.png"))
    args = parser.parse_args()
    table = read(args.runs)
    parts = []
    for (data, shots), own in table.groupby(["data", "shots"], sort=False):
        for elsewhere in own.loc[own["distribution"] == "out", "test"].unique():
            line, found = line_of(own, elsewhere), sides(own, elsewhere)
            found["effective"] = line.effective(found["inside"], found["outside"])
            parts.append((f"{data}, {shots_text(int(shots))}", found, line, elsewhere))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(markdown(*part) for part in parts).lstrip(), encoding="utf-8")
    figure, axes = plt.subplots(1, len(parts), figsize=(5.4 * len(parts), 4.6), squeeze=False)
    colours: dict[str, int] = {}
    for axis, part in zip(axes[0], parts, strict=True):
        draw(axis, colours, *part)
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(args.picture, dpi=110)
    print(f"{args.out} and {args.picture}")


if __name__ == "__main__":
    main()
