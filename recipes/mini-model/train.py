"""Train the mini model from nothing: render, pre-train, write the weights. See README.md beside this file."""

from __future__ import annotations

import argparse
import ctypes
import json
import time
from pathlib import Path

import pandas as pd
import torch

from fewshot_flair.encoders.config import BertConfig, FLAIRConfig, ResNetConfig
from fewshot_flair.encoders.flair_network import FLAIRNetwork, save_network
from fewshot_flair.encoders.tokenizer import WordPieces
from fewshot_flair.files import write_table
from fewshot_flair.pretraining import Captions, TrainingPlan, build_vocabulary, pretrain, render_images
from fewshot_flair.pretraining.renderings import RenderedImages

SEED = 1
PATIENTS = 5000
IMAGE_SIZE = 384
VISION = ResNetConfig("basic", depths=(1, 1, 1, 1), widths=(32, 64, 128, 256))
PLAN = TrainingPlan(
    epochs=6,
    small_epochs=3,
    batch_size=32,
    learning_rate=1.5e-3,
    weight_decay=1e-2,
    camera=True,
    first_share=0.5,
    helpers=1.0,
    seed=SEED,
)


def main() -> None:
    """Parse, run the three steps and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("build/mini-model"), help="renderings and checkpoint"
    )
    parser.add_argument("--out", type=Path, default=Path("build/mini-model/mini"), help="the finished model")
    parser.add_argument(
        "--threads", type=int, default=2, help="processes of the renderer, threads of the training"
    )
    parser.add_argument(
        "--only-frequencies", action="store_true", help="render, count the concepts, and train nothing"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    _keep_memory()

    started = time.perf_counter()
    images = render_images(
        options.work, PATIENTS, SEED, image_size=IMAGE_SIZE, workers=options.threads, progress=_show_shards
    )
    rendered = time.perf_counter()
    print(f"{len(images)} photographs rendered or read in {rendered - started:.0f} s", flush=True)

    _write_frequencies(images, options.out)
    if options.only_frequencies:
        return
    captions = Captions(images.categories)
    vocabulary = build_vocabulary(
        (text for texts in captions.texts for text in texts), options.work / "vocab.txt"
    )
    tokenizer = WordPieces(vocabulary)
    torch.manual_seed(SEED)
    network = FLAIRNetwork(
        FLAIRConfig(proj_dim=128, image_size=IMAGE_SIZE, vision=VISION), _bert(tokenizer), tokenizer
    )
    history = pretrain(network, images, PLAN, checkpoint=options.work / "checkpoint.pt", progress=_show_epoch)
    save_network(network, options.out, vocabulary)
    (options.out / "training.json").write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    print(f"trained in {sum(r['seconds'] for r in history):.0f} s; the model is in {options.out}")


def _write_frequencies(images: RenderedImages, folder: Path) -> None:
    """How many photographs each concept has, the most frequent first, as `fewshot-flair pretrain` writes it."""
    counts = images.relation.sum(0)
    table = pd.DataFrame({"concept": images.categories, "photographs": counts, "share": counts / len(images)})
    folder.mkdir(parents=True, exist_ok=True)
    table = table.sort_values("photographs", ascending=False, kind="stable")
    write_table(table, folder / "frequencies.csv")


def _keep_memory() -> None:
    """Have glibc keep freed blocks: handing each step's activations back and forth takes as long as the step."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(-4, 0)  # M_MMAP_MAX: no block gets a mapping of its own
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def _bert(tokenizer: WordPieces) -> BertConfig:
    return BertConfig(
        vocab_size=tokenizer.size,
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=80,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _show_shards(done: int, total: int) -> None:
    if done % 10 == 0 or done == total:
        print(f"rendered {done} of {total} shards", flush=True)


def _show_epoch(record: dict[str, float]) -> None:
    print(" ".join(f"{name} {value:.4g}" for name, value in record.items()), flush=True)


if __name__ == "__main__":
    main()
