"""Small maps for pages: where the adapter looked, for each photograph's predicted class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fewshot_flair.images.tiles import Tiles
from fewshot_flair.models.explaining import Explainer

if TYPE_CHECKING:
    from fewshot_flair.encoders.base import Encoder
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.models.predictions import Predictions
    from fewshot_flair.models.run import SavedModel

__all__ = ["map_thumbnails", "small_maps"]

TILES = Tiles(2, 2)
"""A page must come quickly: five passes a photograph, where `explain` takes ten."""
MOST_MAPS = 200
"""So many photographs of a page have one, the first."""


def map_thumbnails(
    model: SavedModel,
    found: Predictions,
    how: Encoding,
    rows: Sequence[int],
    *,
    side: int,
    encoder: str | None = None,
    text_encoder: str | None = None,
    steps: Any = None,
) -> tuple[dict[int, bytes], str]:
    """JPEG pictures of maps by row of the table, at most `side` pixels large, and a sentence on them.

    Parameters
    ----------
    rows : sequence of int
        Those that are shown on the page, in its order; the first 200 photographs with an answer get maps.
    encoder, text_encoder : str, optional
        Where the encoder is now, if it has moved.
    """
    answered: dict[int, Path] = {i: path for i in rows if (path := _shown(found, i)) is not None}
    paths = dict(list(answered.items())[:MOST_MAPS])
    if not paths:
        return {}, ""
    columns = {i: model.classes.index(str(found.table["predicted"][i])) for i in paths}
    loaded = model.encoder_now(encoder, text_encoder, how)
    made, said = small_maps(model, loaded, paths, columns, how, side=side, steps=steps)
    few = "" if len(paths) == len(answered) else f" Only the first {len(paths)} photographs have one."
    return made, said + few * bool(made)


def small_maps(
    model: SavedModel,
    encoder: Encoder,
    paths: Mapping[int, Path],
    columns: Mapping[int, int],
    how: Encoding,
    *,
    side: int,
    steps: Any,
) -> tuple[dict[int, bytes], str]:
    """JPEG pictures of the maps of one class each, by the keys of `paths` and `columns`, and a sentence on them."""
    from fewshot_flair.maps.grid import on_photograph
    from fewshot_flair.maps.pictures import jpeg, overlay, strength

    if not encoder.local_map or encoder.engine != "torch":
        return {}, f"There are no maps: encoder {encoder.name} gives no local features here (see explain)."
    explainer = Explainer(model, encoder, how, TILES, "cells")
    with steps.extraction(f"{encoder.name}, maps") as progress:
        done = explainer.encode([str(path) for path in paths.values()], progress)
    made = {}
    for i, path in paths.items():
        if str(path) not in done.keys:
            continue
        seen = explainer.see(str(path))
        picture = Image.fromarray(seen.rgb)
        picture.thumbnail((side, side))
        small = np.asarray(picture)
        values = on_photograph(seen.scores[..., columns[i]], seen.where.at(small.shape[0], small.shape[1]))
        made[i] = jpeg(overlay(small, strength(values)), 80)
    return made, (
        f"The second picture of a photograph shows what spoke for its predicted class ({explainer.tiles} tiles); a map "
        "shows what moved the answer, not that there is a lesion. The command explain gives maps at full size."
    )


def _shown(found: Predictions, i: int) -> Path | None:
    predicted = found.table["predicted"][i]
    return found.paths[i] if i < len(found.paths) and isinstance(predicted, str) else None
