"""The test photographs that a run's adapter is most wrong about, with a small map of where it looked."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fewshot_flair.errors import FewshotFlairError
from fewshot_flair.experiment.encoding import Encoding
from fewshot_flair.experiment.results import RunRecord
from fewshot_flair.experiment.sources import FEATURES
from fewshot_flair.experiment.steps import Steps
from fewshot_flair.files import as_given, read_known
from fewshot_flair.models.map_thumbnails import small_maps
from fewshot_flair.models.run import SavedModel
from fewshot_flair.report.thumbnails import SIDE
from fewshot_flair.words import agreeing, counted

__all__ = ["Mistake", "Mistakes", "worst_mistakes"]

MOST = 8


@dataclass(frozen=True)
class Mistake:
    """A test photograph with a wrong answer.

    Attributes
    ----------
    path : Path or None
        The photograph; None where it is not where the run found it.
    probability, of_label : float
        Calibrated probability of the answer, and of the class that it is labelled with.
    looked : bytes
        JPEG picture of what spoke for the answer; empty where there is none.
    """

    image: str
    label: str
    predicted: str
    probability: float
    of_label: float
    path: Path | None
    looked: bytes = b""


@dataclass(frozen=True)
class Mistakes:
    """The worst ones, and how many there are.

    Attributes
    ----------
    shown : list of Mistake
    wrong, tested : int
        Test photographs with a wrong answer, and all.
    graded : bool
        Whether the worst are those that are most grades away, then the surest; else the surest.
    said : str
        What a reader must know of the pictures.
    """

    adapter: str
    shown: list[Mistake] = field(default_factory=list)
    wrong: int = 0
    tested: int = 0
    graded: bool = False
    said: str = ""


def worst_mistakes(
    run: str | Path, how: Encoding | None = None, *, most: int = MOST, steps: Steps | None = None
) -> Mistakes | None:
    """The worst answers of a run's own choice on its test rows.

    None where the run keeps no adapter, or was made of features without photographs.

    Parameters
    ----------
    how : Encoding, optional
        Where local features are kept, and the device; those of the shown photographs are computed once.
    most : int
        Photographs to show.
    steps : Steps, optional
        Told how far it is.

    Raises
    ------
    MissingFileError, InputError
        If the run's table of test predictions is gone or damaged.
    """
    run, how = Path(run), how or Encoding()
    if not RunRecord.read(run).saved:
        return None
    model = SavedModel.open(run)
    record = model.origin.record
    assert record is not None
    if model.choice.asked == FEATURES:
        return None
    table = _predictions(run, model.origin.label, record.digests)
    found = _ordered(table, model)
    wrong = found.head(most)
    files = model.origin.test_files(model.data, set(wrong["image"]))
    paths = {i: files[image] for i, image in enumerate(wrong["image"]) if image in files}
    columns = {i: model.classes.index(name) for i, name in enumerate(wrong["predicted"])}
    looked, said = _maps(model, paths, columns, how, steps or Steps())
    if missing := len(wrong) - len(paths):
        which = agreeing(missing, "it", "them")
        said += f" {counted(missing, 'photograph', 'is', 'are')} not where the run found {which}."
    shown = [
        Mistake(
            str(row["image"]),
            str(row["label"]),
            str(row["predicted"]),
            float(row[f"probability_{row['predicted']}"]),
            float(row[f"probability_{row['label']}"]),
            paths.get(i),
            looked.get(i, b""),
        )
        for i, row in enumerate(wrong.to_dict("records"))
    ]
    return Mistakes(model.name, shown, len(found), len(table), _graded(model), said.strip())


def _maps(
    model: SavedModel, paths: Mapping[int, Path], columns: Mapping[int, int], how: Encoding, steps: Steps
) -> tuple[dict[int, bytes], str]:
    """Maps by place; none, and why, where the encoder is not at hand any more."""
    if not paths:
        return {}, ""
    try:
        loaded = model.encoder_now(None, None, how)
    except (FewshotFlairError, OSError) as error:
        return {}, f"There are no maps, as the encoder is not at hand: {error}."
    return small_maps(model, loaded, paths, columns, how, side=SIDE, steps=steps)


def _predictions(run: Path, label: str, digests: Mapping[str, str]) -> pd.DataFrame:
    texts = ["image", "label", "adapter", "predicted"]
    content = read_known(run / "test_predictions.csv", digests.get("test_predictions.csv", ""))
    table = pd.read_csv(io.BytesIO(content), dtype=dict.fromkeys(texts, str), keep_default_na=False)
    table[texts] = table[texts].map(as_given)
    return table[table["adapter"] == label]


def _graded(model: SavedModel) -> bool:
    return model.decision is not None and model.decision.patients == "worst"


def _ordered(table: pd.DataFrame, model: SavedModel) -> pd.DataFrame:
    """Wrong answers: those that are most grades away first, then the surest."""
    wrong = table[table["label"] != table["predicted"]]
    place = {name: i for i, name in enumerate(model.classes)}
    rows = wrong.to_dict("records")
    away = [abs(place[row["label"]] - place[row["predicted"]]) for row in rows]
    sure = [row[f"probability_{row['predicted']}"] for row in rows]
    keys = pd.DataFrame({"away": away if _graded(model) else 0, "sure": sure}, index=wrong.index)
    return wrong.loc[keys.sort_values(["away", "sure"], ascending=False, kind="stable").index]
