"""Pre-training on an assembly: resumable at any step, on one process or several, tested while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fewshot_flair.encoders.flair_network import FLAIRNetwork, save_network
from fewshot_flair.errors import InputError
from fewshot_flair.files import write_table
from fewshot_flair.images.preparation import ImagePreparation
from fewshot_flair.pretraining.captions import Captions
from fewshot_flair.pretraining.checkpoints import Checkpoints
from fewshot_flair.pretraining.held_out import zero_shot_figures
from fewshot_flair.pretraining.loading import Draw, Order, cores_a_process, load_ahead
from fewshot_flair.pretraining.objective import alignment_loss
from fewshot_flair.pretraining.parallel import Ranks, share_batch_norms
from fewshot_flair.pretraining.photographs import AssembledImages, Photographs
from fewshot_flair.pretraining.schedule import learning_rate
from fewshot_flair.pretraining.start import begin
from fewshot_flair.pretraining.towers import Towers, uses_bfloat16

if TYPE_CHECKING:
    from fewshot_flair.pretraining.assembly import Assembly

__all__ = ["Trained", "pretrain_assembly"]

Progress = Callable[[dict[str, Any]], None]


@dataclass
class Trained:
    """What came of a training.

    Attributes
    ----------
    folder : Path
        A FLAIR in both published layouts, if `finished`.
    step, steps : int
        How far it is, and of how many.
    history : list of dict
        A row an epoch: ``epoch``, ``step``, ``loss``, ``learning_rate``.
    figures : list of dict
        A row an epoch and held-out set: ``epoch``, ``step``, ``data``, ``images``, ``balanced_accuracy``.
    """

    folder: Path
    step: int = 0
    steps: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether every step was made."""
        return self.step == self.steps


def pretrain_assembly(
    assembly: Assembly,
    photographs: Photographs,
    out: str | Path,
    *,
    ranks: Ranks | None = None,
    workers: int | None = None,
    checkpoint_every: int = 500,
    steps_now: int | None = None,
    progress: Progress = lambda record: None,
) -> Trained:
    """Train a network on an assembly's photographs, and write it as a FLAIR in both published layouts.

    Where `out` holds a checkpoint, training goes on from it: on one process of a CPU to the same weights, bit for
    bit, as without an interruption.

    Parameters
    ----------
    photographs : Photographs
        What `assemble` gives.
    out : path
        Folder of the model, its checkpoints, ``training.csv`` and ``results.csv``.
    ranks : Ranks, optional
        The processes that train together (see `joined`); this one alone by default.
    workers : int, optional
        Processes that decode, for each process that trains; by default so many that every core of the machine has
        work. 0 decodes between steps.
    checkpoint_every : int
        Steps between checkpoints; the end of an epoch has one too.
    steps_now : int, optional
        Stop, with a checkpoint, after so many steps of this call.
    progress : callable, optional
        Called after each step with ``step``, ``steps``, ``epoch``, ``loss`` and ``network_seconds``.

    Raises
    ------
    InputError
        If batches cannot be shared out, a checkpoint is damaged or of other settings, or the loss is not a number.
    """
    ranks, recipe, out = ranks or Ranks(), assembly.recipe, Path(out)
    workers = cores_a_process() - 1 or 1 if workers is None else workers
    if recipe.batch_size % ranks.world:
        raise InputError(
            f"a batch of {recipe.batch_size} cannot be shared out to {ranks.world} processes; give a multiple of them"
        )
    out.mkdir(parents=True, exist_ok=True)
    captions = Captions(photographs.categories, assembly.template)
    order = Order(
        photographs.sets,
        [source.weight for source in assembly.sets],
        photographs.relation,
        captions,
        recipe.batch_size,
        recipe.seed,
    )
    texts = [text for own in captions.texts for text in own]
    beginning = begin(assembly, texts, out / "text_encoder")
    session = _Session(assembly, beginning.network, ranks)
    checkpoints = Checkpoints(
        out / "checkpoints", {"assembly": assembly.decides(), "photographs": photographs.digest}
    )
    state = session.resume(checkpoints.read())
    done = Trained(out, state["step"], order.steps * recipe.epochs, state["history"], state["figures"])
    preparation = ImagePreparation(image_size=recipe.image_size, fast=recipe.fast)
    images = AssembledImages(photographs, preparation)
    last = done.steps if steps_now is None else min(done.steps, done.step + steps_now)
    batches = load_ahead(
        images, order, ranks, range(done.step, last), seed=recipe.seed, camera=recipe.camera, workers=workers
    )
    total = torch.tensor(state["loss"], dtype=torch.float64)
    for step, pixels in zip(range(done.step, last), batches, strict=True):
        began = time.perf_counter()
        rate = learning_rate(
            recipe.learning_rate, step, round(recipe.warm_up_epochs * order.steps), done.steps
        )
        loss = session.step(step, pixels, order.draw(step), rate)
        total += loss.cpu()
        done.step = step + 1
        epoch, within = divmod(done.step, order.steps)
        progress(
            {
                "step": done.step,
                "steps": done.steps,
                "epoch": step // order.steps + 1,
                "loss": float(loss),
                "network_seconds": time.perf_counter() - began,
            }
        )
        if within == 0:
            mean = float(total) / order.steps
            done.history.append({"epoch": epoch, "step": done.step, "loss": mean, "learning_rate": rate})
            figures = zero_shot_figures(
                session.network, photographs.held_out, preparation, ranks, workers, assembly.template
            )
            done.figures += [{"epoch": epoch, "step": done.step, **row} for row in figures]
            total.zero_()
        if within == 0 or done.step == last or done.step % checkpoint_every == 0:
            if not math.isfinite(float(loss)):
                raise InputError(
                    f"the loss is not a number at step {done.step}; give a smaller learning_rate, or precision = "
                    f'"float32"; the checkpoint before is kept'
                )
            if ranks.rank == 0:
                checkpoints.write(session.state() | _kept(done, float(total)))
                _write_tables(done)
    if done.finished and ranks.rank == 0:
        save_network(
            session.network, out, beginning.vocabulary, lower_case=beginning.lower_case, state_dict=True
        )
    return done


class _Session:
    """The network, its optimiser and its processes."""

    def __init__(self, assembly: Assembly, network: FLAIRNetwork, ranks: Ranks) -> None:
        self.recipe, self.ranks = assembly.recipe, ranks
        self.network = network.to(ranks.device)
        share_batch_norms(network, ranks)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        towers = Towers(self.network, bfloat16=uses_bfloat16(self.recipe.precision, ranks.device))
        self.towers: nn.Module = towers if ranks.world == 1 else DistributedDataParallel(towers)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )
        self.network.train()

    def resume(self, state: dict[str, Any] | None) -> dict[str, Any]:
        """Take a checkpoint's weights; the counters of a training that begins where there is none."""
        if state is None:
            return {"step": 0, "loss": 0.0, "history": [], "figures": []}
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        return state

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def step(self, step: int, pixels: torch.Tensor, draw: Draw, rate: float) -> torch.Tensor:
        """One step of AdamW; the loss of the whole batch."""
        # dropout: the same in every run, another in each step and process
        torch.manual_seed((self.recipe.seed * 1_000_003 + step) * 4096 + self.ranks.rank)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(pixels, draw)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimiser.step()
        return loss.detach()

    def loss(self, pixels: torch.Tensor, draw: Draw) -> torch.Tensor:
        """The alignment of the whole batch, of this process's pixels and all texts."""
        device = self.ranks.device
        # texts are padded to the longest of the whole batch, as in the release: padding counts
        tokenizer = self.network.text_model.tokenizer
        assert tokenizer is not None
        ids, mask = map(torch.from_numpy, tokenizer(draw.texts))
        images, texts, scale = self.towers(
            pixels.to(device, non_blocking=True).float().mul_(1 / 255),
            self.ranks.part(ids).to(device),
            self.ranks.part(mask).to(device),
        )
        relation = torch.from_numpy(draw.relation).to(device)
        return alignment_loss(self.ranks.gather(images), self.ranks.gather(texts), scale, relation)


def _kept(done: Trained, loss: float) -> dict[str, Any]:
    return {"step": done.step, "loss": loss, "history": done.history, "figures": done.figures}


def _write_tables(done: Trained) -> None:
    import pandas as pd

    write_table(
        pd.DataFrame(done.history, columns=["epoch", "step", "loss", "learning_rate"]),
        done.folder / "training.csv",
    )
    columns = ["epoch", "step", "data", "images", "balanced_accuracy"]
    write_table(pd.DataFrame(done.figures, columns=columns), done.folder / "results.csv")
