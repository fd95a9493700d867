"""The loop of fine-tuning: AdamW, warm-up and cosine, clipped gradients, resumable by epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fewshot_flair.errors import InputError
from fewshot_flair.finetuning.base import FineTuning
from fewshot_flair.finetuning.checkpoint import read_checkpoint, write_checkpoint
from fewshot_flair.finetuning.network import TunedNetwork
from fewshot_flair.finetuning.photographs import Photographs
from fewshot_flair.finetuning.settings import TuningSettings

__all__ = ["Lesson", "Told", "class_weights", "logits_of", "train"]

Told = Callable[[str], None]
Record = dict[str, Any]
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one training is of.

    Attributes
    ----------
    fit : int64 array
        Rows of `photographs` to learn from.
    held : int64 array, or None
        Rows to watch; training stops when their loss has not fallen for `TuningSettings.patience` epochs.
    epochs : int
        Where to end; the schedule is laid out for ``settings.epochs``.
    identity : str
        Digest of all that decides the result; a checkpoint of another one is refused.
    checkpoint : Path, optional
        Written after every epoch, and gone on from.
    """

    photographs: Photographs
    y: NDArray[np.int64]
    fit: NDArray[np.int64]
    held: NDArray[np.int64] | None
    method: FineTuning
    settings: TuningSettings
    seed: int
    epochs: int
    identity: str
    checkpoint: Path | None = None


def train(
    network: TunedNetwork, lesson: Lesson, told: Told = lambda _: None, epochs_now: int | None = None
) -> tuple[list[Record], dict[str, Any]]:
    """Train a network in place, and let the method finish it.

    Parameters
    ----------
    told : callable
        Told after every epoch how far it is and how long it will take.
    epochs_now : int, optional
        Stop after so many epochs of this call, without finishing; the next call goes on.

    Returns
    -------
    list of dict
        A record an epoch: epoch, loss, seconds; with held-out rows also held_out_loss.
    dict
        ``trainable_parameters`` and ``bytes``: how many numbers were trained, and what they take in the checkpoint.

    Raises
    ------
    InputError
        If the checkpoint is damaged or of another training, or the loss is not finite.
    """
    devices = [network.encoder.device] if network.encoder.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(lesson.seed)  # of matrices that a method adds
        chosen = network.choose(lesson.method)
    optimiser = _optimiser(network, chosen, lesson)
    history = _resume(chosen, optimiser, lesson)
    weights = class_weights(
        lesson.y[lesson.fit], network.head.out_features, balanced=lesson.settings.balanced
    )
    until = lesson.epochs if epochs_now is None else min(lesson.epochs, len(history) + epochs_now)
    while len(history) < until and not _stopped(history, lesson.settings.patience):
        history.append(_epoch(network, optimiser, weights, lesson, len(history)))
        _save(chosen, optimiser, lesson, history)
        left = np.mean([r["seconds"] for r in history]) * (lesson.epochs - len(history))
        told(f"epoch {len(history)} of {lesson.epochs}, loss {history[-1]['loss']:.3f}, {left:.0f} s left")
    cost = {
        "trainable_parameters": sum(p.numel() for p in chosen.values()),
        "bytes": sum(p.numel() * p.element_size() for p in chosen.values()),
    }
    if len(history) == lesson.epochs or _stopped(history, lesson.settings.patience):
        lesson.method.finish(network.tower)
        network.requires_grad_(False)
    return history, cost


def logits_of(
    network: nn.Module, photographs: Photographs, rows: NDArray[np.int64], batch_size: int, device: str
) -> NDArray[np.float32]:
    """Logits of rows in float32: (n, C)."""
    from fewshot_flair.encoders.inference import frozen, to_numpy

    parts = []
    for _, pixels in photographs.batches(rows, batch_size):
        with frozen(device):
            parts.append(to_numpy(network(pixels.to(device))))
    return np.concatenate(parts)


def class_weights(y: NDArray[np.int64], n_classes: int, *, balanced: bool) -> Tensor:
    """What a row of each class weighs in the loss: N / (C · n_c) over the C present classes, or 1: (n_classes,)."""
    counts = np.bincount(y, minlength=n_classes)
    if not balanced:
        return torch.ones(n_classes)
    present = counts > 0
    weights = np.where(present, counts.sum() / (present.sum() * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(weights.astype(np.float32))


def _optimiser(
    network: TunedNetwork, chosen: dict[str, nn.Parameter], lesson: Lesson
) -> torch.optim.Optimizer:
    """A group for each parameter, as each may have its own step size and decay."""
    groups = [
        {
            "params": [parameter],
            "largest": lesson.settings.head_rate if name.startswith("head.") else lesson.method.rate,
            "weight_decay": lesson.settings.weight_decay if parameter.ndim > 1 else 0.0,
        }
        for name, parameter in chosen.items()
    ]
    return torch.optim.AdamW(groups, lr=lesson.method.rate, foreach=False)


def _epoch(
    network: TunedNetwork, optimiser: torch.optim.Optimizer, weights: Tensor, lesson: Lesson, epoch: int
) -> Record:
    began = time.perf_counter()
    settings, device = lesson.settings, network.encoder.device
    kind = device.partition(":")[0]
    weights = weights.to(device)
    steps = -(-len(lesson.fit) // settings.batch_size)
    total = seen = 0.0
    seeds = (lesson.seed, epoch)
    rows = lesson.fit if settings.augment else np.random.default_rng(seeds).permutation(lesson.fit)
    batches = lesson.photographs.batches(rows, settings.batch_size, seeds if settings.augment else None)
    for step, (part, pixels) in enumerate(batches):
        share = _share(epoch * steps + step, steps, settings.epochs)
        for group in optimiser.param_groups:
            group["lr"] = share * group["largest"]
        labels = torch.from_numpy(lesson.y[part]).to(device)
        with torch.autocast(kind, torch.bfloat16, enabled=settings.mixed(device)):
            logits = network(pixels.to(device)).float()
        each = functional.cross_entropy(logits, labels, reduction="none") * weights[labels]
        optimiser.zero_grad(set_to_none=True)
        each.mean().backward()
        nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], settings.clip)
        optimiser.step()
        total += float(each.detach().sum())
        seen += len(part)
    if not math.isfinite(total):
        raise InputError(
            f"{lesson.method.label}: the loss is not finite after epoch {epoch + 1}; give a smaller rate, as "
            f"{lesson.method.name}:rate={lesson.method.rate / 10:g}"
        )
    record: Record = {"epoch": epoch + 1, "loss": total / seen}
    if lesson.held is not None:
        found = logits_of(network, lesson.photographs, lesson.held, settings.batch_size, device)
        record["held_out_loss"] = _held_out_loss(found, lesson.y[lesson.held], settings)
    return record | {"seconds": time.perf_counter() - began}


def _held_out_loss(logits: NDArray[np.float32], y: NDArray[np.int64], settings: TuningSettings) -> float:
    weights = class_weights(y, logits.shape[1], balanced=settings.balanced)
    labels = torch.from_numpy(y)
    each = functional.cross_entropy(torch.from_numpy(logits), labels, reduction="none")
    return float((each * weights[labels]).mean())


def _share(step: int, steps: int, epochs: int) -> float:
    """Of the largest step size: a linear warm-up over the first epoch, then a cosine to zero."""
    if step < steps:
        return (step + 1) / steps
    done = (step - steps) / max(1, steps * (epochs - 1))
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def _stopped(history: list[Record], patience: int) -> bool:
    """Whether the held-out loss has not fallen for so many epochs."""
    losses = [record["held_out_loss"] for record in history if "held_out_loss" in record]
    return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= patience


def _save(
    chosen: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer, lesson: Lesson, history: list[Record]
) -> None:
    if lesson.checkpoint is None:
        return
    tensors: dict[str, Tensor] = dict(chosen)
    for name, parameter in chosen.items():
        tensors |= {f"{moment} {name}": optimiser.state[parameter][moment] for moment in MOMENTS}
    write_checkpoint(lesson.checkpoint, tensors, {"identity": lesson.identity, "history": history})


def _resume(
    chosen: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer, lesson: Lesson
) -> list[Record]:
    path = lesson.checkpoint
    if path is None or not path.is_file():
        return []
    tensors, record = read_checkpoint(path)
    if record["identity"] != lesson.identity or not set(chosen) <= set(tensors):
        raise InputError(
            f"{path} was written by a training with other settings or on other photographs; remove it, or give "
            "another --out"
        )
    with torch.no_grad():
        for name, parameter in chosen.items():
            parameter.copy_(tensors[name])
            moments = {moment: tensors[f"{moment} {name}"] for moment in MOMENTS}
            optimiser.state[parameter] = {
                moment: tensor if moment == "step" else torch.empty_like(parameter).copy_(tensor)
                for moment, tensor in moments.items()
            }
    return list(record["history"])
