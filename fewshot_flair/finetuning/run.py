"""Fine-tune by every method, number of shots and seed, and measure here and elsewhere: one table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.base import Encoder
from fewshot_flair.episodes import Episodes, EpisodeSampler
from fewshot_flair.episodes.folds import inseparable
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.encoding import Encoding
from fewshot_flair.experiment.folder import folder_name, versions, writing
from fewshot_flair.experiment.grid import ALL_SHOTS, shots_text, with_all_shots
from fewshot_flair.experiment.spec import usable_adapters
from fewshot_flair.files import write_signed, write_table
from fewshot_flair.finetuning.base import FineTuning
from fewshot_flair.finetuning.kept import Kept, network_digest
from fewshot_flair.finetuning.measuring import frozen_rows, metrics_of, start_head
from fewshot_flair.finetuning.network import State, TunedNetwork
from fewshot_flair.finetuning.photographs import KEPT_BYTES, Photographs
from fewshot_flair.finetuning.plan import TuningPlan
from fewshot_flair.finetuning.saving import save_tuned
from fewshot_flair.finetuning.sides import Extracting, read_sides
from fewshot_flair.finetuning.training import logits_of
from fewshot_flair.finetuning.tuning import TrainingSide, Tuned, fine_tune
from fewshot_flair.finetuning.weights import interpolate, soup
from fewshot_flair.text.prompts import described, read_prompts, text_prototypes
from fewshot_flair.text.prototypes import TextPrototypes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["run_finetuning"]

FIRST = [
    "data",
    "encoder",
    "method",
    "kind",
    "alpha",
    "shots",
    "scenario",
    "seed",
    "members",
    "test",
    "distribution",
]
WHOLE = ("seed", "epochs", "trainable_parameters", "bytes")
Shown = Callable[[str, int, int, str], None]


def run_finetuning(
    plan: TuningPlan,
    out: str | Path,
    *,
    how: Encoding | None = None,
    extracting: Extracting | None = None,
    shown: Shown = lambda *_: None,
    said: Callable[[str], None] = lambda _: None,
    command: str = "",
) -> pd.DataFrame:
    """Train and measure, or go on with it: what lies finished in `out` is not computed again.

    Parameters
    ----------
    how : Encoding
        Where features are kept, the device, and images a forward pass.
    extracting : callable
        See `read_sides`.
    shown : callable
        Told of every training: its name, how many are done, how many there are, how far it is.
    said : callable
        Told what a user should know.

    Returns
    -------
    pandas.DataFrame
        What stands in ``results.csv``: a row for each method, alpha, shots, seed and test side (docs/robustness.md).

    Raises
    ------
    InputError
        As `read_sides`, `create_adapter` and `fine_tune`.
    """
    out, how = Path(out), how or Encoding()
    if (out / "run.json").is_file():
        raise InputError(f"--out {out}: this holds a run of adapt or study; give another folder")
    engine = _Engine(plan, out, how, extracting or (lambda _: nullcontext()), shown, said)
    with writing(out):
        return engine.run(command)


class _Engine:
    def __init__(
        self,
        plan: TuningPlan,
        out: Path,
        how: Encoding,
        extracting: Extracting,
        shown: Shown,
        said: Callable[[str], None],
    ) -> None:
        self.plan, self.out, self.how, self.shown, self.said = plan, out, how, shown, said
        self.encoder: Encoder = how.encoder(plan.encoder)
        self.train, self.tests, self.remarks = read_sides(
            plan.data, plan.test_on, plan.corruptions, self.encoder, how, extracting
        )
        self.classes = self.train.manifest.classes
        self.text = self._text()
        sides = (self.train, *self.tests)
        self.photographs = {
            id(side): Photographs(side.encoder, side.paths, KEPT_BYTES // len(sides)) for side in sides
        }
        self.side = TrainingSide(
            self.encoder,
            self.photographs[id(self.train)],
            self.train.y,
            inseparable(self.train.patients, self.train.keys),
            self.train.keys,
            lambda rows, start: start_head(self.train, self.text, self.classes, rows, start),
        )
        self.starts: dict[Any, dict[str, float]] = {}

    def _text(self) -> TextPrototypes | None:
        if not self.encoder.has_text:
            return None
        texts = described(self.classes, read_prompts(self.plan.prompts, Path()))
        return text_prototypes(self.encoder, self.train.bank, texts)

    def run(self, command: str) -> pd.DataFrame:
        import pandas as pd

        plan = self.plan
        draws = {shots: self._draw(shots) for shots in plan.shots}
        usable, _ = usable_adapters(list(plan.adapters), has_text=self.encoder.has_text)
        total = len(plan.shots) * plan.seeds * len(plan.methods)
        rows: list[dict[str, Any]] = []
        done = 0
        for shots, episodes in draws.items():
            for spec in usable:
                found = frozen_rows(self.train, self.tests, spec, self.text, episodes, self.classes)
                rows += [row | {"shots": shots} for row in found]
            for method in plan.methods:
                ends = []
                for seed, support in zip(episodes.seeds, episodes, strict=True):
                    name = f"{method.label}, {shots_text(shots)}, seed {seed}"
                    told = partial(self.shown, name, done, total)
                    tuned = self._one(method, shots, seed, support, told)
                    rows += [
                        row | {"shots": shots} for row in self._measured(tuned, method, shots, seed, support)
                    ]
                    if plan.soups:
                        ends.append((tuned.start, tuned.end))
                    done += 1
                    self._write(pd.DataFrame(rows), command)
                    self.shown(name, done, total, "measured")
                if len(ends) > 1:
                    rows += [
                        row | {"shots": shots}
                        for row in self._soup(method, shots, tuned.network, ends, episodes)
                    ]
        self._write(pd.DataFrame(rows), command)
        return self._table(pd.DataFrame(rows))

    def _draw(self, shots: int) -> Episodes:
        plan = self.plan
        sampler = EpisodeSampler(shots, plan.scenario, allow_fewer=plan.allow_fewer or shots == ALL_SHOTS)
        return sampler.sample_many(self.train.y, range(plan.seeds), classes=self.classes)

    def _folder(self, method: FineTuning, shots: int, seed: int | str) -> Path:
        words = "all" if shots == ALL_SHOTS else str(shots)
        return self.out / "trainings" / folder_name(f"{method.label} {words} {seed}")

    def _one(
        self,
        method: FineTuning,
        shots: int,
        seed: int,
        support: NDArray[np.int64],
        told: Callable[[str], None],
    ) -> Tuned:
        folder = self._folder(method, shots, seed)
        folder.mkdir(parents=True, exist_ok=True)
        support = np.sort(support)
        tuned = fine_tune(self.side, support, method, self.plan.settings, seed, folder, told)
        for remark in tuned.remarks:
            self._remark(remark)
        if self.plan.save and not (folder / "model").exists():
            tuned.network.put(tuned.end)
            self._remark(save_tuned(self.encoder, tuned.network, self.text, self.classes, folder / "model"))
        return tuned

    def _remark(self, text: str) -> None:
        if text and text not in self.remarks:
            self.remarks.append(text)
            self.said(text)

    def _measured(
        self, tuned: Tuned, method: FineTuning, shots: int, seed: int, support: NDArray[np.int64]
    ) -> list[dict[str, Any]]:
        kept = Kept(self._folder(method, shots, seed) / "measured.json", self.said)
        cost = {
            "epochs": tuned.epochs,
            "seconds": tuned.seconds,
            "trainable_parameters": tuned.trainable_parameters,
            "bytes": tuned.bytes,
        }
        rows = []
        for alpha in self.plan.alphas:
            state = interpolate(tuned.start, tuned.end, alpha)
            found = self._on_all(tuned.network, state, kept)
            for side, metrics in zip(self.tests, found, strict=True):
                names = {
                    "method": method.label,
                    "kind": "fine-tuned",
                    "alpha": alpha,
                    "seed": seed,
                    "members": 1,
                }
                names |= {"test": side.name, "distribution": side.distribution, "n_support": len(support)}
                rows.append(names | metrics | cost)
        return rows

    def _on_all(self, network: TunedNetwork, state: State, kept: Kept) -> list[dict[str, float]]:
        """Metrics on every side; each network of the same numbers is measured once, as all those of alpha 0."""
        digest = network_digest(network, state)
        found = []
        for side in self.tests:
            key = f"{digest} {side.digest}"
            metrics = self.starts.get(key) or kept.get(key)
            if metrics is None:
                network.put(state)
                every = np.arange(len(side.keys))
                logits = logits_of(
                    network, self.photographs[id(side)], every, self.how.batch_size or 8, self.how.device
                )
                (metrics,) = metrics_of(side, logits[None], self.classes, ordinal=self.train.manifest.ordinal)
            self.starts[key] = metrics
            kept.put(key, metrics)
            found.append(metrics)
        kept.write()
        return found

    def _soup(
        self,
        method: FineTuning,
        shots: int,
        network: TunedNetwork,
        ends: list[tuple[State, State]],
        episodes: Episodes,
    ) -> list[dict[str, Any]]:
        names = sorted(set().union(*(end for _, end in ends)))
        mixed = soup([{name: end.get(name, start[name]) for name in names} for start, end in ends])
        folder = self._folder(method, shots, "soup")
        folder.mkdir(parents=True, exist_ok=True)
        kept = Kept(folder / "measured.json", self.said)
        support = len(set(np.concatenate(episodes.indices).tolist()))
        rows = []
        for side, metrics in zip(self.tests, self._on_all(network, mixed, kept), strict=True):
            about = {"method": method.label, "kind": "soup", "alpha": 1.0, "members": len(ends)}
            about |= {"test": side.name, "distribution": side.distribution, "n_support": support}
            rows.append(about | metrics)
        return rows

    def _table(self, rows: pd.DataFrame) -> pd.DataFrame:
        table = rows.assign(
            data=self.plan.data.name, encoder=self.plan.encoder.name, scenario=self.plan.scenario
        )
        for name in {*WHOLE} & {*table}:
            table[name] = table[name].astype("Int64")  # soups have none
        lacking = [name for name in FIRST if name not in table]
        table[lacking] = None
        return table[[*FIRST, *(name for name in table if name not in FIRST)]]

    def _write(self, rows: pd.DataFrame, command: str) -> None:
        table = self._table(rows)
        write_table(with_all_shots(table), self.out / "results.csv")
        plan = self.plan
        write_signed(
            self.out / "finetune.json",
            {
                "format": "fewshot-flair finetune 1",
                "command": command,
                "data": plan.data.model_dump(mode="json"),
                "test_on": list(plan.test_on),
                "corruptions": list(plan.corruptions),
                "encoder": dict(self.encoder.fingerprint),
                "methods": [repr(method) for method in plan.methods],
                "settings": plan.settings.to_dict(),
                "mixed_precision": plan.settings.mixed(self.how.device),
                "device": self.how.device,
                "remarks": self.remarks,
                "versions": versions(),
            },
        )
