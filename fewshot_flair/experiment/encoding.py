"""Where and how photographs are encoded, and the encoders of a study."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import DataSet, EncoderChoice
from fewshot_flair.experiment.sources import FEATURES, holds_features
from fewshot_flair.images.corruptions.base import corruption_of

if TYPE_CHECKING:
    from fewshot_flair.bank import Extraction, FeatureBank
    from fewshot_flair.bank.local import LocalView
    from fewshot_flair.data import Manifest
    from fewshot_flair.encoders.base import Encoder

__all__ = ["Encoding", "check_choice", "opened"]


@dataclass(frozen=True)
class Encoding:
    """Where and how photographs are encoded, which changes no result.

    Attributes
    ----------
    cache : Path, optional
        Folder of the feature banks.
    batch_size, workers : int, optional
        Images a forward pass, threads that prepare images.
    train_copies, test_copies : int
        Augmented copies of the training and of the test photographs that are encoded too.
    """

    cache: Path | None = None
    device: str = "cpu"
    batch_size: int | None = None
    workers: int | None = None
    train_copies: int = 0
    test_copies: int = 0
    loaded: dict[tuple[Hashable, str | None], Encoder] = field(default_factory=dict, compare=False)

    def encoder(self, choice: EncoderChoice) -> Encoder:
        """The encoder of a choice, loaded once."""
        from fewshot_flair.encoders import load_encoder

        key = choice.loading, None
        if key not in self.loaded:
            self.loaded[key] = load_encoder(
                choice.asked,
                text_encoder=choice.text_encoder,
                device=self.device,
                precision=choice.precision,
                engine=choice.engine,
                fast=choice.fast,
            )
        return self.loaded[key]

    def testing(self, data: DataSet, choice: EncoderChoice) -> Encoder:
        """The encoder of a data set's test photographs, which may spoil them first."""
        from fewshot_flair.encoders.corrupted import CorruptedEncoder

        encoder, spoilt = self.encoder(choice), data.corruption
        key = choice.loading, spoilt
        if spoilt is not None and key not in self.loaded:
            self.loaded[key] = CorruptedEncoder(encoder, corruption_of(spoilt))
        return self.loaded[key]

    def filled(
        self,
        images: Manifest | Sequence[Manifest] | list[str],
        encoder: Encoder | LocalView,
        bank: FeatureBank,
        *,
        skip_bad: bool,
        progress: Any = None,
    ) -> Extraction:
        """Encode what a bank lacks of photographs, as `bank.extract` does, by these settings."""
        from fewshot_flair.bank import extract

        return extract(
            images,
            encoder,
            bank,
            batch_size=self.batch_size,
            workers=self.workers,
            progress=progress,
            skip_bad=skip_bad,
        )


def opened(
    encoder: Encoder, how: Encoding, tiles: str | None = None
) -> tuple[Encoder | LocalView, FeatureBank]:
    """What `extract` runs, and its bank: an encoder's own, or with `tiles` that of its local features."""
    from fewshot_flair.bank import FeatureBank
    from fewshot_flair.bank.local import LocalBank, LocalView
    from fewshot_flair.images.tiles import Tiles

    if tiles is None:
        return encoder, FeatureBank.open(how.cache, encoder)
    view = LocalView(encoder, Tiles.parse(tiles))
    return view, LocalBank.of(how.cache, view)


def check_choice(data: DataSet, choice: EncoderChoice) -> None:
    """Raise where an encoder is named for features that were brought, or none for photographs."""
    brought = holds_features(data.manifest)
    if brought and choice.asked != FEATURES:
        raise InputError(
            f"data set {data.name}: {data.manifest} holds features already, so no encoder {choice.asked!r} is "
            f'needed; write {FEATURES} instead (--encoder {FEATURES}; in a study, {{name = ..., load = "{FEATURES}"}})'
        )
    if not brought and choice.asked == FEATURES:
        raise InputError(
            f"data set {data.name}: {data.manifest} holds photographs, which an encoder must encode; "
            f"{FEATURES!r} goes with .npz files of features, and one study has one kind of data"
        )
