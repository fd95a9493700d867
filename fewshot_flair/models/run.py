"""A run's adapter for use: with the encoder it was fitted with, and what it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fewshot_flair.adapters.base import softmax
from fewshot_flair.encoders import list_encoders
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import EncoderChoice
from fewshot_flair.experiment.clinic import kind_at_hand
from fewshot_flair.experiment.decisions import check_prevalence
from fewshot_flair.experiment.encoding import opened
from fewshot_flair.experiment.provenance import EncoderMade
from fewshot_flair.experiment.sources import FEATURES, holds_features
from fewshot_flair.models.answers import add_columns
from fewshot_flair.models.decision import Decision, calibrated
from fewshot_flair.models.kept import read_sets, read_training_rows
from fewshot_flair.models.origin import Origin
from fewshot_flair.models.photographs import Photographs
from fewshot_flair.models.predictions import Predictions, predict_table, with_notes
from fewshot_flair.models.storage import load_adapter
from fewshot_flair.report.wording import MINI

if TYPE_CHECKING:
    from fewshot_flair.adapters import Adapter
    from fewshot_flair.bank import FeatureBank
    from fewshot_flair.conformal import Conformal
    from fewshot_flair.encoders.base import Encoder
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.images.quality.assessment import Quality
    from fewshot_flair.models.training import TrainingRows

__all__ = ["SavedModel"]

NOBODYS = (
    "--patients: nobody says whose the photographs are; instead of files give a table with the columns image and "
    "patient_id"
)


@dataclass(frozen=True)
class SavedModel:
    """A saved adapter and what is kept with it.

    Attributes
    ----------
    name : str
        Its folder's name.
    made_by : EncoderMade
        The encoder of the features that it was fitted on.
    choice : EncoderChoice
        How that encoder is loaded.
    decision : Decision or None
        Calibration, operating point and referral; None where it was saved without.
    sets : Conformal or None
        Sets of the fits of its cross-validation; None where there were no folds.
    rows : TrainingRows or None
        What it was fitted on; None where that does not lie beside it.
    origin : Origin
        Where it lies.
    """

    name: str
    adapter: Adapter
    made_by: EncoderMade
    choice: EncoderChoice
    training_images: int
    data: str
    decision: Decision | None
    sets: Conformal | None
    rows: TrainingRows | None
    origin: Origin

    @classmethod
    def open(cls, run: Path, name: str | None = None) -> SavedModel:
        """Open a run's adapter (by default the run's own choice), or the folder of one.

        Raises
        ------
        MissingFileError, InputError
            If there is no finished run, or no such adapter in it, or a file is damaged.
        """
        origin = Origin.find(run, name)
        folder = origin.folder
        adapter, extra = load_adapter(folder)
        try:
            made = dict(extra["encoder"])
            choice = EncoderChoice.model_validate(made.pop("load"))
            encoder = EncoderMade.model_validate(made)
            images, data = int(extra["training_images"]), str(extra["data"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{folder} was not saved by a run, which records the encoder with it ({error!r:.200}); give a run's "
                "folder"
            ) from error
        kept = extra.get("decision")
        decision = None if kept is None else Decision.of(kept, folder / "adapter.json")
        sets = read_sets(adapter, extra.get("sets"), folder)
        rows = read_training_rows(extra.get("training_rows"), folder)
        return cls(folder.name, adapter, encoder, choice, images, data, decision, sets, rows, origin)

    @cached_property
    def trained_on(self) -> frozenset[str]:
        """Keys (digests) of the photographs that it was fitted on; empty where the run is not at hand."""
        return self.origin.trained_on

    def predict(
        self,
        given: Sequence[Path],
        how: Encoding,
        *,
        encoder: str | None = None,
        text_encoder: str | None = None,
        prevalence: Mapping[str, float] | Literal["estimate"] | None = None,
        by_patient: bool = False,
        listing: Mapping[str, Any] = MappingProxyType({}),
        steps: Any = None,
    ) -> Predictions:
        """Classify photographs (files, or folders of them), or rows of files of features.

        Parameters
        ----------
        encoder, text_encoder : str, optional
            Where the encoder is now, if it has moved.
        prevalence : optional
            Of the place of use, as `calibrated` takes it; "estimate" is by file for files of features.
        by_patient : bool
            Refuse photographs of whom nobody says whose they are.
        listing : mapping
            How tables among `given` are read, as `Manifest.read` takes it.
        steps : optional
            Shows how far the encoding is (see `experiment.steps.Steps`).
        """
        if prevalence is not None and self.decision is None:
            raise InputError("--prevalence: this adapter was saved without its calibration; run adapt again")
        prevalence = check_prevalence(prevalence, self.classes)
        brought = [path for path in given if holds_features(path)]
        if 0 < len(brought) < len(given):
            raise InputError(
                f"{brought[0]} holds features and others are photographs; give one kind at a time"
            )
        if by_patient and brought:
            raise InputError(NOBODYS)
        if brought:
            return Predictions(self._of_features(given, how, prevalence), [], {})
        from fewshot_flair.bank.qualities import assess_files

        photographs = Photographs.found(given, listing)
        if by_patient and not any(photographs.patients):
            raise InputError(NOBODYS)
        names = dict(zip(map(str, photographs.paths), photographs.images, strict=True))
        loaded = self.encoder_now(encoder, text_encoder, how)
        tiles = self.choice.tiles if self.adapter.features == "local" else None
        source, bank = opened(loaded, how, tiles)
        with steps.extraction(loaded.name) as progress:
            done = how.filled(list(names), source, bank, skip_bad=True, progress=progress)
        readable = [path for path in names if path in done.keys]
        keys = [done.keys[path] for path in readable]
        steps.doing("the quality of the photographs")
        quality = assess_files([Path(path) for path in readable], how.cache, workers=how.workers)
        of = dict(zip(names, photographs.patients, strict=True))
        table, plain = self._answers(
            [names[path] for path in readable],
            self._features(bank, keys),
            prevalence,
            quality=quality,
            patients=[of[path] for path in readable],
        )
        notes = ["was among the training photographs" if key in self.trained_on else "" for key in keys]
        skipped = [*(replace(row, image=names[row.image]) for row in done.skipped), *photographs.skipped]
        whose = [*(of[row.image] for row in done.skipped), *[""] * len(photographs.skipped)]
        table = with_notes(table, notes, skipped, photographs.passed_over, whose)
        paths = [*map(Path, readable), *[None] * (len(table) - len(readable))]
        return Predictions(table, skipped, photographs.passed_over, paths, plain)

    def told(self, *, moved: bool = False) -> list[str]:
        """What a reader of its answers must know, in sentences; `moved`: to a prevalence."""
        said = [f"adapter {self.name}, fitted on {self.training_images} training images of {self.data}"]
        operating = self.decision.operating if self.decision else None
        if operating is not None:
            said.append(
                f"Positive is {', '.join(operating.positive)} together, from {100 * operating.threshold:.1f} % on. "
                "Every positive photograph is referred; one that is answered is not positive, and its class is the "
                "likeliest."
            )
        if moved:
            said.append(
                "Probabilities are moved to the prevalence; decisions and sets are made without it, as their "
                "thresholds were chosen."
            )
        if self.made_by.name == "mini":
            said.append(MINI)
        return said

    @property
    def classes(self) -> list[str]:
        """Names of the columns; grades in their order."""
        return [str(name) for name in self.adapter.columns_]

    def _answers(
        self,
        images: Sequence[str],
        features: NDArray[np.float32],
        prevalence: Mapping[str, float] | Literal["estimate"] | None,
        *,
        quality: Sequence[Quality | str] | None = None,
        patients: Sequence[str] | None = None,
    ) -> tuple[pd.DataFrame, NDArray[np.float64] | None]:
        """The table, and the calibrated probabilities without a prevalence, where there is a calibration."""
        logits = self.adapter.logits(features) if len(images) else np.empty((0, len(self.classes)))
        plain = None if self.decision is None else calibrated(self.decision, logits)
        shown = softmax(logits) if plain is None else plain
        if self.decision is not None and prevalence is not None:
            shown = calibrated(self.decision, logits, prevalence)
        table = add_columns(
            predict_table(self.classes, images, shown),
            features,
            plain,
            self.decision,
            sets=self.sets,
            rows=self.rows,
            quality=quality,
            patients=[""] * len(images) if patients is None else patients,
            local=self.adapter.features == "local",
        )
        return table, plain

    def _of_features(
        self,
        files: Sequence[Path],
        how: Encoding,
        prevalence: Mapping[str, float] | Literal["estimate"] | None,
    ) -> pd.DataFrame:
        from fewshot_flair.bank.imports import import_features
        from fewshot_flair.experiment.imported import made_by, row_names

        tables = []
        for path in files:
            found = import_features(path, how.cache, text=self.adapter.text)
            source = made_by(found)
            if source.fingerprint_id != self.made_by.fingerprint_id:
                raise InputError(
                    f"{path.name} holds features of another model than this adapter was fitted on "
                    f"({self.made_by.name}): {self._difference(source.fingerprint)}"
                )
            features = self._features(found.bank, found.keys)
            table, _ = self._answers(row_names(path, found), features, prevalence)
            notes = ["was among the training rows" if key in self.trained_on else "" for key in found.keys]
            tables.append(with_notes(table, notes))
        return pd.concat(tables, ignore_index=True)

    def _features(self, bank: FeatureBank, keys: Sequence[str]) -> NDArray[np.float32]:
        return bank.read(keys, kind_at_hand(self.adapter.features, bank.feature_dims))

    def _difference(self, fingerprint: Mapping[str, Any]) -> str:
        from fewshot_flair.bank.source import differences

        return differences(self.made_by.fingerprint, fingerprint)

    def encoder_now(self, name: str | None, text: str | None, how: Encoding) -> Encoder:
        """Load the run's encoder; refuse another, whose features the adapter would misread."""
        asked = self.choice.asked
        if asked == FEATURES:
            raise InputError(
                "this adapter was fitted on features that came without their model; give it an .npz of the new "
                "photographs' features instead of photographs"
            )
        known = [about.name for about in list_encoders()]
        if name in known and asked in known and name != asked:
            raise InputError(
                f"this adapter was fitted with the encoder {asked!r}; leave --encoder {name} out"
            )
        moved = {"load": name or asked, "text_encoder": text or self.choice.text_encoder}
        loaded = how.encoder(self.choice.model_copy(update=moved))
        if loaded.fingerprint_id != self.made_by.fingerprint_id:
            raise InputError(
                f"encoder {name or asked!r} is not the one this adapter was fitted with "
                f"({self.made_by.name}, fingerprint {self.made_by.fingerprint_id[:12]}; this one has "
                f"{loaded.fingerprint_id[:12]}): {self._difference(loaded.fingerprint)}; give the same weights, "
                "preparation and precision with --encoder, or adapt again"
            )
        return loaded
