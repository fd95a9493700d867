"""Maps of where a saved adapter looked, photograph by photograph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.local import LocalBank, LocalView
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.clinic import kind_at_hand
from fewshot_flair.images.tiles import Tiles, View, view
from fewshot_flair.maps.cells import class_scores, local_class_scores, text_scores
from fewshot_flair.maps.grid import on_photograph
from fewshot_flair.maps.occlusion import PLACES, occlusion_scores

if TYPE_CHECKING:
    from fewshot_flair.bank import Extraction
    from fewshot_flair.encoders.base import Encoder
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.models.run import SavedModel

__all__ = ["METHODS", "Explainer", "Seen"]

METHODS = ("auto", "cells", "occlusion")


@dataclass(frozen=True, eq=False)
class Seen:
    """One photograph's scores, before they are laid over it.

    Attributes
    ----------
    rgb : uint8 array of shape (H, W, 3)
    logits : array of shape (C,)
    scores : float64 array of shape (tiles, h, w, C)
    where : View
    """

    rgb: NDArray[np.uint8]
    logits: NDArray[np.float64]
    scores: NDArray[np.float64]
    where: View

    def map_of(self, column: int) -> NDArray[np.float32]:
        """The map of a class, (H, W), in logits; NaN where the encoder does not see the photograph."""
        return on_photograph(self.scores[..., column], self.where)


@dataclass
class Explainer:
    """Makes maps for a saved adapter.

    Parameters
    ----------
    model : SavedModel
    encoder : Encoder
        The one that it was fitted with.
    how : Encoding
    tiles : Tiles
        Of the cells' method; an adapter of local features has those that it was fitted on.
    method : {"auto", "cells", "occlusion"}
        "auto" is cells where the encoder gives local features, else occlusion.
    places : int
        Patches a side of plain occlusion: so many squared passes of the encoder.
    """

    model: SavedModel
    encoder: Encoder
    how: Encoding
    tiles: Tiles
    method: str = "auto"
    places: int = PLACES
    _banks: dict[str, tuple[LocalBank, dict[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method {self.method!r} is not one of {', '.join(METHODS)}")
        if self.method == "auto":
            self.method = (
                "cells" if self.encoder.local_map and self.encoder.engine == "torch" else "occlusion"
            )
        if self.is_local:
            self.tiles = Tiles.parse(self.model.choice.tiles)

    @property
    def is_local(self) -> bool:
        """Whether the adapter sees the cells themselves."""
        return self.model.adapter.features == "local"

    @cached_property
    def kind(self) -> str:
        """In whose space the cells are: that of the adapter's features."""
        if self.is_local:
            return LocalView(self.encoder).space
        return kind_at_hand(self.model.adapter.features, self.encoder.feature_dims)

    def encode(self, paths: Sequence[str], progress: Callable[[Any], None] | None = None) -> Extraction:
        """Encode what the banks of local features lack; what cannot be read is in the result's ``skipped``."""
        return self._encoded(self.kind, paths, progress)

    def _encoded(
        self, space: str, paths: Sequence[str], progress: Callable[[Any], None] | None = None
    ) -> Extraction:
        source = LocalView(self.encoder, self.tiles, space)
        bank = LocalBank.of(self.how.cache, source)
        done = self.how.filled(list(paths), source, bank, skip_bad=True, progress=progress)
        self._banks[space] = bank, done.keys
        return done

    def see(self, path: str) -> Seen:
        """Scores of one photograph that `encode` was given (occlusion encodes it here, many times)."""
        if self.method == "occlusion":
            return self.occluded(path)
        where, rgb = self._view(path)
        row, cells = self._cells(path, self.kind)
        logits = self.model.adapter.logits
        if self.is_local:
            scores = local_class_scores(logits, row, cells.shape[1])
            answer = logits(row[None])[0]
        else:
            feature = row[: cells.shape[1]]
            scores = class_scores(logits, feature, cells, unit=self.kind == "embedding")
            answer = logits(feature[None])[0]
        return Seen(rgb, answer, self._tiled(scores), where)

    def occluded(self, path: str) -> Seen:
        """Scores by plain occlusion: a few hundred passes of the encoder."""
        if self.is_local and self.tiles.number > 1:
            raise InputError(
                f"adapter {self.model.name} sees tiles, and occlusion covers parts of the whole; leave it out"
            )
        where, canvases, rgb = view(path, self.encoder.preparation, Tiles())
        scores = occlusion_scores(self._logits_of_canvases, canvases[0], self.places)
        return Seen(rgb, self._logits_of_canvases(canvases)[0], scores[None], where)

    def agreement(self, path: str, column: int, found: NDArray[np.float32]) -> float:
        """Correlation of a class's map with that of plain occlusion, over the photograph's field."""
        other = self.occluded(path).map_of(column)
        both = np.isfinite(found) & np.isfinite(other)
        first, second = found[both], other[both]
        return float(np.corrcoef(first, second)[0, 1]) if first.std() > 0 < second.std() else float("nan")

    def queried(self, path: str, texts: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Maps of texts, (H, W) each: what each place adds to the photograph's cosine with the text."""
        where, _ = self._view(path)
        _, cells = self._cells(path, "embedding")
        scores = self._tiled(text_scores(cells, texts))
        return [on_photograph(scores[..., i], where) for i in range(len(texts))]

    def encode_for_queries(self, paths: Sequence[str], progress: Callable[[Any], None] | None = None) -> None:
        """Encode what `queried` needs, where the adapter's own cells are of another space."""
        if "embedding" not in self._banks:
            self._encoded("embedding", paths, progress)

    def _cells(self, path: str, space: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        bank, keys = self._banks[space]
        row = bank.read([keys[path]], "local")[0]
        width = bank.feature_dims[space]
        return row, row[width:].reshape(-1, width)

    def _tiled(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        side = math.isqrt(len(scores) // self.tiles.number)
        return scores.reshape(self.tiles.number, side, side, scores.shape[1])

    def _view(self, path: str) -> tuple[View, NDArray[np.uint8]]:
        where, _, rgb = view(path, self.encoder.preparation, self.tiles, canvases=False)
        return where, rgb

    def _logits_of_canvases(self, canvases: NDArray[np.float32]) -> NDArray:
        if self.is_local:
            found = LocalView(self.encoder).encode_prepared(canvases)
            whole, cells = getattr(found, self.kind), found.local
            assert cells is not None
            rows = np.concatenate([whole, cells.reshape(len(cells), -1)], axis=1)
        else:
            rows = getattr(self.encoder.encode_prepared(canvases), self.kind)
        return self.model.adapter.logits(rows)
