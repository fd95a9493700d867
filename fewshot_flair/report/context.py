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
    from fewshot_flair.models.mistakes import Mistakes

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """The results that a report is of, and the files that it will have beside it.

    Attributes
    ----------
    results : StudyResults
        Those on the data sets' own test rows, which all sections are of but for one.
    everywhere : StudyResults
        With the study's further test sides.
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
    mistakes : Mistakes or None
        The worst answers of the run's own choice.
    """

    results: StudyResults
    everywhere: StudyResults
    metric: Metric
    blocks: list[Block]
    undefined: dict[str, str]
    styles: Styles
    files: dict[str, bytes] = field(default_factory=dict)
    mistakes: Mistakes | None = None

    @classmethod
    def of(cls, results: StudyResults, metric: str, mistakes: Mistakes | None = None) -> Context:
        """Read what the results say of a metric; InputError where that is undefined on all data."""
        everywhere, results = results, results.home
        blocks, undefined = defined_blocks(results, metric)
        ranks: dict[str, list[float]] = {name: [] for name in dict.fromkeys(results.rows["adapter"])}
        for block in blocks:
            for name, rank in block.mean_ranks.items():
                ranks[name].append(rank)
        best_first = sorted(ranks, key=lambda name: float(np.mean(ranks[name])) if ranks[name] else np.inf)
        styles = adapter_styles(best_first)
        about = METRICS[metric]
        return cls(results, everywhere, about, blocks, undefined, styles, mistakes=mistakes)

    @property
    def record(self) -> RunRecord:
        """The record of the run."""
        return self.results.record

    @property
    def data_sets(self) -> list[Provenance]:
        """One provenance a data set, and one for each further test side that has other photographs."""
        own = {clinic.data for clinic in self.record.clinics}
        every = self.everywhere.record.clinics
        sides = {each.data: each for each in every if each.data in own or not each.corruption}
        return list(sides.values())

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
