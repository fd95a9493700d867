"""A bank of a million rows: what opening, drawing, streaming and testing on it cost, in time and memory.

    python recipes/bench-extract/million.py [--rows 10000,100000,1000000] [--folder DIR]

Writes random features of FLAIR's widths (2048 + 512), 10.3 GB for a million, into a scratch folder that is
removed afterwards; times are of a process that has just started, with the file system's cache warm. Draws
how time and space grow with the rows to --out (a PNG).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from fewshot_flair import EpisodeSampler, TextPrototypes
from fewshot_flair.bank import FeatureBank, FeatureSource
from fewshot_flair.bank.compaction import SHARD_ROWS
from fewshot_flair.bank.keys import hex_keys
from fewshot_flair.bank.shards import row_checks, write_shard
from fewshot_flair.experiment import AdapterSpec, Clinic, Rows, evaluate_adapter
from fewshot_flair.experiment.provenance import EncoderMade, Provenance, side_of

DIMS = {"backbone": 2048, "embedding": 512}
CLASSES = 5
BLOCK = 4096


def source(n: int) -> FeatureSource:
    """What the random features say they were made by."""
    return FeatureSource("random", {"rows": n}, DIMS)


def keys_of(n: int) -> np.ndarray:
    """Keys of n images: uint8 [n, 32]."""
    return np.random.default_rng(7).integers(0, 256, (n, 32), dtype=np.uint8)


def fill(folder: Path, n: int) -> float:
    """Write the bank in full-grown shards, as compaction leaves it; gives the seconds."""
    bank, keys = FeatureBank.open(folder, source(n)), keys_of(n)
    began = time.perf_counter()
    for start in range(0, n, SHARD_ROWS):
        stop = min(start + SHARD_ROWS, n)

        def block(at: int, stop: int = stop) -> dict[str, np.ndarray]:
            rows = min(BLOCK, stop - at)
            rng = np.random.default_rng(at)
            return {name: rng.random((rows, width), dtype=np.float32) for name, width in DIMS.items()}

        def column(name: str, start: int = start, stop: int = stop, block=block):
            for at in range(start, stop, BLOCK):
                here = keys[at : min(at + BLOCK, stop)]
                if name == "keys":
                    yield here
                else:
                    yield row_checks(here, block(at)) if name == "checks" else block(at)[name]

        write_shard(bank.folder / "shards", stop - start, DIMS, column)
    return time.perf_counter() - began


def memory(line: str = "VmRSS") -> float:
    """Memory this process holds now (``VmHWM``: at the most since it started), in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{line}:")[1].split()[0]) / 1000


def clinic_of(bank: FeatureBank, keys: np.ndarray) -> Clinic:
    """A clinic that adapts on 1,000 of the rows and is tested on all others, two images a patient."""
    n = len(keys)
    y = np.random.default_rng(1).integers(0, CLASSES, n)
    patients = [f"P{i // 2}" for i in range(n)]
    images = [""] * n
    rows = Rows(y, images, patients, images, hex_keys(keys), bank)
    names = [f"grade {number}" for number in range(CLASSES)]
    text = TextPrototypes(names, np.random.default_rng(2).random((CLASSES, DIMS["embedding"])), 4.6)
    train, test = (rows.take(part) for part in np.split(np.arange(n), [1000]))
    sides = [side_of(part, bank.folder, "random", names, named=True) for part in (train, test)]
    told = Provenance(
        data="random",
        prompts="expert",
        rendered=False,
        brought=True,
        split_given=True,
        train=sides[0],
        test=sides[1],
        pool=None,
        encoder=EncoderMade(name="random", fingerprint_id="random", fingerprint={}),
        feature_dims=dict(DIMS),
        encoded=0,
        from_bank=n,
        twins=[],
        descriptions={},
        has_text=True,
        text_digest="random",
        skipped=[],
        remarks=[],
    )
    return Clinic("random", names, True, train, test, None, DIMS, text, None, told)


def measure(folder: Path, n: int) -> dict[str, float]:
    """Open the bank and use it; times in seconds, memory in megabytes above that of an empty process."""
    keys = keys_of(n)
    rows = [np.random.default_rng(seed).integers(0, n, 80) for seed in range(20)]
    empty = memory()
    began = time.perf_counter()
    bank = FeatureBank.open(folder, source(n))
    opened = time.perf_counter()
    for episode in rows:
        bank.read(keys[episode], "embedding")
    drawn = time.perf_counter()
    held = memory()
    for start in range(0, n, BLOCK):
        bank.read(keys[start : start + BLOCK], "embedding")
    streamed = time.perf_counter()
    held_after = memory()
    clinic = clinic_of(bank, keys)
    episodes = EpisodeSampler(16).sample_many(clinic.train.y, range(20), classes=clinic.classes)
    listed, ready = memory(), time.perf_counter()
    evaluate_adapter(clinic, AdapterSpec("ss-text+"), episodes)
    evaluated = time.perf_counter()
    size = sum(path.stat().st_size for path in bank.folder.rglob("*") if path.is_file())
    return {
        "rows": n,
        "open": opened - began,
        "draw 20 episodes": drawn - opened,
        "memory": held - empty,
        "stream embeddings": streamed - drawn,
        "memory after": held_after - empty,
        "evaluate 20 episodes": evaluated - ready,
        "memory of rows": listed - held_after,
        "memory of evaluation": memory("VmHWM") - listed,
        "bytes a row": size / n,
    }


def draw(results: list[dict[str, float]], path: Path) -> None:
    """Time and memory against rows."""
    import matplotlib.pyplot as plt

    rows = [result["rows"] for result in results]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    left.loglog(
        rows, [r["open"] + r["draw 20 episodes"] for r in results], "o-", label="open and draw 20 episodes"
    )
    left.loglog(rows, [r["stream embeddings"] for r in results], "s-", label="read all embeddings in order")
    left.set(xlabel="images in the bank", ylabel="seconds")
    left.legend()
    right.loglog(rows, [r["memory"] for r in results], "o-", label="memory after drawing (MB)")
    right.loglog(rows, [r["bytes a row"] * r["rows"] / 1e6 for r in results], "s-", label="size on disk (MB)")
    right.set(xlabel="images in the bank", ylabel="megabytes")
    right.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure each size in a process of its own, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument(
        "--folder", type=Path, help="where to put the scratch folder (needs 11 GB for a million)"
    )
    parser.add_argument("--out", type=Path, help="PNG to draw")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        sys.stdout.write(json.dumps(measure(args.measure, int(args.rows))))
        return
    console, results = Console(width=132), []
    table = Table()
    for heading in (
        "rows",
        "write s",
        "open s",
        "draw 20 episodes s",
        "memory MB",
        "read all s",
        "memory after MB",
        "test on all s",
        "rows MB",
        "test MB",
        "B/row",
    ):
        table.add_column(heading, justify="right")
    for n in map(int, args.rows.split(",")):
        with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
            written = fill(Path(scratch), n)
            command = [sys.executable, __file__, "--rows", str(n), "--measure", scratch]
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        results.append(result)
        values = [result[name] for name in list(result)[1:]]
        table.add_row(
            str(n),
            f"{written:.1f}",
            *(f"{value:.3f}" for value in values[:2]),
            *(f"{v:,.1f}" for v in values[2:]),
        )
    console.print(table)
    if args.out:
        draw(results, args.out)


if __name__ == "__main__":
    main()
