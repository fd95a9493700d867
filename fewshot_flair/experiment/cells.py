"""The cells of a study: every one computed once and kept as soon as it is done, so that a killed study goes on."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair import __version__
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import FLAIR_2025
from fewshot_flair.experiment.code import code_digest
from fewshot_flair.experiment.draws import draw
from fewshot_flair.experiment.grid import scenario_label
from fewshot_flair.experiment.measured import Measured, over_folds, repeated
from fewshot_flair.experiment.results import FORMAT, CellResult
from fewshot_flair.experiment.scoring import measure_adapter, noisy_labels
from fewshot_flair.experiment.sets import measure_sets, where_it_ends
from fewshot_flair.experiment.spec import MethodSpec, usable_adapters

if TYPE_CHECKING:
    from fewshot_flair.episodes import Episodes
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.design import Study
    from fewshot_flair.experiment.grid import Cell
    from fewshot_flair.experiment.tuned import Tuner

__all__ = ["ClinicKey", "Task", "plan_tasks", "read_finished", "run_tasks"]

ClinicKey = tuple[str, str, str]
"""Data set (of a further test side its own name, see `DataSet.tested_on`), encoder and prompts."""


@dataclass(frozen=True)
class Task:
    """A cell of the study, the clinic it is computed on, and the file that keeps it."""

    cell: Cell
    clinic: Clinic
    study: Study
    path: Path
    device: str = "cpu"
    tuner: Tuner | None = None
    """What trains a network; only in this process, as it uses the whole machine."""


def plan_tasks(
    study: Study,
    clinics: Mapping[ClinicKey, Clinic],
    out: Path,
    device: str = "cpu",
    tuner: Tuner | None = None,
) -> list[Task]:
    """One task a cell, in the study's order; adapters without what they need are left out.

    Parameters
    ----------
    clinics : mapping
        By data set, encoder and prompts.
    out : Path
        The study's folder; finished cells lie in its ``cells/``.
    tuner : Tuner, optional
        For the methods of fine-tuning, where there are some.

    Raises
    ------
    InputError
        If no adapter can work.
    """
    tasks = []
    digests = {key: clinic.digests for key, clinic in clinics.items()}
    usable = {
        key: usable_adapters(study.fits, has_text=clinic.text is not None)[0]
        for key, clinic in clinics.items()
    }
    for cell in study.cells():
        where = (cell.side.data.name, cell.encoder, cell.prompts)
        if cell.adapter not in usable[where]:
            continue
        path = out / "cells" / f"{_key(study, cell, digests[where])}.json"
        trains = tuner if isinstance(cell.adapter, MethodSpec) else None
        tasks.append(Task(cell, clinics[where], study, path, device, trains))
    if not tasks:
        labels = ", ".join(spec.label for spec in study.adapters)
        raise InputError(
            f"none of {labels} works without a text tower; try --adapter logistic (see `fewshot-flair adapters`)"
        )
    return tasks


def _key(study: Study, cell: Cell, digests: Sequence[str]) -> str:
    """Digest of everything its results depend on: 16 hex digits, the name of its file."""
    data = cell.side.data
    method = cell.adapter.create() if isinstance(cell.adapter, MethodSpec) else None
    parts = {
        "made_by": [FORMAT, __version__, code_digest(type(method) if method else cell.adapter.name)],
        "draws": [study.seeds, study.protocol, study.unit, study.allow_fewer, study.unlabelled_on(data)],
        "digests": list(digests),
        "clinics": [data.train_clinics, data.test_clinics],
        "prompts": cell.prompts,
        "scenario": cell.scenario,
        "label_noise": cell.label_noise,
        "shots": cell.shots,
        "adapter": [cell.adapter.name, cell.adapter.params],
        "names": cell.names,
        "prior": cell.prior,
        "conformal": [vars(each) for each in study.conformal],
    }
    if study.feature_augmentation or study.test_augmentation:
        parts["augmentation"] = [study.feature_augmentation, study.test_augmentation]
    if study.calibrate:
        parts["calibrate"] = True
    if isinstance(cell.adapter, MethodSpec):
        parts["tuned"] = [repr(method), cell.adapter.wise, cell.adapter.soup, study.tuning.to_dict()]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def read_finished(tasks: Sequence[Task]) -> tuple[dict[Path, CellResult], list[Path]]:
    """The cells that are kept, and the files of those that are damaged, which will be computed again."""
    found, damaged = {}, []
    for task in tasks:
        if not task.path.is_file():
            continue
        try:
            cell = CellResult.read(task.path)
        except InputError:
            damaged.append(task.path)
            continue
        if cell.names == task.cell.names:
            found[task.path] = cell
    return found, damaged


def run_tasks(
    tasks: Sequence[Task],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    done: Callable[[Task], None] = lambda _: None,
    kept: dict[Path, CellResult] | None = None,
) -> list[CellResult]:
    """The cells of tasks, in their order; computed are those that are not kept yet.

    Parameters
    ----------
    jobs : int
        Processes; 1 computes in this one.
    scheduler : str, optional
        Address of a Dask scheduler to compute on instead; its workers must see the study's folder and
        the feature bank.
    done : callable
        Told of each task when its file is written.
    kept : dict, optional
        What `read_finished` found, where it was called before.
    """
    kept = read_finished(tasks)[0] if kept is None else kept
    pending = [task for task in tasks if task.path not in kept]
    for task in pending[:1]:
        task.path.parent.mkdir(parents=True, exist_ok=True)
    fitted = [task for task in pending if task.tuner is None]
    # cells of the same networks one after another, so that these are read once
    trained = sorted((task for task in pending if task.tuner is not None), key=_training)
    for task, cell in itertools.chain(_computed(fitted, jobs, scheduler), _computed(trained, 1, None)):
        kept[task.path] = cell
        done(task)
    return [kept[task.path] for task in tasks]


def _training(task: Task) -> list[str]:
    """What the networks of a cell depend on, in the study's names."""
    cell = task.cell
    assert isinstance(cell.adapter, MethodSpec)
    places = [cell.side.home, cell.encoder, cell.prompts, scenario_label(cell.scenario)]
    return [*places, f"{cell.label_noise}", f"{cell.shots:012d}", cell.adapter.whole.label]


def compute(task: Task) -> CellResult:
    """Compute one cell and keep it."""
    from fewshot_flair.adapters.threads import one_thread

    cell = task.cell
    # several round otherwise, and results must not depend on how many cores there are
    with one_thread() if task.tuner is None else nullcontext():
        if not task.clinic.fold_rows:
            found = _measured(task, task.clinic).result()
        elif task.study.protocol == FLAIR_2025 and not _needs_shots(cell):
            # as the paper tests zero-shot: on every row, whatever the fold
            found = repeated(_measured(task, task.clinic), len(task.clinic.fold_rows))
        else:
            found = over_folds([_measured(task, fold) for fold in task.clinic.folds])
    tuned = None
    if isinstance(cell.adapter, MethodSpec):
        own, wise = cell.adapter, cell.adapter.wise
        tuned = {"method": own.whole.label, "wise": 1.0 if wise is None else wise, "soup": own.soup}
    found = replace(found, names=cell.names, tuned=tuned)
    found.write(task.path)
    return found


def _needs_shots(cell: Cell) -> bool:
    from fewshot_flair.adapters import get_adapter_class

    return isinstance(cell.adapter, MethodSpec) or get_adapter_class(cell.adapter.name).needs_shots


def _measured(task: Task, clinic: Clinic) -> Measured:
    """A cell on a clinic, or on one of its folds."""
    from fewshot_flair.adapters import get_adapter_class

    cell = task.cell
    if task.tuner is not None:
        return task.tuner.measured(
            cell, clinic, draw(task.study, clinic, cell.scenario, cell.shots, unlabelled=0)
        )
    free = get_adapter_class(cell.adapter.name).uses_unlabeled
    wanted = task.study.unlabelled_on(cell.side.data) if free else 0
    episodes = draw(task.study, clinic, cell.scenario, cell.shots, unlabelled=wanted)
    found = measure_adapter(
        clinic,
        cell.adapter,
        episodes,
        label_noise=cell.label_noise,
        prior=cell.prior,
        device=task.device,
        calibrate=task.study.calibrate,
    )
    found.notes.extend(_fewer(episodes, wanted))
    if task.study.conformal:
        labels = noisy_labels(clinic, episodes, cell.label_noise)
        rows, notes = measure_sets(clinic, cell.adapter, episodes, labels, task.study.conformal)
        found.sets.extend(rows)
        if rows:
            notes += where_it_ends(cell.side.data, clinic, scenario_label(cell.scenario), episodes)
        found.notes.extend(notes)
    return found


def _fewer(episodes: Episodes, wanted: int | None) -> list[str]:
    """A word where an episode gets fewer unlabelled images than were asked for."""
    taken = [len(rows) for rows in episodes.unlabeled or ()]
    if not wanted or not taken or min(taken) >= wanted:
        return []
    range_ = f"{min(taken)}" if min(taken) == max(taken) else f"{min(taken)} to {max(taken)}"
    return [f"{range_} unlabelled images an episode, not the {wanted} asked for: there are no more"]


def _compute_at(place: int, task: Task) -> tuple[int, CellResult]:
    return place, compute(task)


def _computed(tasks: Sequence[Task], jobs: int, scheduler: str | None) -> Iterator[tuple[Task, CellResult]]:
    if scheduler is None and jobs == 1:
        for task in tasks:
            yield task, compute(task)
        return
    from joblib import Parallel, delayed, parallel_config

    with ExitStack() as stack:
        settings: dict[str, Any] = {"backend": "loky", "n_jobs": jobs}
        if scheduler is not None:
            from fewshot_flair.bank.distributed import connect

            settings = {"backend": "dask", "client": stack.enter_context(connect(scheduler)), "n_jobs": -1}
        stack.enter_context(parallel_config(**settings))
        # small batches, so that the bar moves and a stopped study loses little
        run = Parallel(return_as="generator_unordered", batch_size=4)
        for place, cell in run(delayed(_compute_at)(i, task) for i, task in enumerate(tasks)):
            yield tasks[place], cell
