"""What a study varies: read from TOML or made of a command's options, checked before anything is computed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fewshot_flair.experiment.choices import (
    FLAIR_2025,
    DataSet,
    DecisionChoice,
    EncoderChoice,
    Short,
    TestSide,
    data_name,
)
from fewshot_flair.experiment.grid import ALL_SHOTS, Cell, scenario_label
from fewshot_flair.experiment.networks import Networks
from fewshot_flair.experiment.sets import SetSpec
from fewshot_flair.experiment.spec import AdapterSpec, frozen_adapters
from fewshot_flair.strict import check_names_differ

__all__ = ["Study"]

MOST_CELLS = 100_000
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Shots = Annotated[int, Field(ge=1, le=ALL_SHOTS)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Study(Networks):
    """A grid over data sets, encoders, prompts, scenarios, shots, adapters, and how labels are given.

    `Networks` has the entries of fine-tuned networks.

    Attributes
    ----------
    shots : list of int
        Shots a class; ``"all"`` takes every training image (``ALL_SHOTS``).
    folds : int, optional
        Sides are made anew of all labelled rows, so many times, each row tested once: no patient and no photograph is
        parted. ``protocol = "flair-2025"`` makes the five folds of FLAIR's tables instead.
    feature_augmentation, test_augmentation : int
        Augmented copies of each photograph that adapters are fitted on instead of it, and over whose logits test
        answers are averaged (FLAIR's ``fta`` and ``tta`` take 20); 0 for none.
    seeds : list of int
        Support sets are drawn for each; a number n in the file means 0 … n − 1.
    scenarios : list of str or dict
        Names, or tables such as ``{kind = "dirichlet", concentration = 10}``.
    adapters : list of AdapterSpec
        In the file ``"name"``, ``"name:parameter=value"`` or ``{name = ..., parameter = ...}``; the
        string ``"all"`` stands for every adapter that needs neither unlabelled images nor local features nor the
        text tower while it fits.
    tests : list of str
        Further test sides of every data set: manifests, ``"demo"``, or corruptions of its own test photographs, as
        ``"blur:3"``. The training side is the same (see `DataSet.tested_on`), and so are classes and names of columns.
    allow_fewer : bool
        Take what there is where a class has fewer images than shots, instead of an error.
    prompts : list of str
        ``"expert"`` (the dictionary's descriptions), ``"names"`` (class names alone) or a TOML or JSON file (see
        `read_prompts`).
    prior : list
        Correction of the test prevalence: ``"none"``, ``"known"`` (the test set's own prevalence) or
        ``"estimated"`` (from unlabelled test images, by expectation maximisation).
    label_noise : list of float
        Share of support labels that are replaced by another class, drawn with the episode's seed.
    unlabelled : int, optional
        Images without labels an episode, for the adapters that use them: from the pool, or where there is
        none from the training images that the support set leaves. By default the whole pool, or none.
    calibrate : bool
        Measure Brier score and ECE after a temperature too (see `evaluate_adapter`), in the columns
        ``brier_score_calibrated`` and ``expected_calibration_error_calibrated``.
    conformal : list of SetSpec
        Conformal sets to measure in every cell, on the same draws; in the file ``[[conformal]]`` tables with
        ``method``, ``score``, ``alpha``, further parameters of `create_conformal`, and ``adapters``, the only ones
        that they are measured with; or strings such as ``"full:lac:0.1"``.
    save : bool
        Fit every adapter on all training rows too, test it, choose one for `predict`, and keep them all.
    decision : DecisionChoice
        What is made of the saved adapters' probabilities: calibration, operating point, referral.
    published : str, optional
        JSON file of published numbers to print beside the measured ones.
    folder, text
        Where the file lies and what it says; set by `read`.
    """

    name: Short
    question: str = ""
    data: list[DataSet] = Field(min_length=1)
    encoders: list[EncoderChoice] = Field(default=[EncoderChoice(name="mini")], min_length=1)
    tests: list[str] = Field(default=[], max_length=1000)
    adapters: list[AdapterSpec] = Field(default=[])
    shots: list[Shots] = Field(default=[1, 2, 4, 8, 16], min_length=1)
    scenarios: list[str | dict[str, Any]] = Field(default=["standard"], min_length=1)
    seeds: list[Seed] = Field(default=list(range(20)), min_length=1, max_length=100_000)
    protocol: str = "fewshot-flair"
    folds: int | None = Field(default=None, ge=2, le=100)
    feature_augmentation: int = Field(default=0, ge=0, le=1000)
    test_augmentation: int = Field(default=0, ge=0, le=1000)
    unit: Literal["image", "patient"] = "image"
    allow_fewer: bool = False
    prompts: list[str] = Field(default=["expert"], min_length=1)
    prior: list[Literal["none", "known", "estimated"]] = Field(default=["none"], min_length=1)
    label_noise: list[Share] = Field(default=[0.0], min_length=1)
    unlabelled: int | None = Field(default=None, ge=0)
    calibrate: bool = False
    conformal: list[SetSpec] = Field(default=[], max_length=1000)
    save: bool = False
    decision: DecisionChoice = DecisionChoice()
    published: str | None = None
    folder: Path = Path()
    text: str = ""

    @model_validator(mode="before")
    @classmethod
    def _folds_of_the_protocol(cls, entries: Any) -> Any:
        if isinstance(entries, dict) and entries.get("protocol") == FLAIR_2025:
            if entries.get("folds") not in (None, 5):
                raise ValueError(
                    f"protocol {FLAIR_2025} has five folds, not {entries['folds']}; leave folds out"
                )
            return {"shots": ["all"], "seeds": 1, "folds": 5} | entries
        return entries

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, value: str) -> str:
        from fewshot_flair.episodes.sampler import PROTOCOLS

        if value not in (*PROTOCOLS, FLAIR_2025):
            raise ValueError(
                f"no sampling protocol {value!r}; there are {', '.join((*PROTOCOLS, FLAIR_2025))}"
            )
        return value

    @field_validator("shots", mode="before")
    @classmethod
    def _all_shots(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if words := [each for each in value if isinstance(each, str) and each != "all"]:
            raise ValueError(f'{words[0]!r} is no number of shots; give whole numbers, or "all"')
        return [ALL_SHOTS if each == "all" else each for each in value]

    @model_validator(mode="before")
    @classmethod
    def _features_need_no_encoder(cls, entries: Any) -> Any:
        if isinstance(entries, dict) and "encoders" not in entries and isinstance(entries.get("data"), list):
            manifests = [data.get("manifest") for data in entries["data"] if isinstance(data, dict)]
            if manifests and all(isinstance(m, str) and m.lower().endswith(".npz") for m in manifests):
                return entries | {"encoders": ["features"]}
        return entries

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if value > 100_000:
                raise ValueError(f"{value:,} support sets are too many; give at most 100,000")
            return list(range(value))
        return value

    @field_validator("encoders", mode="before")
    @classmethod
    def _encoders(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]

    @field_validator("adapters", mode="before")
    @classmethod
    def _adapters(cls, value: Any) -> Any:
        if value == "all":
            return frozen_adapters(["all"])
        return [AdapterSpec.from_entry(item) for item in value] if isinstance(value, list) else value

    @field_validator("conformal", mode="before")
    @classmethod
    def _conformal(cls, value: Any) -> Any:
        return [SetSpec.from_entry(item) for item in value] if isinstance(value, list) else value

    @field_validator("shots", "seeds")
    @classmethod
    def _no_repeats(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError("a value is there twice")
        return sorted(value)

    @model_validator(mode="after")
    def _names_differ(self) -> Study:
        if not self.fits:
            raise ValueError("adapters: there is none, and no method either; name one or more of either kind")
        names = {
            "data": [data.name for data in self.data],
            **{
                f"tests of {data.name}": [s.test for s in self.sides if s.home == data.name]
                for data in self.data
            },
            "encoders": [encoder.name for encoder in self.encoders],
            "adapters": [spec.label for spec in self.adapters],
            "methods": [spec.label for spec in self.methods],
            "adapters and networks": [spec.label for spec in self.fits],
            "scenarios": [scenario_label(scenario) for scenario in self.scenarios],
            "prompts": [Path(name).stem for name in self.prompts],
        }
        check_names_differ(names)
        for where in self.tests:
            if all(self._is_home(where, data) for data in self.data):
                raise ValueError(
                    f"tests: {where} is the data set itself, which is tested on anyway; leave it out"
                )
        if len(self.seeds) < 2 and any(spec.soup for spec in self.networks):
            raise ValueError(
                "soup: it is the mean of the networks of several seeds, and there is one; give two or more"
            )
        if (n := sum(1 for _ in itertools.islice(self.cells(), MOST_CELLS + 1))) > MOST_CELLS:
            raise ValueError(f"this grid has more than {n - 1:,} cells; make several studies of it")
        return self

    @classmethod
    def read(cls, path: str | Path) -> Study:
        """Read a TOML file; paths in it are relative to it.

        Raises
        ------
        MissingFileError
            If there is no such file.
        InputError
            If it is not TOML, or an entry is unknown, missing or out of range; all are named.
        """
        return cls._read(Path(path), f"no study file {path}; give a TOML file (see recipes/)")

    def changed(
        self,
        *,
        on: Sequence[str] = (),
        encoders: Sequence[str] = (),
        adapters: Sequence[str] = (),
        shots: Sequence[int] = (),
        seeds: int | None = None,
        prompts: Sequence[str] = (),
        table: Mapping[str, Any] | None = None,
    ) -> Study:
        """The same study on other data, or a cut of it; what is empty stays.

        Parameters
        ----------
        on : sequence of str
            Manifests (relative to where one is, not to the study's file), or "demo".
        prompts : sequence of str
            As `Study.prompts`; files are relative to where one is.
        table : mapping, optional
            Further entries of `DataSet` for the manifests of `on`: classes, encoding, names of columns;
            ``ordered`` is for all data sets.
        """
        entries = self.model_dump()
        table = dict(table or {})
        if on:
            names = [data_name(m) for m in on]
            names = [m if names.count(name) > 1 else name for m, name in zip(on, names, strict=True)]
            entries["data"] = [
                {**table, "name": name, "manifest": m if m == "demo" else str(Path(m).resolve())}
                for name, m in zip(names, on, strict=True)
            ]
        elif table.get("ordered"):
            entries["data"] = [dict(data) | {"ordered": True} for data in entries["data"]]
        if encoders:
            entries["encoders"] = [{"name": name} for name in encoders]
        if adapters:
            entries["adapters"] = list(adapters)
        if shots:
            entries["shots"] = list(shots)
        if seeds is not None:
            entries["seeds"] = seeds
        if prompts:
            # where one is a file, and not the study's
            entries["prompts"] = [p if p in ("expert", "names") else str(Path(p).resolve()) for p in prompts]
        return type(self).from_dict(entries)

    @property
    def sides(self) -> list[TestSide]:
        """Each data set, followed by its further test sides; a data set is no further test side of itself."""
        found = []
        for data in self.data:
            found.append(TestSide(data, data.name, data.name))
            found += [data.tested_on(where) for where in self.tests if not self._is_home(where, data)]
        return found

    def _is_home(self, where: str, data: DataSet) -> bool:
        return (self.folder / where).resolve() == (self.folder / data.manifest).resolve()

    @property
    def fits(self) -> list[AdapterSpec]:
        """What is fitted: adapters, then each method at each place on its path, and its soup."""
        return [*self.adapters, *self.networks]

    def cells(self) -> Iterator[Cell]:
        """Every combination, data set by data set, adapters innermost."""
        grid = itertools.product(
            self.sides, [encoder.name for encoder in self.encoders], self.prompts,
            self.scenarios, self.label_noise, self.shots, self.fits, self.prior,
        )  # fmt: skip
        for combination in grid:
            yield Cell(*combination)

    def unlabelled_on(self, data: DataSet) -> int | None:
        """Images without labels that an episode on a data set gets; None: the whole pool."""
        return self.unlabelled if data.unlabelled is None else data.unlabelled
