"""What a study varies: read from TOML, checked before anything is computed."""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fewshot_flair import __version__
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.code import code_digest
from fewshot_flair.experiment.scoring import AdapterSpec

CELL_FORMAT = 2
"""Raised with whatever a cell's file holds, so that cells of another make are not taken for ours."""

__all__ = ["Cell", "DataSet", "EncoderChoice", "Study", "data_name"]

Prior = Literal["none", "known", "estimated"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSet(_Strict):
    """One data set of a study; ``manifest = "demo"`` is the embedded demo clinic."""

    name: str
    manifest: str
    images: str | None = None
    test_on: str | None = None
    test_images: str | None = None
    classes: list[str] | None = None
    ordered: bool = False
    image_column: str = "image"
    label_column: str = "label"
    patient_column: str = "patient_id"
    encoding: str | None = None
    skip_bad: bool = False
    other_patients: bool = False
    train_clinics: list[str] | None = None
    test_clinics: list[str] | None = None
    source: str | None = None
    licence: str | None = None


class EncoderChoice(_Strict):
    """One encoder of a study; ``load`` is what `load_encoder` takes (default: the name)."""

    name: str
    load: str | None = None
    text_encoder: str | None = None
    precision: str | None = None
    fast: bool = False


class Study(_Strict):
    """A grid over data sets, encoders, prompts, scenarios, shots, adapters, and how labels are given.

    Attributes
    ----------
    seeds : list of int
        Support sets are drawn for each; a number n in the file means 0 … n − 1.
    scenarios : list of str or dict
        Names, or tables such as ``{kind = "dirichlet", concentration = 10}``.
    adapters : list of AdapterSpec
        In the file ``"name"``, ``"name:parameter=value"`` or ``{name = ..., parameter = ...}``; the
        string ``"all"`` stands for every adapter that needs neither unlabelled images nor the text
        tower while it fits.
    prompts : list of str
        ``"expert"`` (the dictionary's descriptions), ``"names"`` (class names alone) or a TOML file of
        ``"class" = ["description", ...]``.
    prior : list
        Correction of the test prevalence: ``"none"``, ``"known"`` (the test set's own prevalence) or
        ``"estimated"`` (from unlabelled test images, by expectation maximisation).
    label_noise : list of float
        Share of support labels that are replaced by another class, drawn with the episode's seed.
    unlabelled_per_class : int
        Times C: unlabelled training images an episode, for the adapters that use them.
    published : str, optional
        JSON file of published numbers to print beside the measured ones.
    folder, text
        Where the file lies and what it says; set by `read`.
    """

    name: str
    question: str
    data: list[DataSet] = Field(min_length=1)
    encoders: list[EncoderChoice] = Field(default=[EncoderChoice(name="mini")], min_length=1)
    adapters: list[AdapterSpec] = Field(min_length=1)
    shots: list[int] = Field(default=[1, 2, 4, 8, 16], min_length=1)
    scenarios: list[str | dict[str, Any]] = Field(default=["standard"], min_length=1)
    seeds: list[int] = Field(default=list(range(20)), min_length=1)
    protocol: str = "fewshot-flair"
    unit: Literal["image", "patient"] = "image"
    allow_fewer: bool = True
    prompts: list[str] = Field(default=["expert"], min_length=1)
    prior: list[Prior] = Field(default=["none"], min_length=1)
    label_noise: list[float] = Field(default=[0.0], min_length=1)
    unlabelled_per_class: int = Field(default=0, ge=0)
    published: str | None = None
    folder: Path = Path()
    text: str = ""

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
        return list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value

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
            from fewshot_flair.adapters import list_adapters

            infos = [a for a in list_adapters() if not (a.uses_unlabeled or a.needs_tower)]
            return [AdapterSpec(about.name) for about in infos]
        if not isinstance(value, list):
            return value
        return [_adapter(item) for item in value]

    @field_validator("shots", "seeds")
    @classmethod
    def _no_repeats(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError("a value is there twice")
        return sorted(value)

    @field_validator("seeds")
    @classmethod
    def _not_negative(cls, value: list[int]) -> list[int]:
        if value[0] < 0:
            raise ValueError("seeds are not negative")
        return value

    @field_validator("shots")
    @classmethod
    def _positive(cls, value: list[int]) -> list[int]:
        if value[0] < 1:
            raise ValueError("shots are at least 1; zero-shot is an adapter")
        return value

    @field_validator("label_noise")
    @classmethod
    def _rates(cls, value: list[float]) -> list[float]:
        if not all(0 <= rate < 1 for rate in value):
            raise ValueError("a rate of label noise is at least 0 and below 1")
        return value

    @model_validator(mode="after")
    def _names_differ(self) -> Study:
        names = {
            "data": [data.name for data in self.data],
            "encoders": [encoder.name for encoder in self.encoders],
            "adapters": [spec.label for spec in self.adapters],
            "scenarios": [scenario_label(scenario) for scenario in self.scenarios],
            "prompts": [Path(name).stem for name in self.prompts],
        }
        for what, found in names.items():
            twice = [name for name in found if found.count(name) > 1]
            if twice:
                raise ValueError(f"{what}: {twice[0]!r} is there twice; names must differ")
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
        path = Path(path)
        if not path.is_file():
            raise MissingFileError(f"no study file {path}; give a TOML file (see recipes/)")
        try:
            text = path.read_text(encoding="utf-8")
            entries = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not TOML: {error}") from error
        return cls.from_dict(entries | {"folder": path.resolve().parent, "text": text}, str(path))

    @classmethod
    def from_dict(cls, entries: dict[str, Any], where: str = "study") -> Study:
        """Check entries as a TOML file would hold them; InputError names every one that is wrong."""
        try:
            return cls(**entries)
        except ValidationError as error:
            lines = [
                f"{'.'.join(str(part) for part in found['loc']) or 'study'}: {found['msg']}"
                for found in error.errors()
            ]
            raise InputError(f"{where}: " + "; ".join(lines)) from error

    def changed(
        self,
        *,
        on: Sequence[str] = (),
        encoders: Sequence[str] = (),
        adapters: Sequence[str] = (),
        shots: Sequence[int] = (),
        seeds: int | None = None,
        ordered: bool = False,
        table: Mapping[str, Any] | None = None,
    ) -> Study:
        """The same study on other data, or a cut of it; what is empty stays.

        Parameters
        ----------
        on : sequence of str
            Manifests (relative to where one is, not to the study's file), or "demo".
        ordered : bool
            State that the classes of all data sets are grades in their order.
        table : mapping, optional
            Further entries of `DataSet` for the manifests of `on`: classes, encoding, names of columns.
        """
        entries = self.model_dump()
        if on:
            places = [(m, m if m == "demo" else str(Path(m).resolve())) for m in on]
            names = [data_name(m) for m in on]
            names = [m if names.count(name) > 1 else name for m, name in zip(on, names, strict=True)]
            entries["data"] = [
                {**(table or {}), "name": name, "manifest": place}
                for name, (_, place) in zip(names, places, strict=True)
            ]
        if ordered:
            entries["data"] = [dict(data) | {"ordered": True} for data in entries["data"]]
        if encoders:
            entries["encoders"] = [{"name": name} for name in encoders]
        if adapters:
            entries["adapters"] = list(adapters)
        if shots:
            entries["shots"] = list(shots)
        if seeds is not None:
            entries["seeds"] = seeds
        return type(self).from_dict(entries)

    def cells(self) -> Iterator[Cell]:
        """Every combination, data set by data set, adapters innermost."""
        grid = itertools.product(
            self.data, self.encoders, self.prompts, self.scenarios, self.label_noise, self.shots,
            self.adapters, self.prior,
        )  # fmt: skip
        for combination in grid:
            yield Cell(*combination)

    def common(self) -> dict[str, Any]:
        """What all cells share and their results depend on."""
        return {
            "seeds": self.seeds,
            "protocol": self.protocol,
            "unit": self.unit,
            "allow_fewer": self.allow_fewer,
            "unlabelled_per_class": self.unlabelled_per_class,
        }


@dataclass(frozen=True)
class Cell:
    """One combination of a study: all its seeds are computed at once."""

    data: DataSet
    encoder: EncoderChoice
    prompts: str
    scenario: str | dict[str, Any]
    label_noise: float
    shots: int
    adapter: AdapterSpec
    prior: Prior

    def key(self, common: dict[str, Any], fingerprints: Sequence[str]) -> str:
        """Digest of everything its results depend on: 16 hex digits, the name of its file."""
        parts = {
            "made_by": [CELL_FORMAT, __version__, code_digest(self.adapter.name)],
            "common": common,
            "fingerprints": list(fingerprints),
            "clinics": [self.data.train_clinics, self.data.test_clinics],
            "prompts": self.prompts,
            "scenario": self.scenario,
            "label_noise": self.label_noise,
            "shots": self.shots,
            "adapter": [self.adapter.name, self.adapter.params],
            "names": self.names,
            "prior": self.prior,
        }
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def names(self) -> dict[str, Any]:
        """The columns that tell this cell's rows from others'."""
        return {
            "data": self.data.name,
            "encoder": self.encoder.name,
            "prompts": Path(self.prompts).stem if self.prompts not in ("expert", "names") else self.prompts,
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


def data_name(manifest: str) -> str:
    """What a data set is called: its file, or its folder where the file is just the manifest."""
    if manifest == "demo":
        return "demo clinic"
    path = Path(manifest).resolve()
    return path.parent.name if path.stem in ("manifest", "labels", "data") else path.stem


def _adapter(item: Any) -> Any:
    if isinstance(item, str):
        return AdapterSpec.parse(item)
    if isinstance(item, dict) and set(item) == {"name", "params"}:
        return AdapterSpec(item["name"], item["params"])
    if isinstance(item, dict) and isinstance(item.get("name"), str):
        # TOML has no null
        given = {key: None if value == "None" else value for key, value in item.items() if key != "name"}
        return AdapterSpec(item["name"], given)
    return item
