"""What README.md and the guides show, printed as Markdown by the commands that stand beside it.

`make figures` runs cog, which replaces each block between ``[[[cog …]]]`` and ``[[[end]]]`` in README.md and docs/
by what its call here prints. Runs lie in ``runs/figures``, so that a call that stopped goes on; features come from
the cache.
"""

from __future__ import annotations

import csv
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "figures"
IMAGES = ROOT / "docs" / "images"
DR_CLINIC = ROOT.parent / "shared" / "data" / "dr-clinic" / "manifest.csv"
WORDS = {"severe diabetic retinopathy": "severe", "proliferative diabetic retinopathy": "proliferative"}


@functools.cache
def run(*arguments: str, cache: str = "") -> tuple[str, float]:
    """What a command of ours prints at a terminal's width of 80, and its seconds; an error ends everything."""
    more = {"FEWSHOT_FLAIR_CACHE": cache} if cache else {}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", "from fewshot_flair.cli import main; main()", *arguments],
        env=os.environ | {"COLUMNS": "80"} | more,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()), time.perf_counter() - began


def fresh(name: str) -> str:
    """A folder for a run that starts from nothing."""
    shutil.rmtree(RUNS / name, ignore_errors=True)
    return str(RUNS / name)


def excerpt(printed: str, until: str) -> str:
    """The lines up to that which begins with `until`, and a word that there is more."""
    lines = printed.splitlines()
    last = next(i for i, line in enumerate(lines) if line.startswith(until))
    return "\n".join(["```", *lines[: last + 1], "…", "```"])


def demo() -> None:
    """The main job on the demo clinic, from nothing, and again with features in the bank."""
    with tempfile.TemporaryDirectory() as cache:
        printed, first = run("adapt", "--shots", "16", "--out", fresh("demo"), cache=cache)
        _, second = run("adapt", "--shots", "16", "--out", fresh("again"), cache=cache)
    print(excerpt(printed, "Adaptation beats"))
    print(
        f"\nOn {os.cpu_count()} cores a first run took {first:.0f} s (rendering and encoding) and a second, from the "
        f"bank, {second:.1f} s (whole\n`adapt` processes, report included)."
    )


def dr_clinic() -> None:
    """Balanced accuracy on real photographs, and what the best adapter finds at most shots."""
    if not DR_CLINIC.is_file():
        raise SystemExit(f"no {DR_CLINIC}: README's table of real photographs is made from it")
    out = RUNS / "dr-clinic"
    run("adapt", "--shots", "1,4,16", "--data", str(DR_CLINIC), "--scenario", "realistic", "--out", str(out))
    with (out / "results.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    shots = sorted({int(row["shots"]) for row in rows})
    table = {
        name: [values(rows, name, k, "balanced_accuracy") for k in shots]
        for name in dict.fromkeys(row["adapter"] for row in rows)
    }
    print("| adapter | " + " | ".join(f"{k} shot{'s' * (k > 1)}" for k in shots) + " |")
    print("| --- |" + " ---: |" * len(shots))
    for name, cells in table.items():
        print(f"| {name} | " + " | ".join(f"{100 * mean(cell):.1f}" for cell in cells) + " |")
    best = max(table, key=lambda name: mean(table[name][-1]))
    recall = {word: mean(values(rows, best, shots[-1], f"recall_{grade}")) for grade, word in WORDS.items()}
    healthy = mean(values(rows, best, shots[-1], "recall_no diabetic retinopathy"))
    low, high = interval(out, best, shots[-1])
    counts = json.loads((out / "run.json").read_text())["clinics"][0]["test"]["counts"]
    print(
        f"\nAt {shots[-1]} shots the best, `{best}`, finds {healthy:.0%} of the healthy eyes, {recall['severe']:.0%} "
        f"of the severe and\n{recall['proliferative']:.0%} of the proliferative ones. Test patients are few "
        f"({' and '.join(f'{counts[grade]} {word}' for grade, word in WORDS.items())} images): its 95 % interval\n"
        f"over test patients is {100 * low:.0f} to {100 * high:.0f}."
    )


def values(rows: list[dict[str, str]], adapter: str, shots: int, column: str) -> list[float]:
    """A column of results.csv for one adapter and number of shots."""
    return [float(r[column]) for r in rows if r["adapter"] == adapter and int(r["shots"]) == shots]


def interval(out: Path, adapter: str, shots: int) -> tuple[float, float]:
    """An adapter's interval over test patients."""
    from fewshot_flair.experiment.results import StudyResults

    cells = StudyResults.read(out).cells
    found = next(c for c in cells if (c.names["adapter"], c.names["shots"]) == (adapter, shots))
    return found.patient_interval


def study(on: str = "") -> None:
    """The recipe's study, its seconds, and its picture of the realistic scenario in docs/images."""
    name = "dr-clinic" if on else "demo"
    out = fresh(f"study-{name}")
    _, seconds = run(
        "study", "recipes/demo-clinic/study.toml", "--out", out, *(("--on", str(DR_CLINIC)) if on else ())
    )
    (picture,) = Path(out, "figures").glob("*-shots-realistic.png")
    shutil.copy(picture, IMAGES / f"{name}-realistic.png")
    record = json.loads(Path(out, "run.json").read_text())
    fits = len(record["cells"]) * len(record["study"]["seeds"])
    print(f"The command took {seconds:.0f} s ({fits:,} fits, report included, features cached).")


def script(*arguments: str) -> None:
    """What a recipe's script prints, which is Markdown."""
    print(
        subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    )
