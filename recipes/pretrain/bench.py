"""What pre-training costs: photographs a second, the network's share, and what FLAIR's assembly would take.

    python recipes/pretrain/bench.py [--image-size 512] [--batch-size 8] [--steps 3] [--workers 1] [--side 1500]

Photographs are rendered, enlarged to --side pixels and saved as JPEG; the network has FLAIR's full size (ResNet-50 and
BERT-base) and random weights. What is measured here is measured on this machine; the costs of FLAIR's assembly are
computed from that and from the assumptions that are printed with them. No GPU was measured.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fewshot_flair.pretraining import Assembly, assemble, pretrain_assembly
from fewshot_flair.rendering import render_patient

PHOTOGRAPHS, EPOCHS = 288_000, 15
"""About the size of FLAIR's assembly, and its epochs."""
FLOPS_RESNET50 = 3 * 2 * 4.1e9 * (512 / 224) ** 2
"""Forward and backward of one photograph of 512 px: three times the forward's 4.1 G multiply-adds at 224 px."""
FLOPS_BERT = 3 * 2 * 85e6 * 40
"""Of one text of 40 tokens: 85 M weights beside the word vectors."""
GPUS = {"A100": (312e12, 0.25), "H100": (989e12, 0.1)}
"""Peak of bfloat16, dense, operations a second, as the maker states it, and the share of it that is assumed to be
reached: such a ResNet is bound by memory, so that a faster GPU reaches less."""
SCALING = 0.9
"""Assumed efficiency of eight GPUs: batch statistics and gradients are exchanged in every step."""


@dataclass
class Measured:
    """One training of a few steps."""

    rate: float  # photographs a second
    share: float  # of the time in the network
    network: float  # seconds a photograph
    decoding: float  # core-seconds a photograph


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image-size", type=int, default=512, help="canvas, px")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed, after one that is not")
    parser.add_argument("--workers", type=int, default=1, help="processes that decode")
    parser.add_argument("--side", type=int, default=1500, help="longer side of the photographs, px")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEWSHOT_FLAIR_CACHE"] = folder
        path = lay(Path(folder), options)
        measured = measure(path, options)
    report(measured, options)


def lay(folder: Path, options: argparse.Namespace) -> Path:
    """Photographs and an assembly of them."""
    eyes = [p.image for n in range(2) for p in render_patient(np.random.default_rng([3, n]))]
    rows = ["image,label"]
    for i in range(2 * options.batch_size):
        eye = Image.fromarray(np.ascontiguousarray(eyes[i % len(eyes)]))
        scale = options.side / max(eye.size)
        large = eye.resize((round(eye.width * scale), round(eye.height * scale)), Image.Resampling.BICUBIC)
        large.save(folder / f"{i}.jpg", quality=90 - i % 8, comment=str(i))
        rows.append(f"{i}.jpg,{('glaucoma', 'drusens', 'cataract')[i % 3]}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    path = folder / "assembly.toml"
    path.write_text(
        '[start]\nvision = "nothing"\ntext = "nothing"\n'
        f"[recipe]\nimage_size = {options.image_size}\nbatch_size = {options.batch_size}\n"
        f'epochs = 1\n[[sets]]\nname = "rendered"\nmanifest = "table.csv"\nweight = {(options.steps + 1) / 2}\n'
    )
    return path


def measure(path: Path, options: argparse.Namespace) -> Measured:
    """Train for a few steps; the first is not timed, as everything is made then."""
    assembly = Assembly.read(path)
    photographs = assemble(assembly)
    times: list[float] = []
    network: list[float] = []

    def tell(record: dict[str, float]) -> None:
        times.append(time.perf_counter())
        network.append(record["network_seconds"])

    pretrain_assembly(
        assembly,
        photographs,
        path.parent / "model",
        workers=options.workers,
        checkpoint_every=10**6,
        progress=tell,
    )
    seconds, inside, shown = times[-1] - times[0], sum(network[1:]), options.batch_size * options.steps
    return Measured(shown / seconds, inside / seconds, inside / shown, decoding(photographs.paths, options))


def decoding(paths: list[str], options: argparse.Namespace) -> float:
    """Core-seconds that one photograph takes to be decoded, cropped, put on the canvas and augmented."""
    from fewshot_flair.images.preparation import ImagePreparation, prepare
    from fewshot_flair.pretraining.augmentation import augment
    from fewshot_flair.pretraining.image_sets import Sample

    preparation = ImagePreparation(image_size=options.image_size, fast=True)
    began = time.process_time()
    for i, path in enumerate(paths):
        pixels = np.rint(255 * prepare(path, preparation).transpose(1, 2, 0)).astype(np.uint8)
        augment(np.random.default_rng(i), Sample(pixels, np.array([True])), camera=False)
    return (time.process_time() - began) / len(paths)


def report(measured: Measured, options: argparse.Namespace) -> None:
    """Print what was measured, and what follows from it by the assumptions."""
    threads = torch.get_num_threads()
    print(
        f"measured here: {options.image_size} px, batch {options.batch_size}, {threads} threads, {options.workers} "
        f"decoding processes, photographs of {options.side} px\n"
        f"  {measured.rate:.2f} images/s; the network has {100 * measured.share:.0f} % of the time\n"
        f"  {measured.network:.2f} s in the network and {1000 * measured.decoding:.0f} ms of a core for decoding a "
        "photograph"
    )
    shown = PHOTOGRAPHS * EPOCHS
    reached = ", ".join(f"{100 * used:.0f} % of the peak of an {name}" for name, (_, used) in GPUS.items())
    print(
        f"\n{PHOTOGRAPHS:,} photographs, {EPOCHS} epochs, 512 px (computed, not run):\n"
        f"  assumed: {FLOPS_RESNET50 / 1e9:.0f} + {FLOPS_BERT / 1e9:.0f} G operations a photograph and its text, "
        f"{reached}, eight GPUs {100 * SCALING:.0f} % as good as eight times one"
    )
    for name, (peak, used) in GPUS.items():
        rate = used * peak / (FLOPS_RESNET50 + FLOPS_BERT)
        for count in (1, 8):
            speed = rate if count == 1 else rate * count * SCALING
            hours = shown / speed / 3600
            print(
                f"  {count} {name}: {speed:,.0f} images/s, {hours:.1f} hours, {count * hours:.0f} GPU-hours; decoding "
                f"as fast takes {speed * measured.decoding:.0f} cores such as this one's"
            )
    if options.image_size == 512:
        days = shown / measured.rate / 86400
        print(f"  this machine: {days:,.0f} days")


if __name__ == "__main__":
    main()
