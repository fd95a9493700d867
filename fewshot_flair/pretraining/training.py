"""Pre-training of a FLAIR network: AdamW, warm-up and cosine, clipped gradients, resumable by epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewshot_flair.encoders.flair_network import FLAIRNetwork
from fewshot_flair.errors import InputError
from fewshot_flair.pretraining.batches import Batch, draw_batches
from fewshot_flair.pretraining.captions import Captions
from fewshot_flair.pretraining.image_sets import ImageSet
from fewshot_flair.pretraining.lesion_heads import LesionHeads
from fewshot_flair.pretraining.objective import alignment_loss
from fewshot_flair.pretraining.schedule import learning_rate
from fewshot_flair.rendering import LESION_MAPS

__all__ = ["TrainingPlan", "pretrain"]

_TEXTS_A_CALL = 8  # texts are padded in small groups, as a class's descriptions are when it is used


@dataclass(frozen=True)
class TrainingPlan:
    """Settings; the defaults are FLAIR's published ones.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the images, and images a step.
    learning_rate, weight_decay : float
        Of AdamW; the rate rises over the first epoch and falls as a cosine to zero.
    clip : float
        Largest norm of the gradient.
    seed : int
        Decides the order, the texts and the augmentation.
    camera : bool
        Camera randomisation beside the published augmentation.
    first_share : float
        How often an image's text is of its first category; see `batches.draw_batches`.
    helpers : float
        Weight of `lesion_heads.LesionHeads`' losses; 0 leaves them out, as in the paper.
    small_epochs, small_size : int
        The first epochs may see the images at a smaller size (px), which is cheaper; 0 epochs: none do.
    bfloat16 : bool
        Mixed precision.
    """

    epochs: int = 15
    batch_size: int = 128
    learning_rate: float = 5e-4
    weight_decay: float = 1e-5
    clip: float = 1.0
    seed: int = 0
    camera: bool = False
    first_share: float = 0.0
    helpers: float = 0.0
    small_epochs: int = 0
    small_size: int = 256
    bfloat16: bool = True


def pretrain(
    network: FLAIRNetwork,
    images: ImageSet,
    plan: TrainingPlan,
    *,
    checkpoint: str | Path | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
    epochs_now: int | None = None,
) -> list[dict[str, float]]:
    """Train a network, in place.

    Parameters
    ----------
    network : FLAIRNetwork
        With a tokenizer.
    images : ImageSet
        Rendered images, or a manifest's.
    plan : TrainingPlan
        Settings.
    checkpoint : path, optional
        Written after every epoch; where it is there already, training goes on from it.
    progress : callable, optional
        Called after every epoch with its record.
    epochs_now : int, optional
        Stop after so many epochs of this call; the schedule stays the plan's.

    Returns
    -------
    list of dict
        A record an epoch: epoch, loss, alignment, helpers, seconds.

    Raises
    ------
    InputError
        If the checkpoint belongs to another plan.
    """
    captions = Captions(images.categories, network.config.caption)
    heads = None
    modules: list[nn.Module] = [network]
    torch.manual_seed(plan.seed)
    if plan.helpers:
        heads = LesionHeads(network.vision_model.model, len(LESION_MAPS), len(captions.categories))
        modules.append(heads)
    parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay)
    steps = max(1, len(images) // plan.batch_size)
    path = Path(checkpoint) if checkpoint else None
    history = _resume(path, modules, optimiser, plan)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    last = plan.epochs if epochs_now is None else min(plan.epochs, len(history) + epochs_now)
    for epoch in range(len(history), last):
        started = time.perf_counter()
        torch.manual_seed(plan.seed * 1_000_003 + epoch)
        for module in modules:
            module.train()
        sums = [0.0, 0.0]
        batches = draw_batches(
            images,
            captions,
            plan.batch_size,
            plan.seed,
            epoch,
            camera=plan.camera,
            first_share=plan.first_share,
            image_size=plan.small_size if epoch < plan.small_epochs else network.config.image_size,
        )
        for step, batch in enumerate(batches):
            rate = learning_rate(plan.learning_rate, epoch * steps + step, steps, steps * plan.epochs)
            for group in optimiser.param_groups:
                group["lr"] = rate
            alignment, helping = _losses(network, heads, batch, plan)
            optimiser.zero_grad(set_to_none=True)
            (alignment + plan.helpers * helping).backward()
            nn.utils.clip_grad_norm_(parameters, plan.clip)
            optimiser.step()
            sums[0] += float(alignment.detach())
            sums[1] += float(helping.detach())
        done = step + 1
        record = {
            "epoch": epoch + 1,
            "loss": (sums[0] + plan.helpers * sums[1]) / done,
            "alignment": sums[0] / done,
            "helpers": sums[1] / done,
            "seconds": time.perf_counter() - started,
        }
        history.append(record)
        _save(path, modules, optimiser, plan, history)
        if progress:
            progress(record)
    for module in modules:
        module.eval()
    return history


def _losses(
    network: FLAIRNetwork, heads: LesionHeads | None, batch: Batch, plan: TrainingPlan
) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = batch.pixels.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
        backbone = network.vision_model.model(pixels)
    backbone = backbone.float()
    embeddings = network.vision_model.projection_head_vision(backbone)
    groups = range(0, len(batch.texts), _TEXTS_A_CALL)
    texts = torch.cat([network.encode_texts(batch.texts[i : i + _TEXTS_A_CALL]) for i in groups])
    alignment = alignment_loss(embeddings, texts, network.scale(), batch.relation)
    if heads is None:
        return alignment, torch.zeros(())
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
        return alignment, heads.loss(backbone, batch.categories, batch.maps, batch.counts)


def _save(
    path: Path | None,
    modules: Sequence[nn.Module],
    optimiser: torch.optim.Optimizer,
    plan: TrainingPlan,
    history: list[dict[str, float]],
) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "plan": asdict(plan),
        "modules": [m.state_dict() for m in modules],
        "optimiser": optimiser.state_dict(),
        "history": history,
    }
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    temporary.replace(path)


def _resume(
    path: Path | None, modules: Sequence[nn.Module], optimiser: torch.optim.Optimizer, plan: TrainingPlan
) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    state = torch.load(path, weights_only=True)
    if state["plan"] != asdict(plan):
        raise InputError(
            f"{path} was written by training with other settings; remove it or give another path"
        )
    for module, saved in zip(modules, state["modules"], strict=True):
        module.load_state_dict(saved)
    optimiser.load_state_dict(state["optimiser"])
    return list(state["history"])
