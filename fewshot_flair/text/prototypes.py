"""Text prototypes: what a text tower hands to an adapter."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.files import replace_file

__all__ = ["TextPrototypes"]

FORMAT = "fewshot-flair text prototypes 1"
LARGEST_LOGARITHM = 5.0
"""Models are trained with cosines times 100 at the most, whose logarithm is 4.6."""


@dataclass(eq=False, repr=False)
class TextPrototypes:
    """Class prototypes in the embedding space, with the temperature that goes with them.

    Parameters
    ----------
    classes : sequence of C str
        Class names, in the order of the classifier's columns (ordinal grades keep theirs).
    prototypes : array-like of shape (C, D)
        One row a class: the mean of its description embeddings, not normalised again (its norm is
        below 1 where there are several descriptions). Kept as float32.
    logit_scale : float
        Natural logarithm of the inverse temperature, at most 5; ``exp(logit_scale)`` multiplies cosines.
    samples : array-like of shape (S, D), optional
        The embeddings of the single descriptions, which cross-modal adaptation uses as shots.
    sample_classes : array-like of S ints or str, optional
        The class of each row of `samples`, as a column index or a class name. Kept as int64.

    Raises
    ------
    InputError
        If shapes disagree, something is of another type, a class is named twice, a number is not finite,
        `logit_scale` is the scale itself, or only one of `samples` and `sample_classes` is given.

    Warns
    -----
    RuntimeWarning
        If classes have the same prototype.

    Examples
    --------
    >>> import numpy as np
    >>> text = TextPrototypes(["healthy", "diseased"], np.eye(2, 3), logit_scale=4.6)
    >>> text.prototypes.shape, text.n_classes
    ((2, 3), 2)
    """

    classes: Sequence[str]
    prototypes: ArrayLike
    logit_scale: float
    samples: ArrayLike | None = None
    sample_classes: ArrayLike | None = None
    descriptions: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.classes = _names(self.classes)
        self.prototypes = _finite("prototypes", self.prototypes)
        if len(self.prototypes) != len(self.classes):
            raise InputError(
                f"text prototypes: {len(self.prototypes)} prototypes for {len(self.classes)} classes; "
                "give one row a class"
            )
        self.logit_scale = _logarithm(self.logit_scale)
        if (self.samples is None) != (self.sample_classes is None):
            raise InputError("text prototypes: samples and sample_classes go together; give both or neither")
        if self.samples is not None and self.sample_classes is not None:
            self.samples = _finite("samples", self.samples)
            self.sample_classes = self._codes(self.sample_classes)
            if self.samples.shape != (len(self.sample_classes), self.prototypes.shape[1]):
                raise InputError(
                    f"text prototypes: samples have shape {self.samples.shape}; with "
                    f"{len(self.sample_classes)} sample_classes and prototypes of width "
                    f"{self.prototypes.shape[1]} they must have "
                    f"({len(self.sample_classes)}, {self.prototypes.shape[1]})"
                )
        self._warn_of_same()

    def _warn_of_same(self) -> None:
        alike: dict[bytes, list[str]] = {}
        for name, row in zip(self.classes, np.asarray(self.prototypes), strict=True):
            alike.setdefault((row + 0).tobytes(), []).append(repr(name))
        for names in alike.values():
            if len(names) > 1:
                warnings.warn(
                    f"{' and '.join(names)} have the same prototype: the text tower cannot tell them apart",
                    RuntimeWarning,
                    stacklevel=4,
                )

    def __repr__(self) -> str:
        return f"<TextPrototypes: {self.n_classes} classes, width {self.n_features}>"

    def _codes(self, values: ArrayLike) -> NDArray[np.int64]:
        codes = _array("sample_classes", values).reshape(-1)
        if codes.dtype.kind in "OUS":
            index = {name: i for i, name in enumerate(self.classes)}
            unknown = [str(v) for v in codes if str(v) not in index]
            if unknown:
                raise InputError(
                    f"text prototypes: sample class {unknown[0]!r} is not one of {list(self.classes)}"
                )
            codes = np.array([index[str(v)] for v in codes], np.int64)
        if codes.dtype.kind not in "iuf" or (codes != np.rint(codes)).any():
            raise InputError("text prototypes: sample_classes are class names, or whole numbers of columns")
        if codes.size and (codes.min() < 0 or codes.max() >= len(self.classes)):
            raise InputError(
                f"text prototypes: sample_classes run from {codes.min()} to {codes.max()}; "
                f"there are {len(self.classes)} classes"
            )
        return codes.astype(np.int64)

    @property
    def n_classes(self) -> int:
        """Number of classes C."""
        return len(self.classes)

    @property
    def n_features(self) -> int:
        """Width D of the embedding space."""
        return int(np.shape(self.prototypes)[1])

    @property
    def scale(self) -> float:
        """``s = exp(logit_scale)``, the factor on cosines."""
        return float(np.exp(self.logit_scale))

    def to_bytes(self) -> bytes:
        """Give the bytes of a safetensors file (arrays in float32 and int64, names in its header)."""
        from safetensors.numpy import save

        arrays = {"prototypes": np.asarray(self.prototypes)}
        if self.samples is not None:
            arrays |= {"samples": np.asarray(self.samples), "sample_classes": np.asarray(self.sample_classes)}
        header = {
            "format": FORMAT,
            "classes": json.dumps(list(self.classes)),
            "logit_scale": repr(self.logit_scale),
            "descriptions": json.dumps(self.descriptions),
        }
        return save(arrays, metadata=header)

    def save(self, path: str | Path) -> Path:
        """Write `to_bytes` to a file, which appears whole or not at all."""
        return replace_file(Path(path), [self.to_bytes()])

    @classmethod
    def load(cls, path: str | Path) -> TextPrototypes:
        """Read what `save` wrote; raises MissingFileError or InputError naming the file."""
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise MissingFileError(f"text prototypes: no file {path}")
        try:
            with safe_open(path, framework="numpy") as stored:
                header = stored.metadata() or {}
                arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise InputError(f"text prototypes: {path} is damaged or not safetensors ({error})") from error
        if header.get("format") != FORMAT:
            raise InputError(f"text prototypes: {path} was not written by TextPrototypes.save")
        try:
            return cls(
                json.loads(header["classes"]),
                arrays["prototypes"],
                float(header["logit_scale"]),
                arrays.get("samples"),
                arrays.get("sample_classes"),
                json.loads(header["descriptions"]),
            )
        except (KeyError, ValueError, TypeError, RecursionError, InputError) as error:
            raise InputError(f"text prototypes: {path} is damaged ({str(error)[:200]})") from error


def _names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str | bytes) or not isinstance(names, Sequence | np.ndarray):
        raise InputError(f"text prototypes: classes are {type(names).__name__}; give a list of class names")
    classes = [str(name) for name in names]
    twice = next((name for name, n in Counter(classes).items() if n > 1), None)
    if twice is not None:
        raise InputError(f"text prototypes: class {twice!r} is named twice; class names must differ")
    return classes


def _logarithm(value: object) -> float:
    given = _array("logit_scale", value)
    if given.dtype.kind not in "iuf" or given.size != 1 or not np.isfinite(given).all():
        raise InputError(f"text prototypes: logit_scale is {value!r:.80}; give a finite logarithm")
    logarithm = float(given.reshape(-1)[0])
    if logarithm > LARGEST_LOGARITHM:
        raise InputError(
            f"text prototypes: logit_scale is {logarithm:g}, which looks like the scale itself and not its logarithm; "
            f"if so, give {np.log(logarithm):.4g} (log({logarithm:g}))"
        )
    return logarithm


def _array(name: str, values: object) -> NDArray:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"text prototypes: {name} are no array of numbers ({str(error)[:200]})") from error


def _finite(name: str, values: ArrayLike) -> NDArray[np.float32]:
    given = _array(name, values)
    if given.dtype.kind not in "iuf":
        raise InputError(f"text prototypes: {name} are {given.dtype}; real numbers are needed")
    with np.errstate(over="ignore"):  # too large for float32: found as not finite below
        array = given.astype(np.float32)
    if array.ndim != 2:
        raise InputError(f"text prototypes: {name} have shape {array.shape}; they must be 2-D, (rows, width)")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise InputError(f"text prototypes: {name}[{row}] holds NaN or infinity")
    return array
