"""A cell of a study's grid: one adapter in one setting, all seeds together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.evaluation.statistics import draw_columns
from fewshot_flair.experiment.spec import AdapterSpec
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.experiment.choices import TestSide

__all__ = [
    "ALL_SHOTS",
    "SETTING",
    "Cell",
    "draws_text",
    "n_draws",
    "scenario_label",
    "shots_text",
    "shots_texts",
    "with_all_shots",
]

ALL_SHOTS = 10**9
"""What stands for every training image there is: ``"all"`` of a study's shots."""

SETTING = ["data", "test", "encoder", "prompts", "scenario", "label_noise", "prior", "shots"]
"""The columns that name a setting; with ``adapter`` they name a cell, with ``seed`` a row."""


@dataclass(frozen=True)
class Cell:
    """One combination of a study: all its seeds are computed at once.

    Attributes
    ----------
    side : TestSide
        What is trained on and where it is tested.
    adapter : AdapterSpec
        What is fitted; a `MethodSpec` trains the encoder.
    """

    side: TestSide
    encoder: str
    prompts: str
    scenario: str | dict[str, Any]
    label_noise: float
    shots: int
    adapter: AdapterSpec
    prior: str

    @property
    def names(self) -> dict[str, Any]:
        """The columns that tell this cell's rows from others'."""
        return {
            "data": self.side.home,
            "test": self.side.test,
            "distribution": self.side.distribution,
            "encoder": self.encoder,
            "prompts": self.prompts if self.prompts in ("expert", "names") else Path(self.prompts).stem,
            "scenario": scenario_label(self.scenario),
            "label_noise": self.label_noise,
            "prior": self.prior,
            "shots": self.shots,
            "adapter": self.adapter.label,
        }


def scenario_label(scenario: str | dict[str, Any]) -> str:
    """A scenario in a word: its name, or its kind and settings."""
    if isinstance(scenario, str):
        return scenario
    settings = {key: value for key, value in scenario.items() if key not in ("kind", "label")}
    default = f"{scenario.get('kind', '?')}({', '.join(f'{k}={v}' for k, v in settings.items())})"
    return str(scenario.get("label", default))


def shots_text(shots: int, *, alone: bool = False) -> str:
    """A number of shots in words: ``16 shots``, ``all images``; or, alone, ``16`` and ``all``."""
    if shots == ALL_SHOTS:
        return "all" if alone else "all training images"
    return str(shots) if alone else counted(shots, "shot")


def shots_texts(shots: Iterable[int]) -> str:
    """Several numbers of shots in words: ``1, 4, all shots``."""
    words = [shots_text(k, alone=True) for k in sorted(shots)]
    return f"{', '.join(words)} {'shot' if words == ['1'] else 'images' if words == ['all'] else 'shots'}"


def n_draws(rows: pd.DataFrame) -> int:
    """How many draws results are over (see `draw_columns`)."""
    return len(rows[draw_columns(rows.columns)].drop_duplicates())


def with_all_shots(table: pd.DataFrame) -> pd.DataFrame:
    """A table for people: ``all`` where the shots are every training image."""
    if "shots" not in table or not (table["shots"] == ALL_SHOTS).any():
        return table
    return table.assign(shots=[shots_text(int(k), alone=True) for k in table["shots"]])


def draws_text(rows: pd.DataFrame) -> str:
    """What results are over, in words: ``20 support-set draws``, ``5 folds``, ``5 folds, each a mean of 20 draws``."""
    if "fold" not in rows.columns:
        return counted(rows["seed"].nunique(), "support-set draw")
    folds, seeds = counted(rows["fold"].nunique(), "fold"), rows["seed"].nunique()
    return folds if seeds == 1 else f"{folds}, each a mean of {counted(seeds, 'draw')}"
