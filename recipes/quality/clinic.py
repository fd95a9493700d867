"""dr-clinic as an adapter's training side: its photographs' features, from the bank, and what is typical of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fewshot_flair import Manifest, load_encoder
from fewshot_flair.bank import FeatureBank, extract
from fewshot_flair.encoders.base import ImageFeatures
from fewshot_flair.evaluation import Typicality

KINDS_OF_FEATURES = ("backbone", "embedding")


class Clinic:
    """The manifest's two sides, and the mini model."""

    def __init__(self, shared: Path) -> None:
        manifest = Manifest.read(shared / "dr-clinic" / "manifest.csv")
        self.train, self.test = manifest.split("train"), manifest.split("test")
        self.encoder = load_encoder("mini")
        self.features = self.of_files(self.train.paths)
        self.typicality = {
            kind: Typicality.fit(getattr(self.features, kind), self.train.groups)
            for kind in KINDS_OF_FEATURES
        }

    def of_files(self, paths: Sequence[str | Path]) -> ImageFeatures:
        """Features of files, encoded where the bank lacks them."""
        bank = FeatureBank.open(source=self.encoder)
        keys = extract(list(paths), self.encoder, bank).keys
        wanted = [keys[str(path)] for path in paths]
        return ImageFeatures(*(bank.read(wanted, kind) for kind in KINDS_OF_FEATURES))


def markdown(table: pd.DataFrame) -> str:
    """A table whose shares are written in percent, without padding."""

    def written(cell: object) -> object:
        return ("" if math.isnan(cell) else f"{cell:.1%}") if isinstance(cell, float) else cell

    lines = table.map(written).to_markdown(index=False)
    return re.sub("-{3,}", "---", re.sub(" {2,}", " ", lines))
