"""Fine-tuned networks of a study: trained once for a draw, kept, and asked on every test side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.adapters import create_adapter, fit_episodes
from fewshot_flair.adapters.heads import Head
from fewshot_flair.encoders.base import Encoder
from fewshot_flair.encoders.seen import read_seen, weights_folder, write_seen
from fewshot_flair.episodes.folds import inseparable
from fewshot_flair.experiment.fits import Answers
from fewshot_flair.experiment.folder import folder_name
from fewshot_flair.experiment.grid import shots_text
from fewshot_flair.experiment.measured import Measured
from fewshot_flair.experiment.scoring import measure, noisy_labels
from fewshot_flair.experiment.sets import NOTE
from fewshot_flair.experiment.spec import MethodSpec
from fewshot_flair.files import digest_of
from fewshot_flair.finetuning.network import State
from fewshot_flair.finetuning.photographs import KEPT_BYTES, Photographs
from fewshot_flair.finetuning.saving import save_tuned
from fewshot_flair.finetuning.training import logits_of
from fewshot_flair.finetuning.tuning import TrainingSide, Tuned, fine_tune, identity_of
from fewshot_flair.finetuning.weights import interpolate, soup

if TYPE_CHECKING:
    from fewshot_flair.episodes import Episodes
    from fewshot_flair.experiment.choices import EncoderChoice
    from fewshot_flair.experiment.clinic import Clinic, Rows
    from fewshot_flair.experiment.design import Study
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.experiment.grid import Cell

__all__ = ["Tuner"]

PROBES = {True: "lp", False: "logistic"}
"""The adapter that is the linear probe, with and without text."""
RECENT_BYTES = 2**30
"""Networks up to this size in all are kept in memory; others are read again for each cell."""


class Tuner:
    """Trains the networks of a study's cells, or reads those that lie finished, and measures them.

    Parameters
    ----------
    study : Study
    how : Encoding
    folder : Path
        Where trainings are kept, each under the name of its method, shots and seed and of its digest.
    told : callable
        Told how far a training is.
    """

    def __init__(
        self, study: Study, how: Encoding, folder: Path, told: Callable[[str], None] = lambda _: None
    ) -> None:
        self.study, self.how, self.folder, self.told = study, how, folder, told
        # a data set's networks are measured one after another, each on all of its sides
        homes = Counter(side.home for side in study.sides)
        self._sides = (1 + max(homes.values())) * (study.folds or 1)
        self._photographs = lru_cache(self._sides)(self._prepared)
        self._recent: dict[Path, Tuned] = {}

    def measured(self, cell: Cell, clinic: Clinic, episodes: Episodes) -> Measured:
        """What the networks of a cell do on the clinic's test rows: one a draw, or the soup of all."""
        spec = cell.adapter
        assert isinstance(spec, MethodSpec)
        notes: list[str] = []

        def trained(seed: int, support: NDArray[np.int64], y: NDArray[np.int64]) -> Tuned:
            tuned = self._trained(cell, clinic, seed, support, y)
            notes.extend(tuned.remarks)
            return tuned

        def each(part: Episodes, labels: Sequence[NDArray[np.int64]]) -> Answers:
            logits, costs = [], []
            for tuned in map(trained, part.seeds, part, labels):
                logits.append(self._asked(cell, clinic, tuned))
                costs.append(_cost(tuned))
            return _answers(logits, costs)

        def together(_: Episodes, __: Sequence[NDArray[np.int64]]) -> Answers:
            ends, costs = [], []
            labels = noisy_labels(clinic, episodes, cell.label_noise)
            for tuned in map(trained, episodes.seeds, episodes, labels):
                ends.append((tuned.start, tuned.end))
                costs.append(_cost(tuned))
            names = sorted(set().union(*(end for _, end in ends)))
            mixed = soup([{name: end.get(name, start[name]) for name in names} for start, end in ends])
            found = _answers([self._logits(cell, clinic, tuned, mixed)], costs)
            return replace(found, columns={})

        shown = episodes
        if spec.soup:
            every = np.unique(np.concatenate(episodes.indices))
            shown = type(episodes)(episodes.seeds[:1], (every,))
            notes.append(
                f"{spec.label} is the mean of {len(episodes)} networks, whose draws have {len(every)} different "
                "photographs together: it has learnt from all of them"
            )
        found = measure(
            clinic, spec.label, shown, together if spec.soup else each,
            label_noise=0.0 if spec.soup else cell.label_noise, prior=cell.prior, balanced=self.study.tuning.balanced,
        )  # fmt: skip
        if self.study.conformal:
            notes.append(
                f"{NOTE}{spec.label} has none, as conformal methods fit adapters anew on parts of a draw"
            )
        if self.study.calibrate:
            notes.append(
                f"{spec.label} has no figures after a temperature, which takes five more trainings a draw"
            )
        found.notes.extend(dict.fromkeys(notes))
        return found

    def _trained(
        self, cell: Cell, clinic: Clinic, seed: int, support: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> Tuned:
        """The network of a draw: trained, gone on with, or read where it lies finished."""
        assert isinstance(cell.adapter, MethodSpec)
        method, settings = cell.adapter.create(), self.study.tuning
        side = self._side(cell, clinic, support, labels)
        rows = np.sort(support)
        # the start is of the text and the classes, too
        parts = [
            identity_of(side, rows, method, settings, seed),
            clinic.provenance.text_digest,
            clinic.classes,
        ]
        digest = digest_of(parts)[:8]
        words = shots_text(cell.shots, alone=True)
        folder = self.folder / folder_name(f"{method.label} {words} {seed} {digest}")
        if folder in self._recent:
            return self._recent[folder]
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{method.label}, {shots_text(cell.shots)}, seed {seed}"
        tuned = fine_tune(
            side, rows, method, settings, seed, folder, lambda text: self.told(f"{name}: {text}")
        )
        if self.study.save_networks and not (folder / "model").exists():
            tuned.network.put(tuned.end)
            said = save_tuned(side.encoder, tuned.network, clinic.text, clinic.classes, folder / "model")
            tuned.remarks.extend(filter(None, [said]))
            if not said:
                base = weights_folder(self._choice(cell).asked)
                seen = dict.fromkeys((side.keys[i] for i in rows), cell.side.home)
                write_seen(folder / "model" / "encoder", seen if base is None else read_seen(base) | seen)
        self._keep(folder, tuned)
        return tuned

    def _keep(self, folder: Path, tuned: Tuned) -> None:
        """Keep a network for the next cells, as far as memory allows: for each, its numbers, its start and its end."""
        self._recent[folder] = tuned
        each = 3 * sum(tensor.nbytes for tensor in tuned.start.values())
        while len(self._recent) * each > RECENT_BYTES:
            self._recent.pop(next(iter(self._recent)))

    def _side(
        self, cell: Cell, clinic: Clinic, support: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> TrainingSide:
        train = clinic.train
        y = train.y.copy()
        y[support] = labels
        encoder = self.how.encoder(self._choice(cell))
        groups = inseparable(train.patients, train.keys)

        def start(rows: NDArray[np.int64], kind: str) -> tuple[str, Head]:
            return _start_head(clinic, y, rows, kind)

        return TrainingSide(encoder, self._photographs(train, encoder), y, groups, train.keys, start)

    def _asked(self, cell: Cell, clinic: Clinic, tuned: Tuned) -> NDArray[np.float32]:
        """Logits (n, C) of a network at its place on the path; the start is the adapter on the frozen features."""
        wise = getattr(cell.adapter, "wise", None)
        if wise == 0:
            kind, head = tuned.origin
            parts = [head.logits(clinic.test.read(kind, part))[0] for part in clinic.test.chunks()]
            return np.concatenate(parts)
        state = interpolate(tuned.start, tuned.end, 1.0 if wise is None else wise)
        return self._logits(cell, clinic, tuned, state)

    def _logits(self, cell: Cell, clinic: Clinic, tuned: Tuned, state: State) -> NDArray[np.float32]:
        """Logits of the network with the tensors of a state, and those of its start where the state has none."""
        tuned.network.put(tuned.start | state)
        encoder = self.how.testing(cell.side.data, self._choice(cell))
        photographs = self._photographs(clinic.test, encoder)
        every = np.arange(len(clinic.test))
        return logits_of(tuned.network, photographs, every, self.how.batch_size or 8, self.how.device)

    def _choice(self, cell: Cell) -> EncoderChoice:
        return next(choice for choice in self.study.encoders if choice.name == cell.encoder)

    def _prepared(self, rows: Rows, encoder: Encoder) -> Photographs:
        return Photographs(encoder, rows.paths, KEPT_BYTES // self._sides)


def _cost(tuned: Tuned) -> tuple[int, float, int, int]:
    return tuned.epochs, tuned.seconds, tuned.trainable_parameters, tuned.bytes


def _answers(logits: list[NDArray[np.float32]], costs: list[tuple[int, float, int, int]]) -> Answers:
    from scipy.special import softmax

    epochs, seconds, parameters, sizes = zip(*costs, strict=True)
    probabilities = softmax(np.stack(logits).astype(np.float64), axis=-1)
    return Answers(probabilities, sum(seconds), parameters[0], sizes[0], columns={"epochs": list(epochs)})


def _start_head(
    clinic: Clinic, y: NDArray[np.int64], rows: NDArray[np.int64], start: str
) -> tuple[str, Head]:
    """The feature's kind and the head that training on rows starts from (see `finetuning.tuning.StartHead`)."""
    name = (
        "zero-shot" if start == "zero-shot" and clinic.text is not None else PROBES[clinic.text is not None]
    )
    adapter = create_adapter(name, text=clinic.text)
    kind = clinic.feature_kind(adapter.features)
    X, support = clinic.train.read(kind, rows), [np.arange(len(rows))]
    return kind, fit_episodes(adapter, X, y[rows], support, classes=range(len(clinic.classes))).head
