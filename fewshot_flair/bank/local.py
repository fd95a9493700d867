"""Local features in a bank of their own: the map before pooling in half precision, beside the photograph's features."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.bank import RECENT_ROWS, FeatureBank, bank_folder
from fewshot_flair.bank.keys import Keys
from fewshot_flair.bank.pipeline import Run
from fewshot_flair.bank.source import fingerprint_id, read_description
from fewshot_flair.encoders.base import Encoder, ImageFeatures
from fewshot_flair.encoders.changed import ChangedEncoder
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.images.decoding import ImageLike
from fewshot_flair.images.tiles import OVERLAP, Tiles, view

if TYPE_CHECKING:
    from fewshot_flair.images.preparation import ImagePreparation

__all__ = ["LocalBank", "LocalRun", "LocalView"]


class LocalView:
    """An encoder seen as what makes local features: the source of a `LocalBank`, and what `extract` runs.

    Parameters
    ----------
    encoder : Encoder
    tiles : Tiles
        1 × 1 for the map of the canvas, else the maps of the tiles instead of it.
    space : {"embedding", "backbone"}, optional
        Whose map is kept; by default that of the embedding, where there is one.

    Raises
    ------
    InputError
        If the encoder gives no local features, or not in that space.
    """

    def __init__(self, encoder: Encoder, tiles: Tiles | None = None, space: str | None = None) -> None:
        self.encoder, self.tiles = encoder, tiles or Tiles()
        self.space = space or ("embedding" if encoder.has_text else "backbone")
        if not encoder.local_map:
            raise InputError(f"encoder {encoder.name!r} gives no local features (docs/local.md)")
        if self.space not in encoder.feature_dims:
            raise InputError(
                f"encoder {encoder.name!r} has no {self.space}; it has {', '.join(encoder.feature_dims)}"
            )
        if self.tiles.number > 1 and isinstance(encoder, ChangedEncoder):
            raise InputError(
                f"tiles {self.tiles} are of photographs as they are, and not of spoilt ones; take tiles 1x1"
            )
        self.name, self.device = f"{encoder.name}-local", encoder.device

    @property
    def preparation(self) -> ImagePreparation:
        """The encoder's."""
        return self.encoder.preparation

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The encoder's, and what decides the maps."""
        tiled = {"tiles": str(self.tiles), "overlap": OVERLAP} if self.tiles.number > 1 else {}
        return {**self.encoder.fingerprint, "local": {"space": self.space, **tiled}}

    @property
    def fingerprint_id(self) -> str:
        """Hex sha256 of the fingerprint's canonical JSON."""
        return fingerprint_id(self.fingerprint)

    @cached_property
    def feature_dims(self) -> dict[str, int]:
        """Widths of the photograph's features, and of all its cells together (``local``); one pass to know it."""
        blank = np.zeros((1, 3, self.preparation.image_size, self.preparation.image_size), np.float32)
        cells = self._map(self.encoder.encode_with_map(blank))[0].size * self.tiles.number
        return {**self.encoder.feature_dims, "local": cells}

    def prepare(self, image: ImageLike) -> NDArray[np.float32]:
        """The canvases of a photograph side by side, float32 [3, S, canvases · S]; safe in threads."""
        if self.tiles.number == 1:
            return self.encoder.prepare(image)
        _, canvases, _ = view(image, self.preparation, self.tiles)
        return np.concatenate(canvases, axis=2)

    def encode_prepared(self, batch: NDArray[np.float32]) -> ImageFeatures:
        """Features of the whole photographs, and ``local`` of shape (B, canvases · h, w, D) in this view's space."""
        side = batch.shape[2]
        parts = np.split(batch, batch.shape[3] // side, axis=3)
        found = [self.encoder.encode_with_map(np.ascontiguousarray(part)) for part in parts]
        maps = [self._map(each) for each in (found[1:] or found)]
        return ImageFeatures(found[0].backbone, found[0].embedding, np.concatenate(maps, axis=1))

    def _map(self, found: ImageFeatures) -> NDArray[np.float32]:
        local = found.local if self.space == "backbone" else found.local_embedding
        assert local is not None
        return local


class LocalBank(FeatureBank):
    """A bank that keeps local features too; opened with `LocalBank.of`.

    ``read(keys, "local")`` gives each photograph's global feature first and then its cells, in one row: float32 of
    shape (n, (1 + cells) · D). The cells lie in half precision on the disk.
    """

    @classmethod
    def of(cls, cache: str | Path | None, made: LocalView) -> LocalBank:
        """Open the bank of an encoder's local features in a cache folder, or make it."""
        try:  # the widths are known from an earlier time: nothing is loaded to ask for them
            there = read_description(bank_folder(cache, made))
            if there.fingerprint_id == made.fingerprint_id:
                made.__dict__.setdefault("feature_dims", dict(there.feature_dims))
        except (InputError, MissingFileError):
            pass
        bank = cls.open(cache, made)
        assert isinstance(bank, cls)
        return bank

    @property
    def space(self) -> str:
        """Whose map the cells are of: "embedding" or "backbone"."""
        return str(self.source.fingerprint["local"]["space"])

    @property
    def cells(self) -> int:
        """Cells of a photograph."""
        return self.feature_dims["local"] // self.feature_dims[self.space]

    def read(self, keys: Keys, column: str) -> NDArray[np.float32]:
        """As `FeatureBank.read`; rows of "local" begin with the global feature."""
        if column != "local":
            return super().read(keys, column)
        return np.concatenate([super().read(keys, self.space), super().read(keys, "local")], axis=1)

    def told(self) -> str:
        """How large a photograph's local features are, in words."""
        each, n = 2 * self.feature_dims["local"], len(self)
        return (
            f"local features: {self.cells} cells of {self.feature_dims[self.space]} numbers ({self.space}) in half "
            f"precision, {each / 1e6:.3g} MB a photograph, {n * each / 1e6:.3g} MB for {n}"
        )


class LocalRun(Run):
    """A run whose one pass gives local and global features; at its end the encoder's own bank gets the global ones.

    They are copied from the local bank, so that what a killed run left out is made up for by the next one.
    """

    def __init__(self, encoder: LocalView, bank: FeatureBank, *settings: Any) -> None:
        super().__init__(encoder, bank, *settings)  # type: ignore[arg-type]
        self.whole = encoder.encoder

    def close(self) -> None:
        """Let the threads end, and leave both banks tidy."""
        super().close()
        if self.bank.folder.parent.name != "banks":  # a bank by itself has none beside it
            return
        cache = self.bank.folder.parent.parent
        if not self._appended and not (bank_folder(cache, self.whole) / "bank.json").is_file():
            return  # a cache that may only be read is left as it is
        beside, keys = FeatureBank.open(cache, self.whole), list(self.result.keys.values())
        absent = set(self.bank.missing(keys))
        lacking = [key for key in beside.missing(keys) if key not in absent]
        for start in range(0, len(lacking), RECENT_ROWS):
            part = lacking[start : start + RECENT_ROWS]
            beside.append(part, **{kind: self.bank.read(part, kind) for kind in beside.feature_dims})
