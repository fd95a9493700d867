"""A cell of a study's grid: one adapter in one setting, all seeds together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_flair.experiment.spec import AdapterSpec

__all__ = ["SETTING", "Cell", "scenario_label"]

SETTING = ["data", "encoder", "prompts", "scenario", "label_noise", "prior", "shots"]
"""The columns that name a setting; with ``adapter`` they name a cell, with ``seed`` a row."""


@dataclass(frozen=True)
class Cell:
    """One combination of a study: all its seeds are computed at once."""

    data: str
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
            "data": self.data,
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
