"""A saved adapter with its encoder as one ONNX graph, checked against our own logits, and its card."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.keys import image_key
from fewshot_flair.encoders.base import check_engine
from fewshot_flair.encoders.tower import TowerEncoder
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.clinic import kind_at_hand
from fewshot_flair.experiment.encoding import Encoding
from fewshot_flair.files import digest_of, json_bytes, read_json, replace_file
from fewshot_flair.images.wording import preparation_steps
from fewshot_flair.models.card import card_files
from fewshot_flair.models.photographs import find_photographs
from fewshot_flair.models.run import SavedModel
from fewshot_flair.models.storage import adapter_digest
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.encoders.base import Encoder
    from fewshot_flair.models.origin import Origin

__all__ = ["ALLOWED", "Exported", "export_model"]

FORMAT = "fewshot-flair onnx 1"
RECORD = "model.json"
ALLOWED, ROUNDING = 1e-4, 3e-6
"""How far a logit may be from ours, and how far for each unit of its row's largest, where that is more: float32 has
no more digits, and logits such as gda's reach thousands."""
CHECKED = 8
"""Photographs of the run that a graph is checked on, where none are given."""


@dataclass(frozen=True)
class Exported:
    """What `export_model` wrote.

    Attributes
    ----------
    folder : Path
        With ``model.onnx``, ``model.json``, ``card.html`` and ``card.json``.
    model : str
        The adapter's name.
    photographs : int
        On which the graph was checked.
    difference, largest_logit : float
        The largest difference between its logits and ours, and the largest of ours.
    """

    folder: Path
    model: str
    photographs: int
    difference: float
    largest_logit: float


def export_model(
    run: str | Path,
    out: str | Path | None = None,
    *,
    adapter: str | None = None,
    encoder: str | None = None,
    photographs: Sequence[str | Path] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a run's adapter and its encoder's image tower as one ONNX graph, with a model card.

    The graph takes ``image``, float32 (batch, 3, S, S) as ``model.json`` says it is prepared, and gives ``logits``,
    float32 (batch, C) in the order of the classes, and ``feature``, what the adapter looked at.

    Parameters
    ----------
    run : path
        Folder of a run, or of one adapter in it.
    out : path, optional
        Folder to write to; by default ``RUN/export/ADAPTER``. An earlier export there is replaced.
    adapter : str, optional
        One of the run's; by default its own choice.
    encoder : str, optional
        Where the encoder is now, if it has moved.
    photographs : sequence of path, optional
        Files or folders to check the graph on; by default some of the run's test photographs.
    progress : callable
        Told what is being done.

    Raises
    ------
    MissingFileError, InputError
        If there is no such run, an extra is missing, the encoder or the adapter cannot be written as a graph, or
        the graph's logits differ from ours by more than 1e-4, and 3e-6 of the row's largest; nothing is left then.
    """
    check_engine("onnxruntime", "float32", "cpu")
    model = SavedModel.open(Path(run), adapter)
    if model.adapter.features == "local":
        raise InputError(
            f"adapter {model.name} takes local features, of which no graph is written yet; export an adapter of the "
            "global feature (--adapter NAME)"
        )
    origin = model.origin
    folder = Path(out) if out is not None else origin.run / "export" / model.name
    _check_out(folder)
    loaded = model.encoder_now(encoder, None, Encoding())
    if not isinstance(loaded, TowerEncoder):
        raise InputError(
            f"encoder {loaded.name} is no TowerEncoder: its image tower is not at hand for a graph"
        )
    if loaded.precision != "float32":
        raise InputError(
            f"this adapter was fitted on features computed in {loaded.precision}, and the graph is of float32; adapt "
            "with --precision float32 and export that"
        )
    if photographs:
        files = find_photographs([Path(path) for path in photographs])[0]
    else:
        files = origin.photographs(model.data, CHECKED)
    if not files:
        raise InputError(
            f"none of the test photographs of {model.data} is where it was when {origin.run} was made, to check the "
            "graph on; give some: fewshot-flair export RUN PHOTOGRAPHS"
        )
    with tempfile.TemporaryDirectory(dir=_made(folder.parent), prefix=".tmp-export-") as scratch:
        graph = Path(scratch) / "model.onnx"
        progress("the graph")
        _write(model, loaded, graph)
        progress("the check")
        checked = _check(model, loaded, graph, files)
        described = _described(model, loaded) | {"check": checked}
        described["digests"] = _digests(origin, loaded, Path(scratch))
        contents = card_files(origin, model, described)
        _made(folder)
        (folder / RECORD).unlink(missing_ok=True)  # without which it is no export
        for path in Path(scratch).iterdir():
            path.replace(folder / path.name)
        for name, content in (contents | {RECORD: json_bytes(described)}).items():
            replace_file(folder / name, [content])
    return Exported(
        folder, model.name, checked["photographs"], checked["largest_difference"], checked["largest_logit"]
    )


def _write(model: SavedModel, encoder: TowerEncoder, path: Path) -> None:
    from fewshot_flair.encoders.graphs import write_graph
    from fewshot_flair.models.classifier import Classifier

    head, place = model.adapter.head_, list(encoder.feature_dims).index(_kind(model, encoder))
    network = Classifier(encoder, place, head)
    try:
        write_graph(network, encoder.preparation.image_size, path, ["logits", "feature"], "onnx")
    except InputError as error:
        raise InputError(
            f"adapter {model.name} ({type(head).__name__}) with encoder {encoder.name}: {error}"
        ) from error


def _check(model: SavedModel, encoder: Encoder, path: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Compare the graph with our own logits on prepared photographs; InputError where they differ."""
    from fewshot_flair.encoders.graphs import open_graph

    run, kind = open_graph(path, "onnxruntime"), _kind(model, encoder)
    largest, size, worst, feature_difference = 0.0, 0.0, 0.0, 0.0
    for start in range(0, len(files), 3):  # batches of several sizes, as the last has the rest
        batch = np.stack([encoder.prepare(file) for file in files[start : start + 3]])
        features: NDArray[np.float32] = getattr(encoder.encode_prepared(batch), kind)
        ours = model.adapter.logits(features)
        logits, feature = run(batch)
        apart = np.abs(logits - ours)
        largest, size = max(largest, float(apart.max())), max(size, float(np.abs(ours).max()))
        bound = np.maximum(ALLOWED, ROUNDING * np.abs(ours).max(axis=1, keepdims=True))
        worst = max(worst, float((apart / bound).max()))
        apart = np.abs(feature - features).max(axis=1) / np.abs(features).max(axis=1)
        feature_difference = max(feature_difference, float(apart.max()))
    if not worst <= 1:  # not a number is no agreement
        raise InputError(
            f"adapter {model.name}: logits of the graph differ from ours by up to {largest:.3g} on "
            f"{counted(len(files), 'photograph')}, where {ALLOWED:g} (or {ROUNDING:g} of the row's largest logit) is "
            "allowed; nothing was written"
        )
    return {
        "photographs": len(files),
        "by": "onnxruntime",
        "largest_difference": largest,
        "largest_logit": size,
        "largest_difference_of_features": feature_difference,
        "allowed": f"{ALLOWED:g}, or {ROUNDING:g} of the row's largest logit where that is more",
    }


def _described(model: SavedModel, encoder: Encoder) -> dict[str, Any]:
    """What a program must know to use the graph."""
    decision = model.decision.model_dump() if model.decision else None
    size, kind = encoder.preparation.image_size, _kind(model, encoder)
    classes = [str(name) for name in model.adapter.columns_]
    calibration = {name: (decision or {}).get(name) for name in ("temperature", "bias")}
    formula = "logits" if calibration["temperature"] is None else "logits / temperature"
    return {
        "format": FORMAT,
        "input": {
            "name": "image",
            "dtype": "float32",
            "shape": ["batch", 3, size, size],
            "channels": encoder.preparation.channels,
        },
        "outputs": {
            "logits": {"shape": ["batch", len(classes)], "columns": classes},
            "feature": {"shape": ["batch", encoder.feature_dims[kind]], "kind": kind},
        },
        "classes": classes,
        "probabilities": f"softmax({formula}{' + bias' if calibration['bias'] else ''}) along the classes",
        **calibration,
        "decision": decision,
        "preparation": {
            "steps": preparation_steps(encoder.preparation),
            "settings": encoder.preparation.to_dict(),
        },
    }


def _digests(origin: Origin, encoder: Encoder, written: Path) -> dict[str, str]:
    """Hex sha256 of what the graph is made from, and of its files."""
    return {
        "adapter": adapter_digest(origin.folder),
        "encoder": encoder.fingerprint_id,
        "encoder_weights": encoder.fingerprint["weights"],
        "preparation": digest_of(encoder.preparation.to_dict()),
        **{path.name: image_key(path) for path in sorted(written.iterdir())},
    }


def _kind(model: SavedModel, encoder: Encoder) -> str:
    return kind_at_hand(model.adapter.features, encoder.feature_dims)


def _check_out(folder: Path) -> None:
    """Raise where a folder holds something other than an earlier export."""
    record = folder / RECORD
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: this is a file; give a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    found = read_json(record) if record.is_file() else None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(
            f"--out {folder}: the folder is not empty and holds no earlier export; give a new or an empty one"
        )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
