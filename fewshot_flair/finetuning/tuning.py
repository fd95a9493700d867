"""One fine-tuned network: the number of epochs from a held-out fold of patients, then all rows for so many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.adapters.heads import Head
from fewshot_flair.encoders.base import Encoder
from fewshot_flair.episodes.folds import patient_folds
from fewshot_flair.errors import InputError
from fewshot_flair.files import digest_of
from fewshot_flair.finetuning.base import FineTuning
from fewshot_flair.finetuning.checkpoint import read_checkpoint, write_checkpoint
from fewshot_flair.finetuning.network import State, TunedNetwork
from fewshot_flair.finetuning.photographs import Photographs
from fewshot_flair.finetuning.settings import TuningSettings
from fewshot_flair.finetuning.training import Lesson, Record, Told, train
from fewshot_flair.finetuning.weights import changed
from fewshot_flair.words import counted

__all__ = ["StartHead", "TrainingSide", "Tuned", "fine_tune", "identity_of"]

StartHead = Callable[[NDArray[np.int64], str], tuple[str, Head]]
"""Rows and ``"zero-shot"`` or ``"probe"`` to the kind of feature and the linear head that training starts from."""


@dataclass(frozen=True, eq=False)
class TrainingSide:
    """The rows that may be learned from.

    Attributes
    ----------
    y : int64 array of shape (n,)
    groups : int64 array of shape (n,)
        Rows of a group (a patient) are never parted.
    keys : list of n str
        Digests of the files.
    start : StartHead
    """

    encoder: Encoder
    photographs: Photographs
    y: NDArray[np.int64]
    groups: NDArray[np.int64]
    keys: list[str]
    start: StartHead


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a training leaves.

    Attributes
    ----------
    network : TunedNetwork
        Its numbers are those of `end`.
    origin : (str, Head)
        The kind of feature and the head that it started from.
    start : State
        Every tensor before the training.
    end : State
        The tensors that training changed.
    epochs : int
        Of the training on all rows.
    seconds : float
        Of both trainings, resumed or not, without measuring.
    """

    network: TunedNetwork
    origin: tuple[str, Head]
    start: State
    end: State
    epochs: int
    seconds: float
    trainable_parameters: int
    bytes: int
    remarks: list[str] = field(default_factory=list)


def identity_of(
    side: TrainingSide, rows: NDArray[np.int64], method: FineTuning, settings: TuningSettings, seed: int
) -> str:
    """Hex digest of what decides a training: encoder, method, settings, seed, and the rows with their labels."""
    return digest_of(
        {
            "encoder": side.encoder.fingerprint_id,
            "method": [method.name, repr(method)],
            "settings": settings.to_dict() | {"amp": settings.mixed(side.encoder.device)},
            "seed": seed,
            "rows": [[side.keys[i], int(side.y[i]), int(side.groups[i])] for i in rows],
        }
    )


def fine_tune(
    side: TrainingSide,
    rows: NDArray[np.int64],
    method: FineTuning,
    settings: TuningSettings,
    seed: int,
    folder: Path,
    told: Told = lambda _: None,
) -> Tuned:
    """Fine-tune on `rows`, or go on with it, or read what lies finished in the folder.

    One of the folds by patient is held out, its start head fitted without it, and the epoch of its smallest loss
    taken; then the start is made anew of all rows and trained for so many epochs of the same schedule. Where there are
    not enough patients for folds, all epochs of the settings are trained, and `remarks` says so.

    Raises
    ------
    InputError
        If the folder holds a training with other settings, or the loss is not finite.
    """
    identity = identity_of(side, rows, method, settings, seed)
    done = folder / "tuned"
    origin = side.start(rows, method.start)
    network = TunedNetwork(side.encoder, *origin)
    start = network.state()
    if done.is_file():
        tensors, record = read_checkpoint(done)
        if record.pop("identity") != identity:
            raise InputError(
                f"{folder} holds a training with other settings or on other photographs; give another --out"
            )
        network.put(tensors)
        return Tuned(network, origin, start, tensors, **record)
    parts = patient_folds(side.y[rows], side.groups[rows], settings.folds, seed) if settings.folds else []
    base = Lesson(side.photographs, side.y, rows, None, method, settings, seed, settings.epochs, identity)
    epochs, history, remarks = settings.epochs, [], []
    if parts:
        fit, held = (rows[part] for part in parts[0])
        watched = replace(base, fit=fit, held=held, checkpoint=folder / "held-out")
        head = TunedNetwork(side.encoder, *side.start(fit, method.start))
        history = train(head, watched, lambda text: told(f"held-out fold, {text}"))[0]
        epochs = 1 + int(np.argmin([record["held_out_loss"] for record in history]))
    else:
        remarks.append(
            f"{method.label}, seed {seed}: no fold of patients was held out"
            + (", as there are too few" if settings.folds else "")
            + f"; it was trained for {counted(epochs, 'epoch')}"
        )
    whole = replace(base, epochs=epochs, checkpoint=folder / "all-rows")
    again, cost = train(network, whole, lambda text: told(f"all rows, {text}"))
    end = changed(start, network.state())
    found: Record = {
        "epochs": epochs,
        "seconds": sum(record["seconds"] for record in [*history, *again]),
        "remarks": remarks,
        **cost,
    }
    write_checkpoint(done, end, found | {"identity": identity})
    for spent in ("held-out", "all-rows"):
        (folder / spent).unlink(missing_ok=True)
    return Tuned(network, origin, start, end, **found)
