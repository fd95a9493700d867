"""The rows that adapters were fitted on, kept beside them: what a new photograph looks like among these."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.adapters.batch import unit
from fewshot_flair.errors import InputError
from fewshot_flair.files import read_known, replace_file, sha256

if TYPE_CHECKING:
    from fewshot_flair.evaluation import Typicality
    from fewshot_flair.experiment.clinic import Clinic

__all__ = ["TrainingRows"]

MOST_ROWS = 20_000
BLOCK = 4096
"""New rows that are compared at once."""


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Training rows of a run, with one kind of their features.

    Attributes
    ----------
    features : float32 array of shape (n, D)
    images, patients, labels : list of n str
        As the manifest names them.
    left_out : int
        Rows that were not kept, as there are more than 20,000: those that were are spread evenly.
    """

    features: NDArray[np.float32]
    images: list[str]
    patients: list[str]
    labels: list[str]
    left_out: int = 0

    @classmethod
    def of(cls, clinic: Clinic, kind: str) -> TrainingRows:
        """The clinic's training rows with features of a kind."""
        n = len(clinic.train)
        rows = np.unique(np.linspace(0, n - 1, min(n, MOST_ROWS)).astype(np.int64))
        kept = clinic.train.take(rows)
        labels = [clinic.classes[code] for code in kept.y]
        return cls(kept.read(kind), kept.images, kept.patients, labels, n - len(rows))

    def save(self, path: Path) -> str:
        """Write them; returns the file's hex sha256, by which `load` knows it again."""
        from safetensors.numpy import save

        told = {
            "images": self.images,
            "patients": self.patients,
            "labels": self.labels,
            "left_out": self.left_out,
        }
        content = save({"features": self.features}, metadata={"rows": json.dumps(told)})
        replace_file(path, [content])
        return sha256(content)

    @classmethod
    def load(cls, path: Path, digest: str) -> TrainingRows:
        """Read what `save` wrote; MissingFileError or InputError where it is gone or another."""
        from safetensors.numpy import load

        content = read_known(path, digest)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return cls(load(content)["features"], **json.loads(header["__metadata__"]["rows"]))

    @cached_property
    def typicality(self) -> Typicality | None:
        """How typical new rows are of these; None where they are all of one patient."""
        from fewshot_flair.evaluation import Typicality

        return Typicality.fit(self.features, self.patients) if len(set(self.patients)) > 1 else None

    def nearest(self, features: NDArray[np.float32], most: int = 3) -> list[list[int]]:
        """The rows that new ones are most alike, by the cosine of their features: n lists of at most `most`.

        Raises
        ------
        InputError
            If the features have another width.
        """
        if features.shape[1] != self.features.shape[1]:
            raise InputError(f"{features.shape[1]} features; the training rows have {self.features.shape[1]}")
        known = unit(np, self.features).T
        most = min(most, known.shape[1])
        found: list[list[int]] = []
        for start in range(0, len(features), BLOCK):
            cosines = unit(np, features[start : start + BLOCK]) @ known
            found += np.argsort(-cosines, axis=1, kind="stable")[:, :most].tolist()
        return found

    def names(self, rows: Sequence[int]) -> str:
        """Images of rows with their classes, for a table."""
        return "; ".join(f"{self.images[row]} ({self.labels[row]})" for row in rows)
