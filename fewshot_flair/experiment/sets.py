"""Conformal sets of a study's cells: the support rows are what a method is fitted on, the test rows what it answers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.spec import AdapterSpec

if TYPE_CHECKING:
    from fewshot_flair.conformal import Conformal
    from fewshot_flair.episodes import Episodes
    from fewshot_flair.experiment.choices import DataSet
    from fewshot_flair.experiment.clinic import Clinic

__all__ = ["NOTE", "SetSpec", "by_method", "measure_sets", "where_it_ends"]

NOTE = "sets: "
"""How what is to be said of sets begins."""
APART = 0.05
"""Share of the rows in other classes than the clinic's from which a draw is not the clinic's mix."""


@dataclass(frozen=True)
class SetSpec:
    """A conformal method with its score and settings, as a command or a study's file names them.

    Attributes
    ----------
    params : dict
        Further parameters of `create_conformal`. ``prefit = true`` calibrates an adapter on the rows that it was
        fitted on, which is a mistake: studies measure what it costs.
    adapters : tuple of str
        The adapters, by name, that it is measured with; all by default.
    """

    method: str
    score: str = "lac"
    alpha: float = 0.1
    params: dict[str, Any] = field(default_factory=dict)
    adapters: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> SetSpec:
        """Read ``method``, ``method:score``, ``method:score:alpha`` or ``method:score:alpha:parameter=value,…``."""
        method, score, alpha, rest = [*text.split(":", 3), "", "", ""][:4]
        try:
            share = float(alpha or 0.1)
        except ValueError:
            raise InputError(
                f"conformal {text!r}: {alpha!r} is no share; write METHOD:SCORE:ALPHA, as full:lac:0.1"
            ) from None
        return cls(
            method.strip(), score.strip() or "lac", share, AdapterSpec.parse(f"{method}:{rest}").params
        )

    @classmethod
    def from_entry(cls, item: Any) -> Any:
        """A string or a table of a study's file, checked; whatever is neither comes back as it is."""
        if isinstance(item, str):
            made = cls.parse(item)
        elif isinstance(item, dict) and isinstance(item.get("method"), str):
            own = {key: item[key] for key in ("method", "score", "alpha") if key in item}
            params = item.get("params", {}) | {
                key: value for key, value in item.items() if key not in (*own, "params", "adapters")
            }
            made = cls(**own, params=params, adapters=tuple(item.get("adapters", ())))
        else:
            return item
        from fewshot_flair.adapters import create_adapter, get_adapter_class

        for name in made.adapters:
            get_adapter_class(name)
        made.create(create_adapter("zero-shot"))
        return made

    def create(self, adapter: Any, **more: Any) -> Conformal:
        """The method around an adapter; InputError where a name or a parameter is unknown or out of range."""
        from fewshot_flair.conformal import create_conformal

        given = {"score": self.score, "alpha": self.alpha, **more, **self.params}
        return create_conformal(self.method, adapter, **given)

    @property
    def label(self) -> str:
        """The method and the parameters that were set, but for those that have columns of their own."""
        return AdapterSpec(self.method, {k: v for k, v in self.params.items() if k != "quantile"}).label


def measure_sets(
    clinic: Clinic,
    spec: AdapterSpec,
    episodes: Episodes,
    labels: Sequence[NDArray[np.int64]],
    wanted: Sequence[SetSpec],
) -> tuple[list[dict[str, Any]], list[str]]:
    """What sets around an adapter are worth on the test rows, and what is to be said of them.

    Parameters
    ----------
    labels : list of B int64 arrays
        Of each episode's rows, as the adapter gets them.

    Returns
    -------
    rows : list of dict
        One a method and seed: ``seed``, ``method``, ``score``, ``alpha``, ``quantile``, ``n_calibration`` and the
        keys of `evaluation.set_figures.SET_FIGURES`. No correction of the prevalence touches them.
    notes : list of str
        Each once, beginning with `NOTE`.
    """
    from fewshot_flair.evaluation.set_figures import score_sets

    adapter = clinic.create(spec)
    kind = clinic.feature_kind(adapter.features)
    patients, names = np.array(clinic.train.patients), np.array(clinic.classes)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    asked = [each for each in wanted if not each.adapters or spec.name in each.adapters]
    unlabelled = adapter.uses_unlabeled and episodes.unlabeled is not None
    for each in asked:
        said: dict[str, list[str]] = {}
        for seed, support, y in zip(episodes.seeds, episodes, labels, strict=True):
            X = clinic.train.read(kind, support)
            try:
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always")
                    own = clinic.create(spec)
                    if each.params.get("prefit"):
                        own = own.fit(X, names[y])
                    made = each.create(own, random_state=seed).fit(X, names[y], groups=patients[support])
                    sets = _sets(made, clinic, kind)
            except InputError as error:
                notes.append(f"{each.label} with {spec.label} is left out: {error}")
                break
            for text in {str(w.message) for w in warned if issubclass(w.category, RuntimeWarning)}:
                # the numbers in it differ from draw to draw
                said.setdefault(re.split(r"\d", text)[0], []).append(text)
            figures = score_sets(sets, clinic.test.y, each.alpha, clinic.test.patients)
            rows.append(
                {
                    "seed": seed,
                    "method": each.label,
                    "score": each.score,
                    "alpha": each.alpha,
                    "quantile": made.quantile,
                    "n_calibration": made.n_calibration_,
                    **{key: float(value) for key, value in figures.items()},
                }
            )
        else:
            if made.pooled:
                notes.append(f"{each.label} fits {spec.label} on drawn and test photographs without labels")
            elif unlabelled:
                notes.append(f"{spec.label} is fitted without unlabelled images there")
        notes += [f"{texts[0]} ({len(texts)} of {len(episodes)} draws)" for texts in said.values()]
    return rows, [f"{NOTE}{note}" for note in dict.fromkeys(notes)]


def by_method(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of `measure_sets` by what differs but for the seed: method, score, alpha and quantile, in words."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        name = f"{row['method']}, {row['score']}, alpha {row['alpha']:g}"
        found.setdefault(name if row["quantile"] == "exact" else f"{name}, {row['quantile']}", []).append(row)
    return found


def _sets(made: Conformal, clinic: Clinic, kind: str) -> NDArray[np.bool_]:
    """Sets of the test rows, in the order of the clinic's classes: one that the draw does not have is in none."""
    parts = [slice(0, len(clinic.test))] if made.transductive else clinic.test.chunks()
    held = np.zeros((len(clinic.test), len(clinic.classes)), dtype=bool)
    held[:, [clinic.classes.index(name) for name in made.columns_]] = np.concatenate(
        [made.predict_set(clinic.test.read(kind, part)) for part in parts]
    )
    return held


def where_it_ends(data: DataSet, clinic: Clinic, scenario: str, episodes: Episodes) -> list[str]:
    """Sentences on what the guarantee presumes and this data set or draw does not have."""
    said: list[str] = []
    n_classes = len(clinic.classes)
    drawn = np.bincount(clinic.train.y[np.concatenate(episodes.indices)], minlength=n_classes)
    own = np.bincount(clinic.train.y, minlength=n_classes)
    apart = np.abs(drawn / drawn.sum() - own / own.sum()).sum() / 2
    if scenario != "realistic" and apart > APART:
        said.append(
            f"the draw of scenario {scenario} is not the clinic's mix ({apart:.0%} of its rows are of other classes), "
            "so coverage may miss what was asked for; scenario realistic draws the clinic's"
        )
    patients = np.array(clinic.train.patients)
    sides = {
        "drawn": any(len(np.unique(patients[support])) < len(support) for support in episodes),
        "tested": len(set(clinic.test.patients)) < len(clinic.test),
    }
    if any(sides.values()):
        where = " and ".join(side for side, several in sides.items() if several)
        said.append(
            f"several photographs of a patient are {where}, which are not independent: coverage varies more than the "
            "number of photographs says; see also the coverage by patient"
        )
    if data.test_on or data.train_clinics != data.test_clinics:
        said.append("the test rows are of another clinic than the drawn ones, so nothing is guaranteed")
    if data.corruption is not None:
        said.append("the test photographs are spoilt and the drawn ones are not, so nothing is guaranteed")
    return [f"{NOTE}{clinic.name}: {each}" for each in said]
