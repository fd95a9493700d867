"""The folder that a run leaves: its results, its settings, its pictures and its adapters, for use."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.adaptation import Adaptation, refit

if TYPE_CHECKING:
    from fewshot_flair.experiment.scoring import Outcome

__all__ = ["check_out", "check_writable", "folder_name", "read_run", "versions", "write_run"]

FORMAT = "fewshot-flair run 1"
LOCK = "run.lock"
PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "transformers",
    "opencv-python-headless",
    "scikit-image",
)


def versions() -> dict[str, str]:
    """Python, the platform and the packages that numbers depend on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("fewshot-flair", *PACKAGES):
        found[package] = metadata.version(package)
    return found


def folder_name(label: str) -> str:
    """A label as a file name: letters, digits, '.', '+', '-' and '_' stay, spaces and brackets become '-'.

    Where anything else was dropped, a digest of the label keeps two labels from sharing a name.
    """
    name = re.sub(r"[^\w.+-]+", "-", label).strip("-.")
    if name and not re.search(r"[^\w\s.+,()=-]", label):
        return name
    return f"{name}-{hashlib.sha256(label.encode(errors='surrogatepass')).hexdigest()[:8]}".strip("-")


def check_out(out: Path) -> None:
    """Raise where `out` holds something other than an earlier run, or nothing can be written there."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: this is a file; give a folder")
    check_writable(out)
    if out.is_dir() and any(p.name != LOCK for p in out.iterdir()) and not _is_run(out / "run.json"):
        raise InputError(
            f"--out {out}: the folder is not empty and holds no earlier run; give a new or an empty one"
        )


def check_writable(out: Path) -> None:
    """Raise where nothing can be written to a folder, or to the one that it would be made in."""
    there = next((folder for folder in (out, *out.absolute().parents) if folder.exists()), Path())
    if not os.access(there, os.W_OK):
        raise InputError(
            f"--out {out}: nothing can be written to {there}; give a folder that you may write to"
        )


def write_run(
    adaptation: Adaptation, out: Path, settings: Mapping[str, Any], device: str = "cpu"
) -> list[Path]:
    """Write results, pictures and refitted adapters; an earlier run in `out` is replaced.

    Where another process is writing a run there, this is an InputError.

    Parameters
    ----------
    settings : mapping
        What was asked, JSON-able; recorded in ``run.json`` with versions and fingerprints.

    Returns
    -------
    list of Path
        What was written, the table first.
    """
    from filelock import FileLock, Timeout

    check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK, timeout=0):
            return _write_run(adaptation, out, settings, device)
    except Timeout as error:
        raise InputError(
            f"--out {out}: another run is being written there; give each its own folder"
        ) from error


def _write_run(adaptation: Adaptation, out: Path, settings: Mapping[str, Any], device: str) -> list[Path]:
    from fewshot_flair.models import save_adapter
    from fewshot_flair.report import plots

    clinic, results, best = adaptation.clinic, adaptation.results, adaptation.best()
    for name in ("adapters", "run.json"):
        _remove(out / name)
    record = {"format": FORMAT, "complete": False, "settings": dict(settings)}
    _write_record(out, record)  # first, so that a killed run's folder is known as ours
    table = out / "results.csv"
    results.to_csv(table, index=False, float_format="%.6g")
    written = [table]
    most = adaptation.shots[-1]
    setting = f"{clinic.title}: {most} shots, {adaptation.scenario} scenario, {_draws(best)}"
    confusion = plots.confusion_figure(best.confusion, clinic.classes, f"{best.adapter.label} on {setting}")
    written.append(plots.save(confusion, out / "confusion_matrix.png"))
    last = results[results["shots"] == most]
    labels = list(dict.fromkeys(last["adapter"]))
    recall = plots.recall_figure(last, clinic.classes, labels, f"Recall by class, {setting}")
    written.append(plots.save(recall, out / "recall.png"))
    curve = out / "shots.png"
    _remove(curve)
    if len(adaptation.shots) > 1:
        title = f"{clinic.title}, {adaptation.scenario} scenario, {_draws(best)}"
        written.append(plots.save(plots.curves_figure(results, title), curve))
    for outcome in (adaptation.outcomes[most, label] for label in labels):
        fitted = refit(clinic, outcome.adapter, device)
        folder = out / "adapters" / folder_name(outcome.adapter.label)
        save_adapter(fitted, folder, extra=_for_use(adaptation, outcome, settings))
        written.append(folder)
    record |= {
        "complete": True,
        "classes": clinic.classes,
        "ordinal": clinic.ordinal,
        "best_adapter": best.adapter.label,
        "adapters": {label: f"adapters/{folder_name(label)}" for label in labels},
        "support_counts": {
            str(shots): dict(zip(clinic.classes, [list(pair) for pair in counts], strict=True))
            for shots, counts in adaptation.support.items()
        },
        "test_interval_over_patients": {
            f"{label}, {shots} shots": list(outcome.patient_interval)
            for (shots, label), outcome in adaptation.outcomes.items()
        },
        **clinic.provenance,
        "versions": versions(),
    }
    return [*written, _write_record(out, record)]


def read_run(folder: Path) -> dict[str, Any]:
    """The ``run.json`` of a run; raises MissingFileError or InputError that name the folder."""
    path = folder / "run.json"
    if not path.is_file():
        raise MissingFileError(
            f"{folder} is not the folder of a run: it has no run.json "
            "(give what `fewshot-flair adapt --out` wrote)"
        )
    if not _is_run(path):
        raise InputError(f"{path} is damaged or was not written by `fewshot-flair adapt`; run it again")
    record = json.loads(path.read_text(encoding="utf-8"))
    if not record.get("complete"):
        raise InputError(f"{folder}: the run that wrote this folder did not finish; run it again")
    return record


def _for_use(adaptation: Adaptation, outcome: Outcome, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What ``predict`` must know beside the adapter: the encoder, the feature, what it was fitted on."""
    encoder = adaptation.clinic.provenance["encoder"]
    return {
        "encoder": {
            **{key: encoder[key] for key in ("name", "fingerprint_id", "fingerprint")},
            "load": settings["encoder"],
        },
        "training_images": len(adaptation.clinic.train),
        "data": adaptation.clinic.name,
    }


def _write_record(out: Path, record: Mapping[str, Any]) -> Path:
    path = out / "run.json"
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    # a file name that is no text becomes the escape that JSON has for it
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def _is_run(path: Path) -> bool:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def _draws(outcome: Outcome) -> str:
    n = len(outcome.rows)
    return f"{n} support-set draws" if n > 1 else "one support-set draw"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
