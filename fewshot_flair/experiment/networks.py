"""What a study says of fine-tuned networks: methods, places on their paths, soups, and how they are trained."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from fewshot_flair.experiment.spec import MethodSpec
from fewshot_flair.finetuning.settings import TuningSettings
from fewshot_flair.strict import Strict
from fewshot_flair.words import nearest

__all__ = ["Networks"]

Place = Annotated[float, Field(ge=0, le=1)]


class Networks(Strict):
    """Entries of a study that are of fine-tuned networks.

    Attributes
    ----------
    methods : list of MethodSpec
        Methods of fine-tuning, whose networks are measured as adapters are; in the file as `adapters`, with ``wise``
        and ``soup`` as further parameters. A training is made once, whatever it is tested on.
    alphas : list of float
        Places on WiSE-FT's path from the start (0) to the fine-tuned network (1) that are measured of each method
        that names none.
    soup : bool
        Measure the mean of the seeds' networks of each method, too.
    tuning : TuningSettings
        How long and how networks are trained.
    save_networks : bool
        Save each network as a folder for `load_encoder` and its head for `load_adapter` (see `save_tuned`).
    """

    methods: list[MethodSpec] = Field(default=[])
    alphas: list[Place] = Field(default=[1.0], min_length=1)
    soup: bool = False
    tuning: TuningSettings = TuningSettings()
    save_networks: bool = False

    @field_validator("methods", mode="before")
    @classmethod
    def _methods(cls, value: Any) -> Any:
        return [MethodSpec.from_entry(item) for item in value] if isinstance(value, list) else value

    @field_validator("tuning", mode="before")
    @classmethod
    def _tuning(cls, value: Any) -> Any:
        known = [each.name for each in fields(TuningSettings)]
        for name in value if isinstance(value, dict) else ():
            if name not in known:
                raise ValueError(
                    f"no setting {name!r}; {nearest(name, known) or 'there are ' + ', '.join(known)}"
                )
        return value

    @field_validator("alphas")
    @classmethod
    def _in_order(cls, value: list[float]) -> list[float]:
        return sorted(value)

    @model_validator(mode="after")
    def _of_methods(self) -> Networks:
        entries = ("alphas", "soup", "save_networks")
        changed = [name for name in entries if getattr(self, name) != type(self).model_fields[name].default]
        if changed and not self.methods:
            raise ValueError(
                f"{', '.join(changed)}: of fine-tuned networks, and there are no methods; name some"
            )
        return self

    @property
    def networks(self) -> list[MethodSpec]:
        """Each method at each place on its path, and its soup."""
        found = []
        for method in self.methods:
            places = [method]
            if method.wise is None and not method.soup:
                places = [replace(method, wise=alpha) for alpha in self.alphas]
                places += [replace(method, soup=True)] if self.soup else []
            found += places
        return found
