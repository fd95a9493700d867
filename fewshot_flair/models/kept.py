"""What lies beside a saved adapter for `predict`: the fits of its cross-validation for sets, and its training rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_flair.conformal import Conformal
from fewshot_flair.conformal.methods.cross import Cross
from fewshot_flair.files import read_known, replace_file, sha256
from fewshot_flair.models.training import TrainingRows

if TYPE_CHECKING:
    from fewshot_flair.adapters import Adapter
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.models.selection import CrossValidation

__all__ = ["keep_sets", "keep_training_rows", "read_sets", "read_training_rows"]


def keep_sets(
    adapter: Adapter, label: str, clinic: Clinic, crossed: CrossValidation, alpha: float, folder: Path
) -> dict[str, Any] | None:
    """Write ``sets.safetensors``: conformal sets (`cross`) of the fits of the cross-validation.

    Returns
    -------
    dict or None
        What `read_sets` takes; None where there were no folds.
    """
    from safetensors.numpy import save

    if label not in crossed.heads:
        return None
    made = Cross(adapter, alpha=alpha).of_fits(
        crossed.heads[label], crossed.logits[label], clinic.train.y, crossed.fold, clinic.classes
    )
    folder.mkdir(parents=True, exist_ok=True)
    settings, arrays = made.to_arrays()
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    replace_file(folder / "sets.safetensors", [content])
    return {"settings": settings, "sha256": sha256(content)}


def read_sets(adapter: Adapter, kept: Mapping[str, Any] | None, folder: Path) -> Conformal | None:
    """The sets that `keep_sets` kept; MissingFileError or InputError where the file is gone or another."""
    from safetensors.numpy import load

    if kept is None:
        return None
    content = read_known(folder / "sets.safetensors", kept["sha256"])
    return Conformal.from_arrays(adapter, kept["settings"], load(content))


def keep_training_rows(clinic: Clinic, kind: str, folder: Path) -> dict[str, str]:
    """Write ``training-KIND.safetensors``, for all adapters in `folder`; what `read_training_rows` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"training-{kind}.safetensors"
    return {"file": path.name, "sha256": TrainingRows.of(clinic, kind).save(path)}


def read_training_rows(kept: Mapping[str, str] | None, folder: Path) -> TrainingRows | None:
    """The rows that `keep_training_rows` kept beside an adapter's folder; None where they are not at hand.

    An adapter's folder may be taken elsewhere without them: photographs are then not compared with them.
    """
    if kept is None:
        return None
    path = folder.parent / Path(kept["file"]).name
    return TrainingRows.load(path, kept["sha256"]) if path.is_file() else None
