"""Studies on the planted clinic: their cells, and a run's folder as `run_study` leaves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fewshot_flair.experiment.cells import Task, plan_tasks, run_tasks
from fewshot_flair.experiment.clinic import Clinic
from fewshot_flair.experiment.design import Study
from fewshot_flair.experiment.folder import versions, write_tables
from fewshot_flair.experiment.results import RunRecord, StudyResults


def study_of(*names: str, **entries: Any) -> Study:
    """A small study of data sets of these names, with the mini encoder's name."""
    data = [{"name": name, "manifest": "planted.csv"} for name in names or ("planted",)]
    given = {"question": "?", "adapters": ["zero-shot", "lp", "ss"], "shots": [1, 2], "seeds": 3} | entries
    return Study.from_dict({"name": "planted", "data": data, **given})


def named(clinic: Clinic, name: str, **told: Any) -> Clinic:
    """The clinic under another name, with changes to its provenance."""
    return replace(clinic, name=name, provenance=clinic.provenance.model_copy(update={"data": name, **told}))


def tasks_of(study: Study, out: Path, *clinics: Clinic) -> list[Task]:
    return plan_tasks(study, {(clinic.name, "mini", "expert"): clinic for clinic in clinics}, out)


def results_of(study: Study, out: Path, *clinics: Clinic, **record: Any) -> StudyResults:
    """Compute the study's cells and leave what a run leaves."""
    tasks = tasks_of(study, out, *clinics)
    cells = run_tasks(tasks)
    told = RunRecord(
        study=study.model_dump(mode="json", exclude={"folder", "text"}),
        clinics=[clinic.provenance for clinic in clinics],
        versions=versions(),
        cells=[task.path.name for task in tasks],
        **record,
    )
    results = StudyResults.of(cells, told)
    write_tables(out, {"results.csv": results.rows}, told)
    return results
