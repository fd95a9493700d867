"""A whole study: read the data, check them, encode what is not encoded, compute, join."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from fewshot_flair.adapters import get_adapter_class
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.cells import Task, is_finished, plan_tasks, run_tasks
from fewshot_flair.experiment.clinic import EncodedClinic
from fewshot_flair.experiment.design import Study
from fewshot_flair.experiment.encoding import check_choice, prepare_clinic, read_manifests
from fewshot_flair.experiment.folder import check_writable, versions
from fewshot_flair.experiment.results import StudyResults, assemble
from fewshot_flair.report.published import read_published

__all__ = ["Steps", "read_prompts", "run_study"]


class Steps(Protocol):
    """What a study tells while it runs; a command shows it."""

    def extraction(self, name: str) -> AbstractContextManager[Any]:
        """Give the progress callback of `extract`, for one data set and encoder."""
        ...

    def cells(self, finished: int, total: int) -> Callable[[Task], None]:
        """Told before the cells start; what it returns is called for each that is done."""
        ...


class _Silent:
    def extraction(self, name: str) -> AbstractContextManager[Any]:
        return nullcontext()

    def cells(self, finished: int, total: int) -> Callable[[Task], None]:
        return lambda _: None


def run_study(
    study: Study,
    out: str | Path,
    *,
    cache: Path | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    steps: Steps | None = None,
    command: str = "fewshot-flair study STUDY.toml",
) -> StudyResults:
    """Run a study, or go on with it: cells that lie finished in `out` are not computed again.

    Parameters
    ----------
    out : path
        Folder of the study; its tables are ``results.parquet`` and ``results.csv``.
    cache : Path, optional
        Where the feature bank is.
    jobs : int
        Processes that compute cells.
    scheduler : str, optional
        Address of a Dask scheduler, instead of `jobs`.
    command : str
        What repeats the study; the report prints it.

    Raises
    ------
    InputError
        Before anything is computed: a patient on both sides of a split, bad rows, an unknown name.
    """
    out = Path(out)
    _check_out(out, study)
    told: Steps = steps or _Silent()
    for spec in study.adapters:
        get_adapter_class(spec.name)
    for choice, data in itertools.product(study.encoders, study.data):
        check_choice(data, choice)
    published = read_published(study.folder / study.published) if study.published else None
    manifests = {data.name: read_manifests(data, study.folder) for data in study.data}
    prompts = {name: read_prompts(name, study.folder) for name in study.prompts}
    clinics: dict[tuple[str, str, str], EncodedClinic] = {}
    for choice in study.encoders:
        for data in study.data:
            for name, texts in prompts.items():
                key = (data.name, choice.name, name)
                with told.extraction(f"{data.name}, {choice.name}") as progress:
                    clinics[key] = prepare_clinic(
                        data,
                        choice,
                        manifests[data.name],
                        folder=study.folder,
                        prompts=texts,
                        cache=cache,
                        progress=progress,
                    )
    out.mkdir(parents=True, exist_ok=True)
    tasks = plan_tasks(study, clinics, out)
    finished = sum(is_finished(task.path) for task in tasks)
    run_tasks(tasks, jobs=jobs, scheduler=scheduler, done=told.cells(finished, len(tasks)))
    record = {
        "format": "fewshot-flair study 1",
        "study": json.loads(study.model_dump_json(exclude={"folder", "text"})),
        "study_text": study.text,
        "command": command,
        "published": published,
        "clinics": [{"key": list(key), **clinic.provenance} for key, clinic in clinics.items()],
        "left_out": _left_out(study, tasks),
        "versions": versions(),
    }
    return assemble(tasks, out, record)


def read_prompts(name: str, folder: Path) -> str | dict[str, list[str]]:
    """``expert`` and ``names`` as they are; else a TOML file of ``"class" = ["description", …]``."""
    if name in ("expert", "names"):
        return name
    path = folder / name
    if not path.is_file():
        raise MissingFileError(f"prompts: no file {path}; give expert, names or a TOML file")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from error
    for label, texts in content.items():
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t for t in texts):
            raise InputError(f"{path}: {label!r} must be a list of one or more descriptions")
    return content


def _check_out(out: Path, study: Study) -> None:
    """Raise where `out` holds something that is not this study; nothing of others is overwritten."""
    check_writable(out)
    ours = (out / "study.json").is_file() or (out / "cells").is_dir()
    if out.exists() and not ours and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"--out {out}: this holds something other than a study; give a new or an empty folder"
        )
    try:
        there = json.loads((out / "study.json").read_text(encoding="utf-8"))["study"]
        names = [data["name"] for data in there["data"]]
    except (OSError, ValueError, KeyError, TypeError):
        return  # not finished yet, or damaged: the cells are what counts
    if not set(names) & {data.name for data in study.data}:
        raise InputError(
            f"--out {out}: this holds a study of other data ({', '.join(names)}), whose results would be replaced; "
            "give another folder"
        )


def _left_out(study: Study, tasks: list[Task]) -> list[str]:
    """Adapter and encoder pairs that do not go together."""
    used = {(task.cell.adapter.label, task.cell.encoder.name) for task in tasks}
    return [
        f"{spec.label} with {choice.name}: needs a text tower"
        for choice in study.encoders
        for spec in study.adapters
        if (spec.label, choice.name) not in used
    ]
