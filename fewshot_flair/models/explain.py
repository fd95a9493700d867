"""``explain``: a map for each photograph of where a saved adapter looked, as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.adapters.base import softmax
from fewshot_flair.errors import FewshotFlairError, InputError
from fewshot_flair.files import replace_file, write_table
from fewshot_flair.images.tiles import Tiles
from fewshot_flair.models.decision import calibrated
from fewshot_flair.models.explaining import Explainer, Seen
from fewshot_flair.models.map_names import map_names, slug
from fewshot_flair.models.photographs import Photographs
from fewshot_flair.words import nearest

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.data import SkippedRow
    from fewshot_flair.encoders.base import Encoder
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.models.run import SavedModel

__all__ = ["Asked", "Explained", "check_folder", "explain"]

TABLE = "explain.csv"
COLUMNS = ["image", "map", "shown", "what"]


@dataclass(frozen=True)
class Asked:
    """What is to be shown, and how.

    Attributes
    ----------
    class_name : str, optional
        A class; by default the predicted one of each photograph.
    queries : sequence of str
        Texts, each with a map of its own.
    tiles, method : str
        See `Explainer`.
    check : bool
        Compare each class's map with plain occlusion.
    """

    class_name: str | None = None
    queries: Sequence[str] = ()
    tiles: str = "3x3"
    method: str = "auto"
    check: bool = False


@dataclass(frozen=True)
class Explained:
    """What `explain` wrote.

    Attributes
    ----------
    table : DataFrame
        A row a map: ``image``, ``map`` (the name of its files), ``shown`` (a class or a text), ``what`` (class or
        query), ``predicted``, ``probability``, ``low``, ``high`` (values of grey levels 1 and 65,535), ``method``,
        ``tiles``, ``agreement`` (correlation with plain occlusion), ``path``, ``note``.
    skipped, passed_over
        As in `Predictions`.
    said : list of str
        What a user should know.
    """

    table: pd.DataFrame
    skipped: Sequence[SkippedRow]
    passed_over: Mapping[str, int]
    said: list[str]


def explain(
    model: SavedModel,
    given: Sequence[Path],
    out: Path,
    asked: Asked,
    how: Encoding,
    *,
    encoder: str | None = None,
    listing: Mapping[str, Any] = MappingProxyType({}),
    steps: Any = None,
) -> Explained:
    """Write ``STEM.png`` (16-bit grey levels) and ``STEM_overlay.jpg`` for each photograph, and ``explain.csv``.

    A text's map has the text in its name: ``STEM_small-red-dots.png``. Maps of an earlier call in the same folder
    stay; those of the same photograph are replaced, and no other's.

    Parameters
    ----------
    encoder : str, optional
        Where the encoder is now, if it has moved.
    listing : mapping
        How tables of photographs are read (see `Photographs.found`).
    steps : optional
        Shows how far it is (see `experiment.steps.Steps`).

    Raises
    ------
    MissingFileError, InputError
        If no photograph is there, the class is none of the adapter's, a text is asked for and the encoder reads none,
        or the folder holds something else.
    """
    import pandas as pd

    check_folder(out)
    column = None if asked.class_name is None else _column(model, asked.class_name)
    loaded = model.encoder_now(encoder, None, how)
    explainer = Explainer(model, loaded, how, Tiles.parse(asked.tiles), asked.method)
    texts, said = _texts(asked.queries, loaded)
    if explainer.is_local and str(explainer.tiles) != asked.tiles:
        said.append(f"adapter {model.name} sees {explainer.tiles} tiles, and so do its maps")
    photographs = Photographs.found(given, listing)
    names = dict(zip(map(str, photographs.paths), photographs.images, strict=True))
    skipped = [*photographs.skipped]
    paths = list(names)
    if explainer.method == "cells":
        with steps.extraction(loaded.name) as progress:
            done = explainer.encode(paths, progress)
        refused = {row.image for row in done.skipped}
        skipped += done.skipped
        paths = [path for path in paths if path not in refused]
    if len(texts):
        with steps.extraction(loaded.name) as progress:
            explainer.encode_for_queries(paths, progress)
    earlier = _earlier(out)
    mine = {str(Path(path).resolve()) for path in paths}
    others = earlier[~earlier["path"].isin(mine)]
    endings = ["", *(f"_{slug(text)}" for text in asked.queries)]
    bases = map_names([Path(path) for path in paths], endings, others["map"])
    renamed = [(base, path) for base, path in zip(bases, paths, strict=True) if base != Path(path).stem]
    if renamed:
        base, path = renamed[0]
        said.append(
            f"{len(renamed)} photographs have the stem of another: the maps of {path} are {base}.png, and so on"
        )
    rows: list[dict[str, Any]] = []
    out.mkdir(parents=True, exist_ok=True)
    for number, (path, base) in enumerate(zip(paths, bases, strict=True), start=1):
        steps.doing(f"maps, photograph {number} of {len(paths)}")
        try:
            seen = explainer.see(path)
        except (FewshotFlairError, OSError) as error:
            if explainer.method == "cells":  # it could be read a moment ago
                raise
            from fewshot_flair.bank.work import failure_reason
            from fewshot_flair.data import SkippedRow

            skipped.append(SkippedRow(0, path, failure_reason(error, path)))
            continue
        rows += _written(explainer, seen, out, base, path, names[path], column, asked, texts)
    made = pd.DataFrame([*rows, *_left_out(skipped, names)])
    table = pd.concat([others, made], ignore_index=True)
    write_table(table, out / TABLE, "%.6g")
    return Explained(made, skipped, photographs.passed_over, said)


def _written(
    explainer: Explainer,
    seen: Seen,
    out: Path,
    base: str,
    path: str,
    image: str,
    column: int | None,
    asked: Asked,
    texts: NDArray[np.float32],
) -> list[dict[str, Any]]:
    """Write a photograph's maps; a row of the table for each."""
    model = explainer.model
    plain = seen.logits[None] if model.decision is None else None
    p = softmax(plain)[0] if plain is not None else calibrated(model.decision, seen.logits[None])[0]  # type: ignore[arg-type]
    best = int(p.argmax())
    shown = best if column is None else column
    values = seen.map_of(shown)
    common = {
        "image": image,
        "predicted": model.classes[best],
        "probability": float(p[best]),
        "path": str(Path(path).resolve()),
        "note": "",
    }
    cells = explainer.method == "cells"
    tiles = str(explainer.tiles) if cells else ""
    agreement = explainer.agreement(path, shown, values) if asked.check and cells else float("nan")
    first = {"shown": model.classes[shown], "what": "class", "method": explainer.method, "tiles": tiles}
    rows = [common | first | {"agreement": agreement} | _pictures(out, base, seen.rgb, values, 0.0)]
    maps = explainer.queried(path, texts) if len(texts) else []
    for text, each in zip(asked.queries, maps, strict=True):
        told = {"shown": text, "what": "query", "method": "cells", "tiles": str(explainer.tiles)}
        middle = float(np.nanmedian(each))
        name = f"{base}_{slug(text)}"
        rows.append(
            common | told | {"agreement": float("nan")} | _pictures(out, name, seen.rgb, each, middle)
        )
    return rows


def _pictures(
    out: Path, name: str, rgb: NDArray[np.uint8], values: NDArray[np.float32], base: float
) -> dict[str, Any]:
    from fewshot_flair.maps.pictures import grey_levels, jpeg, overlay, png, strength

    levels, low, high = grey_levels(values)
    replace_file(out / f"{name}.png", [png(levels)])
    replace_file(out / f"{name}_overlay.jpg", [jpeg(overlay(rgb, strength(values, base)))])
    return {"map": name, "low": low, "high": high}


def _column(model: SavedModel, name: str) -> int:
    if name not in model.classes:
        hint = nearest(name, model.classes)
        raise InputError(
            f"--class {name!r} is no class of this adapter{'; ' * bool(hint)}{hint}; it has "
            f"{', '.join(model.classes)}"
        )
    return model.classes.index(name)


def _texts(queries: Sequence[str], encoder: Encoder) -> tuple[NDArray[np.float32], list[str]]:
    """Embeddings of the texts, in the encoder's template, and what it does not read of them."""
    from fewshot_flair.text.knowledge import prompts

    if not queries:
        return np.empty((0, 0), np.float32), []
    if len({slug(text) for text in queries}) < len(queries) or not all(text.strip() for text in queries):
        raise InputError("--query: texts must not be empty, and their files need different names")
    if not encoder.has_text or not encoder.local_map or encoder.engine != "torch":
        raise InputError(
            f"--query needs an encoder with a text tower and local features, run by torch; {encoder.name} is none"
        )
    lines = [prompts([text], encoder.template)[0] for text in queries]
    unread = encoder.unread(lines)
    said = [f"of the texts, {encoder.name} does not read: {'; '.join(unread)}"] if unread else []
    # each by itself, as an embedding may depend on the longest text beside it
    return np.concatenate([encoder.encode_texts([line]) for line in lines]), said


def check_folder(out: Path) -> None:
    """Raise where `out` is no folder, or holds something other than earlier maps."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: this is a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not _is_table(out / TABLE):
        raise InputError(
            f"--out {out}: the folder is not empty and holds no earlier maps; give a new or an empty one"
        )


def _is_table(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as lines:
        return set(COLUMNS) <= set(lines.readline(10_000).strip().split(","))


def _earlier(out: Path) -> pd.DataFrame:
    """Rows of maps that an earlier call left; without those of photographs that could not be read."""
    import pandas as pd

    if not (out / TABLE).is_file():
        return pd.DataFrame(columns=[*COLUMNS, "path"]).astype(str)
    table = pd.read_csv(out / TABLE, keep_default_na=False, na_values={"agreement": [""], "low": [""]})
    return table[table["map"].astype(str) != ""].astype({"map": str, "path": str})


def _left_out(skipped: Sequence[SkippedRow], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"image": names.get(row.image, row.image), "map": "", "note": row.reason} for row in skipped]
