"""A whole study: read the data, check them, encode what is not encoded, compute, keep."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.cells import ClinicKey, Task, plan_tasks, read_finished, run_tasks
from fewshot_flair.experiment.checks import check_study
from fewshot_flair.experiment.choices import FLAIR_2025, DataSet, EncoderChoice
from fewshot_flair.experiment.clinic import Clinic
from fewshot_flair.experiment.decisions import check_decision
from fewshot_flair.experiment.design import Study
from fewshot_flair.experiment.draws import check_draws
from fewshot_flair.experiment.elsewhere import robustness_table
from fewshot_flair.experiment.encoded import encode, encode_test, with_text
from fewshot_flair.experiment.encoding import Encoding, check_choice
from fewshot_flair.experiment.folder import check_out, splits_table, versions, write_tables, writing
from fewshot_flair.experiment.frequencies import frequencies_of, recall_by_frequency, with_frequencies
from fewshot_flair.experiment.grid import with_all_shots
from fewshot_flair.experiment.imported import imported_clinic
from fewshot_flair.experiment.results import RunRecord, StudyResults
from fewshot_flair.experiment.sources import Sources, holds_features, read_folded, read_sources, read_tests
from fewshot_flair.experiment.spec import usable_adapters
from fewshot_flair.experiment.steps import Steps
from fewshot_flair.finetuning.settings import TuningSettings
from fewshot_flair.text.prompts import read_prompts

if TYPE_CHECKING:
    from fewshot_flair.data import Manifest

__all__ = ["load_clinics", "run_study"]


def run_study(
    study: Study,
    out: str | Path,
    *,
    cache: str | Path | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    workers: int | None = None,
    how: Encoding | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    steps: Steps | None = None,
    command: str = "fewshot-flair study STUDY.toml",
) -> StudyResults:
    """Run a study, or go on with it: cells that lie finished in `out` are not computed again.

    Parameters
    ----------
    out : path
        Folder of the run (docs/interfaces.md says what it holds).
    cache : path, optional
        Where the feature bank is.
    device : str
        What encodes and fits: ``"cpu"``, ``"cuda"``, ….
    batch_size, workers : int, optional
        Images a forward pass, threads that prepare images.
    how : Encoding, optional
        Instead of the four before; encoders that it holds are not loaded again, nor those that the study loads.
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
    told = steps or Steps()
    if earlier := check_out(out, [data.name for data in study.data], replace=study.save):
        told.say(earlier)
    published = check_study(study)
    if not study.methods and study.tuning != TuningSettings():
        told.say("tuning is of fine-tuned networks, and there are no methods: it is not used")
    how = replace(
        how or Encoding(Path(cache) if cache else None, device, batch_size, workers),
        train_copies=study.feature_augmentation,
        test_copies=study.test_augmentation,
    )
    clinics = load_clinics(study, how, told)
    if study.save:
        for clinic in clinics.values():
            check_decision(study.decision, clinic.classes)
    tuner = None
    if study.methods:
        from fewshot_flair.experiment.tuned import Tuner

        tuner = Tuner(study, how, out / "trainings", told.training)
    tasks = plan_tasks(study, clinics, out, how.device, tuner)
    with writing(out):
        kept, damaged = read_finished(tasks)
        if damaged:
            told.say(f"{len(damaged)} finished cells are damaged and are computed again: {damaged[0]} …")
        bar = told.cells(len(kept), len(tasks))
        cells = run_tasks(tasks, jobs=jobs, scheduler=scheduler, done=bar, kept=kept)
        record = RunRecord(
            study=study.model_dump(mode="json", exclude={"folder", "text"}),
            study_text=study.text,
            command=command,
            published=published,
            clinics=[clinic.provenance for clinic in clinics.values()],
            left_out=_left_out(study, tasks),
            versions=versions(),
            cells=[task.path.name for task in tasks],
        )
        return _kept(study, out, StudyResults.of(cells, record), clinics, how.device, told)


def load_clinics(study: Study, how: Encoding, told: Steps | None = None) -> dict[ClinicKey, Clinic]:
    """The study's data sets with each of its encoders and prompts: read, checked, and encoded where that lacks.

    Everything is read and checked before the first photograph is encoded.
    """
    told = told or Steps()
    for data, choice in itertools.product(study.data, study.encoders):
        check_choice(data, choice)
    with told.rendering() as progress:
        sources = {
            data.name: None if holds_features(data.manifest) else _read(study, data, progress, how)
            for data in study.data
        }
    tests: dict[str, Manifest] = {}
    for name, read in sources.items():
        if read is not None:
            further = [side for side in study.sides if side.home == name and side.distribution == "out"]
            sources[name], found = read_tests(further, read, study.folder, how.cache)
            tests |= found
    for name, read in sources.items():
        if read is not None:
            check_draws(study, name, read)
            if study.save:
                check_decision(study.decision, read.train.classes)
    prompts = {name: read_prompts(name, study.folder) for name in study.prompts}
    # of adapters that are saved for use nobody asks this
    counts = {} if study.save else {each.name: frequencies_of(each, study.folder) for each in study.encoders}
    clinics: dict[ClinicKey, Clinic] = {}
    for choice in study.encoders:
        for side in study.sides:
            data, read = side.data, sources[side.home]
            if side.distribution == "in" or read is None:
                clinic = _encoded(study, data, choice, read, how, told)
                clinic = home = with_frequencies(clinic, choice.name, counts.get(choice.name))
            else:
                with told.extraction(f"{data.name}, {choice.name}") as progress:
                    test = tests[data.name]
                    said = test.remarks if data.corruption is None else ()
                    clinic = encode_test(home, data, choice, test, how, progress, remarks=said)
            for name, texts in prompts.items():
                clinics[data.name, choice.name, name] = with_text(clinic, name, texts)
            if side.distribution == "in" or data.corruption is None:
                told.clinic(next(reversed(clinics.values())))
    return clinics


def _read(study: Study, data: DataSet, progress: Any, how: Encoding) -> Sources:
    if study.folds is None:
        return read_sources(data, study.folder, progress, how.cache)
    published = study.protocol == FLAIR_2025
    return read_folded(data, study.folds, study.folder, progress, how.cache, published=published)


def _encoded(
    study: Study,
    data: DataSet,
    choice: EncoderChoice,
    sources: Sources | None,
    how: Encoding,
    told: Steps,
) -> Clinic:
    if sources is None:
        if study.folds is not None:
            raise InputError(
                f"data set {data.name}: folds are made of photographs; files of features keep their sides"
            )
        return imported_clinic(data, study.folder, how.cache)
    from fewshot_flair.adapters import get_adapter_class

    encoder = how.encoder(choice)
    if study.methods:
        from fewshot_flair.finetuning.network import check_trainable

        check_trainable(encoder)
    usable, _ = usable_adapters(study.adapters, has_text=encoder.has_text)
    if not usable and not study.methods and len(study.encoders) == 1:
        labels = ", ".join(spec.label for spec in study.adapters)
        raise InputError(
            f"none of {labels} works with {choice.name}, which has no text tower; try --adapter logistic (see "
            "`fewshot-flair adapters`)"
        )
    with told.extraction(f"{data.name}, {choice.name}") as progress:
        local = any(get_adapter_class(spec.name).features == "local" for spec in usable)
        if choice.tiles != "1x1" and not local:
            told.say(
                f"tiles {choice.tiles} of {choice.name} are not used: no adapter here takes local features"
            )
        clinic = encode(data, choice, sources, how, progress, local=local)
        if data.corruption is None:
            return clinic
        return encode_test(
            clinic, data, choice, sources.test, how, progress, remarks=clinic.provenance.remarks
        )


def _kept(
    study: Study,
    out: Path,
    results: StudyResults,
    clinics: dict[ClinicKey, Clinic],
    device: str,
    told: Steps,
) -> StudyResults:
    """Write what the run leaves: tables, saved adapters, the record."""
    import pandas as pd

    seconds = pd.DataFrame([cell.names | {"fit_seconds": cell.fit_seconds} for cell in results.cells])
    tables = {
        "results.csv": with_all_shots(results.rows),
        "results.parquet": results.rows,
        "fit_seconds.csv": with_all_shots(seconds),
        "splits.csv": splits_table(clinics.values()),
    }
    if len(frequencies := recall_by_frequency(results)):
        tables["recall_by_frequency.csv"] = with_all_shots(frequencies)
    if sets := [cell.names | row for cell in results.cells for row in cell.sets]:
        tables["conformal.csv"] = with_all_shots(pd.DataFrame(sets))
    if study.tests or study.methods:
        tables["robustness.csv"] = with_all_shots(robustness_table(results))
    record = results.record
    if study.save:
        from fewshot_flair.models.refit import refit_all

        (clinic,) = clinics.values()
        usable, _ = usable_adapters(study.adapters, has_text=clinic.text is not None)
        made = refit_all(
            clinic, usable, study.encoders[0], out, wanted=study.decision, device=device, progress=told.doing
        )
        tables["test_predictions.csv"] = made.predictions
        record = record.model_copy(
            update={
                "saved": made.saved,
                "default_adapter": made.default,
                "default_rule": made.rule,
                "verdict": made.verdict,
            }
        )
    write_tables(out, tables, record)
    return StudyResults(results.rows, results.cells, record)


def _left_out(study: Study, tasks: list[Task]) -> list[str]:
    """Adapter and encoder pairs that do not go together."""
    used = {(task.cell.adapter.label, task.cell.encoder) for task in tasks}
    return [
        f"{spec.label} with {choice.name}: needs a text tower"
        for choice in study.encoders
        for spec in study.adapters
        if not spec.without_text and (spec.label, choice.name) not in used
    ]
