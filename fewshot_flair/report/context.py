"""What the sections of a report share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fewshot_flair.evaluation import METRICS, Metric
from fewshot_flair.experiment.grid import draws_text, n_draws
from fewshot_flair.report.drawing import Styles, adapter_styles
from fewshot_flair.report.summary import Block, defined_blocks
from fewshot_flair.report.wording import setting_of

if TYPE_CHECKING:
    from fewshot_flair.experiment.provenance import Provenance
    from fewshot_flair.experiment.results import CellResult, RunRecord, StudyResults

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """The results that a report is of, and the files that it will have beside it.

    Attributes
    ----------
    metric : Metric
        What tables and curves show.
    blocks : list of Block
        The tables that have a number of this metric.
    undefined : dict of str to str
        Why the other data sets have none.
    styles : Styles
        How each adapter looks in all pictures: the best on average first.
    files : dict of str to bytes
        Files beside the report by name; sections add to them.
    """

    results: StudyResults
    metric: Metric
    blocks: list[Block]
    undefined: dict[str, str]
    styles: Styles
    files: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, results: StudyResults, metric: str) -> Context:
        """Read what the results say of a metric; InputError where that is undefined on all data."""
        blocks, undefined = defined_blocks(results, metric)
        ranks: dict[str, list[float]] = {name: [] for name in dict.fromkeys(results.rows["adapter"])}
        for block in blocks:
            for name, rank in block.mean_ranks.items():
                ranks[name].append(rank)
        best_first = sorted(ranks, key=lambda name: float(np.mean(ranks[name])) if ranks[name] else np.inf)
        return cls(results, METRICS[metric], blocks, undefined, adapter_styles(best_first))

    @property
    def record(self) -> RunRecord:
        """The record of the run."""
        return self.results.record

    @property
    def data_sets(self) -> list[Provenance]:
        """One provenance a data set."""
        return list({clinic.data: clinic for clinic in self.record.clinics}.values())

    @property
    def n_seeds(self) -> int:
        """Support-set draws of each setting."""
        return len(self.record.study["seeds"])

    @property
    def most_shots(self) -> list[CellResult]:
        """The cells of the largest number of shots."""
        most = max(cell.names["shots"] for cell in self.results.cells)
        return [cell for cell in self.results.cells if cell.names["shots"] == most]

    def setting(self, cell: CellResult) -> str:
        """What a table of a cell's setting is called: whatever the study varies, the scenario and the shots."""
        return setting_of(cell, self.results.cells)

    @property
    def n_draws(self) -> int:
        """Draws that means are over; folds, where there are some."""
        return n_draws(self.results.rows)

    @property
    def draws(self) -> str:
        """What means are over, in words."""
        return draws_text(self.results.rows)

    @property
    def folds(self) -> bool:
        """Whether sides were made anew, so that there is no one test set."""
        return bool(self.record.study.get("folds"))

    def data_set(self, name: str) -> Provenance:
        """The provenance of a data set."""
        return next(clinic for clinic in self.record.clinics if clinic.data == name)
