"""How fast photographs become features: this package against the papers' way, in one run.

    python recipes/bench-extract/bench.py [--data ../shared/data/dr-clinic] [--small 600] [--baseline 64]

FLAIR at its full size (ResNet-50, 512 × 512 pixels) with random weights. The papers' way is written out
below as plainly as it is done there: the whole file decoded, the foreground found and cropped in float64 on
the full image, batches of 64, float32, one step after the other. Rates are wall time; core-seconds are what
all threads used together, and hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.nn import functional

from fewshot_flair.bank import FeatureBank, extract
from fewshot_flair.encoders import load_encoder
from fewshot_flair.encoders.base import ENGINES
from fewshot_flair.encoders.config import BertConfig, FLAIRConfig
from fewshot_flair.encoders.flair_network import FLAIRNetwork, VisionTower, save_network
from fewshot_flair.encoders.inference import load_tower
from fewshot_flair.encoders.processor import has_bfloat16

ROOT = Path(__file__).parents[2]
VOCABULARY = ROOT / "tests" / "data" / "tiny_vocab.txt"


@dataclass
class Timing:
    """One way on one set of photographs."""

    way: str
    images: int  # those encoded; photographs that are there twice are encoded once
    seconds: float
    core_seconds: float
    network_seconds: float
    features: np.ndarray

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds


def papers_way(weights: Path, paths: Sequence[Path], batch_size: int = 64) -> Timing:
    """Decode, crop, resize, stack, encode: one after the other."""
    from skimage.filters import threshold_li
    from skimage.measure import label, regionprops

    tower = load_tower(lambda: VisionTower(FLAIRConfig()), weights, "vision_model.", "cpu")
    with torch.inference_mode():
        tower(torch.zeros(1, 3, 512, 512))
    features, network = [], 0.0
    began, cores = time.perf_counter(), time.process_time()
    for start in range(0, len(paths), batch_size):
        batch = []
        for path in paths[start : start + batch_size]:
            image = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) / 255
            red = image[..., 0]
            regions = regionprops(label(red > threshold_li(red)))
            top, left, bottom, right = max(regions, key=lambda region: region.area).bbox
            pixels = torch.from_numpy(image[top:bottom, left:right].transpose(2, 0, 1).copy()).float()
            scale = max(pixels.shape[1:]) / 512
            size = [int(side / scale) for side in pixels.shape[1:]]
            pixels = functional.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]
            batch.append(functional.pad(pixels, (0, 512 - size[1], 0, 512 - size[0])))
        at = time.perf_counter()
        with torch.inference_mode():
            features.append(tower(torch.stack(batch))[0].numpy())
        network += time.perf_counter() - at
    ended, used = time.perf_counter(), time.process_time()
    return Timing(
        "the papers' way", len(paths), ended - began, used - cores, network, np.concatenate(features)
    )


def our_way(name: str, folder: Path, paths: Sequence[Path], *, fast: bool, precision: str) -> Timing:
    """`extract` into a new bank, every setting picked by itself."""
    encoder = load_encoder(folder, fast=fast, precision=precision)
    size = encoder.preparation.image_size
    encoder.encode_prepared(np.zeros((1, 3, size, size), np.float32))  # loads the weights
    with tempfile.TemporaryDirectory() as cache:
        bank = FeatureBank.open(cache, encoder)
        cores = time.process_time()
        done = extract(paths, encoder, bank)
        used = time.process_time() - cores
        features = bank.read([done.keys[str(path)] for path in paths], "backbone")
    return Timing(name, done.encoded, done.seconds, used, done.network_seconds, features)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows."""
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def measure(folder: Path, paths: Sequence[Path], baseline: int) -> list[Timing]:
    """Every way on the same photographs; the papers' on the first `baseline` of them."""
    timings = [
        papers_way(folder / "model.safetensors", paths[:baseline]),
        our_way("exact, float32", folder, paths, fast=False, precision="float32"),
        our_way("fast, float32", folder, paths, fast=True, precision="float32"),
    ]
    if has_bfloat16("cpu"):
        timings.append(our_way("fast, bfloat16", folder, paths, fast=True, precision="bfloat16"))
    return timings


def show(console: Console, title: str, timings: Sequence[Timing]) -> list[dict[str, object]]:
    """Print a table of one set of photographs, and give its rows."""
    first, exact = timings[0], timings[1]
    table = Table(title=title, title_justify="left")
    for heading in (
        "",
        "images",
        "images/s",
        "times",
        "core-s/image",
        "times",
        "network",
        "min cos",
        "median cos",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    rows: list[dict[str, object]] = []
    for timing in timings:
        both = min(len(exact.features), len(timing.features))  # the papers' way may have had fewer
        near = cosines(exact.features[:both], timing.features[:both])
        cores = timing.core_seconds / timing.images
        row = {
            "way": timing.way,
            "images": timing.images,
            "images_per_second": timing.rate,
            "times_the_papers_rate": timing.rate / first.rate,
            "core_seconds_per_image": cores,
            "times_fewer_core_seconds": first.core_seconds / first.images / cores,
            "network_share": timing.network_seconds / timing.seconds,
            "cosine_to_exact_min": float(near.min()),
            "cosine_to_exact_median": float(np.median(near)),
        }
        rows.append(row)
        table.add_row(
            timing.way,
            str(timing.images),
            f"{timing.rate:.2f}",
            f"{row['times_the_papers_rate']:.1f}",
            f"{cores:.3f}",
            f"{row['times_fewer_core_seconds']:.1f}",
            f"{row['network_share']:.0%}",
            f"{row['cosine_to_exact_min']:.6f}",
            f"{row['cosine_to_exact_median']:.6f}",
        )
    console.print(table)
    return rows


def engines(console: Console, folder: Path, paths: Sequence[Path], rounds: int) -> list[dict[str, object]]:
    """Time the image tower alone in every engine that is installed, turn about, one prepared photograph a pass."""
    found = {
        name: load_encoder(folder, engine=name) for name in ENGINES if name == "torch" or find_spec(name)
    }
    batches = [found["torch"].prepare(path)[None] for path in paths]
    features = {
        name: np.concatenate([encoder.encode_prepared(batch).backbone for batch in batches])
        for name, encoder in found.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, encoder in found.items():
            began = time.perf_counter()
            for batch in batches:
                encoder.encode_prepared(batch)
            seconds[name].append((time.perf_counter() - began) / len(batches))
    table = Table(
        title=f"engines, {len(batches)} photographs, {rounds} rounds turn about", title_justify="left"
    )
    for heading in (
        "",
        "images/s (median round)",
        "slowest",
        "fastest",
        "times torch",
        "largest relative difference",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    ours, rows = features["torch"], []
    for name, each in seconds.items():
        apart = float((np.abs(features[name] - ours).max(axis=1) / np.abs(ours).max(axis=1)).max())
        median = float(np.median(each))
        ratio = float(np.median(seconds["torch"])) / median
        rows.append(
            {"engine": name, "images_per_second": 1 / median, "times_torch": ratio, "difference": apart}
        )
        rates = (f"{1 / value:.2f}" for value in (median, max(each), min(each)))
        table.add_row(name, *rates, f"{ratio:.2f}", f"{apart:.1e}")
    console.print(table)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "dr-clinic")
    parser.add_argument("--small", type=int, default=600, help="photographs of images/ to encode")
    parser.add_argument("--baseline", type=int, default=64, help="of them the papers' way, which is slow")
    parser.add_argument("--engines", type=int, metavar="ROUNDS", help="only compare engines, so many rounds")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    args = parser.parse_args()
    console = Console(width=132)
    full, small = (sorted((args.data / name).glob("*.jpg")) for name in ("fullres", "images"))
    if not full or not small:
        parser.error(
            f"{args.data} lacks fullres/*.jpg or images/*.jpg; name the folder of dr-clinic with --data"
        )
    console.print(
        f"{len(os.sched_getaffinity(0))} processors, torch {torch.__version__} with {torch.get_num_threads()} threads; "
        f"load {os.getloadavg()[0]:.1f} at the start (0 on an idle machine)"
    )
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(0)
        text = BertConfig(
            vocab_size=len(VOCABULARY.read_text().splitlines()),
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
        )
        folder = save_network(FLAIRNetwork(FLAIRConfig(), text), Path(scratch) / "flair", VOCABULARY)
        if args.engines:
            engines(console, folder, small[:4], args.engines)
            return
        rows = {
            "full resolution": show(
                console, f"{len(full)} photographs as the camera wrote them", measure(folder, full, len(full))
            ),
            "small": show(
                console,
                f"{min(args.small, len(small))} photographs of 800 × 535 pixels",
                measure(folder, small[: args.small], args.baseline),
            ),
        }
    console.print("cos: cosine of backbone features to the exact ones, in float32 (weights are random)")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
