"""Every encoder of the comparison on dr-clinic, from random weights in its published layout, through `adapt`.

    python recipes/encoders/run.py [--photographs 600] [--encoder retfound] [--fast]

Says whether the code that loads, prepares, encodes and adapts works at the published sizes; what the adapters
find with random weights says nothing of the models. One checkpoint is on the disk at a time (1.2 GB at most).
With the published weights the same runs are ``fewshot-flair adapt --data MANIFEST --encoder NAME``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import published_layouts as layouts  # noqa: E402 - found through the line above


def flair(folder: Path) -> str:
    """The tool that comes with the shared data writes it; the text tower has four layers."""
    tool = ROOT.parent / "shared" / "tools" / "random_flair_checkpoint.py"
    subprocess.run([sys.executable, str(tool), str(folder), "--seed", "42"], check=True, capture_output=True)
    return f"flair:{folder}"


def retfound(folder: Path) -> str:
    """ViT-L/16 inside a checkpoint that pickles an argparse namespace."""
    layouts.write_retfound(folder / "RETFound_cfp_weights.pth", width=1024, depth=24)
    return f"retfound:{folder}"


def biomedclip(folder: Path) -> str:
    """open_clip's layout."""
    layouts.write_biomedclip(folder / "biomedclip", width=768, depth=12, embedding=512)
    return f"biomedclip:{folder / 'biomedclip'}"


def imagenet(folder: Path) -> str:
    """Torchvision's names."""
    layouts.save_file(layouts.random_state(layouts.resnet50_shapes()), folder / "model.safetensors")
    return f"imagenet-rn50:{folder}"


def clip(folder: Path) -> str:
    """Transformers' layout."""
    layouts.write_clip(folder / "clip", width=768, depth=12, embedding=512)
    return f"clip-vit-b32:{folder / 'clip'}"


def hub_model(folder: Path) -> str:
    """DINOv2 ViT-B/14, as any vision model of the hub."""
    layouts.write_dinov2(folder, width=768, depth=12)
    return f"hf:{folder}"


ENCODERS: dict[str, Callable[[Path], str]] = {
    "flair": flair,
    "clip-vit-b32": clip,
    "biomedclip": biomedclip,
    "imagenet-rn50": imagenet,
    "retfound": retfound,
    "hf:ORG/NAME": hub_model,
}


def adapt(encoder: str, manifest: Path, scratch: Path, options: Sequence[str]) -> dict[str, object]:
    """Run the command line, from photographs to adapters; gives its summary and the seconds it took."""
    command = [
        *(sys.executable, "-c", "from fewshot_flair.cli import main; main()", "adapt", "--json"),
        *("--data", str(manifest), "--images", str(manifest.parent / "photographs"), "--encoder", encoder),
        *("--shots", "4", "--scenario", "realistic", "--cache", str(scratch / "cache")),
        *("--out", str(scratch / "run"), *options),
    ]
    began = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{encoder}: {done.stderr}")
    return json.loads(done.stdout) | {"seconds": time.perf_counter() - began}


def subset(clinic: Path, folder: Path, photographs: int) -> Path:
    """Manifest of the first photographs of each split and grade: their share of `photographs`, at least four."""
    rows = pd.read_csv(clinic / "manifest.csv")
    groups = rows.groupby(["split", "label"])["image"]
    share = photographs / len(rows) * groups.transform("size")
    rows = rows[groups.cumcount() < np.maximum(4, share.round())]
    (folder / "photographs").symlink_to(clinic)
    rows.to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def main() -> None:
    """Run them one after the other and print what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "dr-clinic")
    parser.add_argument("--photographs", type=int, default=600)
    parser.add_argument(
        "--encoder", action="append", choices=list(ENCODERS), help="only this one; repeatable"
    )
    parser.add_argument("--fast", action="store_true", help="as adapt's --fast")
    args = parser.parse_args()
    if not (args.data / "manifest.csv").is_file():
        parser.error(f"{args.data} has no manifest.csv; name the folder of dr-clinic with --data")
    console = Console(width=120)
    table = Table(title="random weights in the published layouts, through adapt", title_justify="left")
    for heading in ("encoder", "features", "encoded", "adapters", "left out", "seconds in all"):
        table.add_column(heading, justify="left" if heading in ("encoder", "features") else "right")
    for name in args.encoder or ENCODERS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "weights").mkdir()
            manifest = subset(args.data, folder, args.photographs)
            summary = adapt(
                ENCODERS[name](folder / "weights"), manifest, folder, ["--fast"] if args.fast else []
            )
            run = json.loads((folder / "run" / "run.json").read_text())
            features = "embedding, backbone" if len(run["left_out"]) == 0 else "backbone"
        table.add_row(
            name,
            features,
            str(summary["extraction"]["encoded"]),
            str(len(summary["results"])),
            str(len(run["left_out"])),
            f"{summary['seconds']:.0f}",
        )
        console.print(f"{name}: {summary['extraction']['encoded']} photographs in {summary['seconds']:.0f} s")
    console.print(table)


if __name__ == "__main__":
    main()
