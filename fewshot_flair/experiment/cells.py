"""Run a study: every cell once, each kept as soon as it is done, so that a killed study goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.design import Cell, Study
from fewshot_flair.experiment.scoring import Outcome, evaluate_adapter

if TYPE_CHECKING:
    import pyarrow as pa

    from fewshot_flair.episodes import Episodes
    from fewshot_flair.experiment.clinic import EncodedClinic

__all__ = ["Task", "plan_tasks", "run_tasks"]


@dataclass(frozen=True)
class Task:
    """A cell of the study, the clinic it is computed on, and the file that keeps it."""

    cell: Cell
    clinic: EncodedClinic
    study: Study
    path: Path


def plan_tasks(study: Study, clinics: dict[tuple[str, str, str], EncodedClinic], out: Path) -> list[Task]:
    """One task a cell, in the study's order; adapters without what they need are left out.

    Parameters
    ----------
    clinics : dict
        Encoded clinics by data set, encoder and prompts.
    out : Path
        The study's folder; finished cells lie in its ``cells/``.

    Raises
    ------
    InputError
        If an adapter's name is unknown or none of them can work.
    """
    from fewshot_flair.adapters import get_adapter_class

    tasks = []
    for cell in study.cells():
        clinic = clinics[cell.data.name, cell.encoder.name, cell.prompts]
        if get_adapter_class(cell.adapter.name).needs_text and clinic.text is None:
            continue
        provenance = clinic.provenance
        fingerprints = [
            clinic.train.digest,
            clinic.test.digest,
            *clinic.classes,
            str(clinic.ordinal),
            provenance["encoder"]["fingerprint_id"],
            provenance["text_digest"],
        ]
        path = out / "cells" / f"{cell.key(study.common(), fingerprints)}.parquet"
        tasks.append(Task(cell, clinic, study, path))
    if not tasks:
        raise InputError(f"study {study.name!r}: no adapter works with these encoders")
    return tasks


def run_tasks(
    tasks: Sequence[Task],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    done: Callable[[Task], None] = lambda _: None,
) -> int:
    """Compute the cells that are not kept yet.

    Parameters
    ----------
    jobs : int
        Processes; 1 computes in this one.
    scheduler : str, optional
        Address of a Dask scheduler to compute on instead; its workers must see the study's folder and
        the feature bank.
    done : callable
        Told of each task when its file is written.

    Returns
    -------
    int
        How many cells were computed.
    """
    pending = [task for task in tasks if not is_finished(task.path)]
    for task in pending:
        task.path.parent.mkdir(parents=True, exist_ok=True)
    for finished in _computed(pending, jobs, scheduler):
        done(finished)
    return len(pending)


def is_finished(path: Path) -> bool:
    """Whether a whole cell lies at `path`; files appear under their names only when complete."""
    return path.is_file()


def compute(task: Task) -> Task:
    """Compute one cell and keep it."""
    episodes, clinic = _draw(task), task.clinic
    outcome = evaluate_adapter(
        clinic, task.cell.adapter, episodes, label_noise=task.cell.label_noise, prior=task.cell.prior
    )
    _keep(_table(task, outcome), task.path)
    return task


def _computed(tasks: Sequence[Task], jobs: int, scheduler: str | None) -> Iterator[Task]:
    from joblib import Parallel, delayed, parallel_config

    if scheduler is None and jobs == 1:
        yield from map(compute, tasks)
        return
    with ExitStack() as stack:
        settings: dict[str, Any] = {"backend": "loky", "n_jobs": jobs}
        if scheduler is not None:
            try:
                from distributed import Client
            except ImportError:
                raise InputError("--scheduler needs Dask: pip install 'fewshot-flair[distributed]'") from None
            client = stack.enter_context(Client(scheduler))
            settings = {"backend": "dask", "client": client, "n_jobs": -1}
        stack.enter_context(parallel_config(**settings))
        # small batches, so that the bar moves and a stopped study loses little
        yield from Parallel(return_as="generator_unordered", batch_size=4)(delayed(compute)(t) for t in tasks)


def _draw(task: Task) -> Episodes:
    from fewshot_flair.episodes import EpisodeSampler, create_scenario

    study, cell, clinic = task.study, task.cell, task.clinic
    scenario = create_scenario(cell.scenario, clinic.classes, clinic.test.y)
    sampler = EpisodeSampler(cell.shots, scenario, protocol=study.protocol, allow_fewer=study.allow_fewer)
    groups = np.unique(clinic.train.patients, return_inverse=True)[1] if study.unit == "patient" else None
    n_classes = len(clinic.classes)
    unlabelled = study.unlabelled_per_class * n_classes
    if unlabelled and study.allow_fewer:
        drawn = sampler.sample_many(clinic.train.y, study.seeds, classes=clinic.classes, groups=groups)
        unlabelled = min(unlabelled, len(clinic.train) - max(len(rows) for rows in drawn))
    return sampler.sample_many(
        clinic.train.y, study.seeds, classes=clinic.classes, unlabeled=unlabelled, groups=groups
    )


def _table(task: Task, outcome: Outcome) -> pa.Table:
    import pyarrow as pa

    names = task.cell.names
    table = pa.Table.from_pylist([names | row for row in outcome.rows])
    about = {
        "names": names,
        "classes": task.clinic.classes,
        "rendered": task.clinic.provenance["data"]["rendered"],
        "confusion": outcome.confusion.tolist(),
        "reliability": outcome.reliability.tolist(),
        "patient_interval": list(outcome.patient_interval),
        "fit_seconds": outcome.fit_seconds,
        "notes": outcome.notes,
    }
    return table.replace_schema_metadata({"cell": json.dumps(about, ensure_ascii=False)})


def _keep(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    from fewshot_flair.bank.shards import new_file

    with new_file(path) as file:
        pq.write_table(table, file)
