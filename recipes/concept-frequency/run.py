"""Pre-train six small models with the concepts' frequencies permuted, and measure them. See README.md beside this file.

Killed, it goes on: photographs and models that are there are not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from design import latin_square
from eyes import render
from measures import measure

HERE = Path(__file__).parent
CONCEPTS = (
    "retinitis pigmentosa",
    "asteroid hyalosis",
    "branch retinal vein occlusion",
    "laser scar",
    "epiretinal membrane",
    "central serous retinopathy",
)
LADDER = (12, 24, 48, 96, 192, 384)
SIDES = {"pretrain": max(LADDER), "adapt": 60, "test": 100}
SEED = 11
"""Of the photographs and of the square; every model begins with the weights of seed 0, and learns in its order."""


def main() -> None:
    """Render, pre-train, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("build/concept-frequency"), help="photographs, models"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results", help="the tables")
    parser.add_argument("--processes", type=int, default=2, help="models at once")
    options = parser.parse_args()
    began = time.perf_counter()
    table = render(options.work / "photographs", CONCEPTS, SIDES, SEED, options.processes)
    print(f"photographs: {time.perf_counter() - began:.0f} s", flush=True)
    square = latin_square(len(CONCEPTS), np.random.default_rng(SEED))
    photographs = pd.read_csv(table)
    photographs["image"] = [str(table.parent.resolve() / name) for name in photographs["image"]]
    folders = [write_assembly(options.work / f"model-{m}", photographs, row) for m, row in enumerate(square)]
    with ThreadPoolExecutor(options.processes) as pool:
        list(pool.map(pretrain, folders))
    print(f"and models: {time.perf_counter() - began:.0f} s", flush=True)
    rows = []
    for m, folder in enumerate(folders):
        measured = measure(folder / "flair", photographs, CONCEPTS)
        for name, place in zip(CONCEPTS, square[m], strict=True):
            about = {"model": m, "concept": name, "photographs": LADDER[place]}
            rows += [about | row for row in measured[name]]
    options.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(options.out / "cells.csv", index=False, float_format="%.6g")
    seconds = {"seconds": round(time.perf_counter() - began), "processor_seconds": round(processor_seconds())}
    (options.out / "run.json").write_text(json.dumps(seconds) + "\n", encoding="utf-8")
    print(f"and measured: {seconds}; {options.out / 'cells.csv'}")


def processor_seconds() -> float:
    """Of this process and all that it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def write_assembly(folder: Path, photographs: pd.DataFrame, places: np.ndarray) -> Path:
    """A folder with a model's assembly: each concept's first photographs, as many as its place on the ladder says."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = {name: LADDER[place] for name, place in zip(CONCEPTS, places, strict=True)}
    taken = photographs[
        (photographs["side"] == "pretrain") & (photographs["number"] < photographs["label"].map(counts))
    ]
    taken.to_csv(folder / "photographs.csv", index=False, columns=["image", "label"])
    (folder / "assembly.toml").write_text(
        (HERE / "assembly.toml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return folder


def pretrain(folder: Path) -> None:
    """Pre-train one model, or go on with it, on one thread."""
    if (folder / "flair" / "model.safetensors").exists():
        return
    began = time.perf_counter()
    call = [sys.executable, "-c", "from fewshot_flair.cli import main; main()", "pretrain"]
    with (folder / "log.txt").open("a") as log:
        subprocess.run(
            [*call, str(folder / "assembly.toml"), "--out", str(folder / "flair"), "--workers", "0"],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            check=True,
        )
    print(f"{folder.name}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
