"""What an adapter is given, checked once and in the same words for every adapter."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from fewshot_flair.errors import InputError
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = [
    "Labels",
    "check_choice",
    "check_count",
    "check_features",
    "check_number",
    "check_random_state",
    "check_text",
    "check_weights",
    "encode_labels",
]

LARGEST = 1e15
"""Numbers are smaller: what is computed with them stays finite."""
SCALES = 10
"""How many times longer or shorter rows may be than those that were fitted, without a warning."""


def check_features(estimator: Any, X: ArrayLike, *, reset: bool, what: str = "X") -> NDArray:
    """Features as a finite 2-D array, float32 unless they come as float64; torch tensors are taken too.

    Raises
    ------
    InputError
        If they are not two-dimensional, not finite (the first such row is named), empty, not numbers,
        or not as wide as those of `fit`.
    """
    rows: Any = _plain(X)
    if not _is_sound(estimator, rows, reset):
        kept: dict[str, Any] = {"ensure_all_finite": False, "dtype": [np.float64, np.float32]}
        try:
            rows = validate_data(estimator, rows, reset=reset, **kept)
        except (ValueError, TypeError) as error:
            # scikit-learn's contract is a TypeError for sparse matrices and for arrays of objects.
            if isinstance(error, TypeError) and (isinstance(rows, np.ndarray) or hasattr(rows, "toarray")):
                raise
            sentence = str(error).replace("\n", " ").strip()
            raise InputError(f"{estimator.name}: {what}: {sentence}") from error
    squares = np.einsum("ij,ij->i", rows, rows)
    # Squares overflow before numbers do, so that only doubtful rows need a second look.
    doubtful = np.flatnonzero(~np.isfinite(squares))
    broken = doubtful[~np.isfinite(rows[doubtful]).all(axis=1)]
    if broken.size:
        kind = "NaN" if np.isnan(rows[broken[0]]).any() else "infinity"
        raise InputError(
            f"{estimator.name}: row {broken[0]} of {what} holds {kind}; leave that image out or encode it again"
        )
    _check_scale(estimator, float(np.sqrt(squares.mean(dtype=np.float64))), reset, what)
    return np.asarray(rows)


def _is_sound(estimator: Any, X: Any, reset: bool) -> bool:
    """Whether X is what nearly all callers give, of which scikit-learn's longer checks have nothing to say."""
    if type(X) is not np.ndarray or X.ndim != 2 or not X.size or X.dtype not in (np.float32, np.float64):
        return False
    if hasattr(estimator, "feature_names_in_"):
        return False
    if reset:
        estimator.n_features_in_ = X.shape[1]
    return bool(X.shape[1] == estimator.n_features_in_)


def _check_scale(estimator: Any, norm: float, reset: bool, what: str) -> None:
    """Keep the norm of the rows that are fitted; warn where later ones are of another order."""
    if reset:
        estimator.fitted_norm_ = norm
        return
    fitted = getattr(estimator, "fitted_norm_", norm)
    if not fitted / SCALES <= norm <= fitted * SCALES:
        warnings.warn(
            f"{estimator.name}: rows of {what} have norms about {norm:.3g}, those that were fitted {fitted:.3g}; "
            "if only one of the two was scaled or normalised, do it to both",
            RuntimeWarning,
            stacklevel=4,
        )


def _plain(X: Any) -> Any:
    """Torch tensors as NumPy arrays; float64 stays as it is, narrower floats become float32."""
    if isinstance(X, np.ndarray) and X.dtype == np.float16:
        return X.astype(np.float32)
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    if torch is None or not isinstance(X, torch.Tensor):
        return X
    X = X.detach().cpu()
    return (X if X.dtype == torch.float64 else X.float()).numpy()


@dataclass(frozen=True)
class Labels:
    """Labels as column numbers, and what the columns are called.

    Attributes
    ----------
    codes : int64 array of shape (n,)
    classes : array of shape (C,)
        What `predict` answers with: names where labels are names, integers where they are codes.
    """

    codes: NDArray[np.int64]
    classes: NDArray


def encode_labels(
    name: str, y: ArrayLike, text: TextPrototypes | None, classes: Sequence[Any] | None = None
) -> Labels:
    """Column numbers of labels; the columns are those of `text`, else `classes`, else the labels' own.

    Raises
    ------
    InputError
        If a label is not among the classes, missing, or a continuous number.
    """
    if y is None:
        raise InputError(f"{name}: requires y to be passed, but the target y is None")
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        labels = _one_kind(name, labels)
    if not labels.size:
        raise InputError(f"{name}: there are no labelled rows; give at least one")
    names = [str(c) for c in text.classes] if text is not None else classes
    if names is None:
        found, codes = np.unique(labels, return_inverse=True)
        return Labels(codes.astype(np.int64), found)
    if labels.dtype.kind in "OUS":
        return _named(name, labels, names)
    return _numbered(name, labels, names)


def _one_kind(name: str, given: NDArray) -> NDArray:
    """Labels of an unusual type or shape as a vector of names or whole numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataConversionWarning)
        try:
            labels = column_or_1d(given, warn=True)
        except ValueError as error:
            raise InputError(f"{name}: y: {error}") from error
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError(f"{name}: y[{int(np.flatnonzero(~np.isfinite(labels))[0])}] is NaN or infinity")
    if labels.dtype.kind == "O" and labels.size and all(isinstance(y, int | np.integer) for y in labels):
        labels = labels.astype(np.int64)
    if labels.size:
        try:
            check_classification_targets(labels)
        except (ValueError, TypeError) as error:
            raise InputError(f"{name}: y: {error}") from error
    return labels


def _named(name: str, labels: NDArray, names: Sequence[Any]) -> Labels:
    order = {str(c): i for i, c in enumerate(names)}
    unknown = sorted({str(label) for label in labels if str(label) not in order})
    if unknown:
        raise InputError(f"{name}: label {unknown[0]!r} is not one of the classes {list(order)}")
    return Labels(np.array([order[str(label)] for label in labels], dtype=np.int64), np.array(list(order)))


def _numbered(name: str, labels: NDArray, names: Sequence[Any]) -> Labels:
    wrong = labels[(labels < 0) | (labels >= len(names))]
    if wrong.size:
        raise InputError(
            f"{name}: label {wrong[0]} is not one of the {len(names)} classes (codes 0 to {len(names) - 1}: "
            f"{', '.join(str(c) for c in names)})"
        )
    return Labels(labels.astype(np.int64), np.arange(len(names)))


def check_weights(name: str, sample_weight: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """Sample weights, 1 where none are given; raises InputError where they are not n numbers ≥ 0."""
    if sample_weight is None:
        return np.ones(n)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: sample weights must be numbers, one a row ({error})") from None
    if weights.ndim == 0:
        weights = np.full(n, float(weights))
    if weights.ndim > 1:
        raise InputError(f"{name}: Sample weights must be 1D array or scalar; they have {weights.ndim} axes")
    if weights.shape != (n,):
        raise InputError(f"{name}: sample_weight.shape == {weights.shape}, expected {(n,)}!")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError(f"{name}: sample weights must be finite and not negative")
    return weights


def check_text(name: str, text: Any) -> None:
    """Raise InputError where text is given and is no `TextPrototypes`."""
    if text is not None and not isinstance(text, TextPrototypes):
        raise InputError(
            f"{name}: text is {type(text).__name__}; give TextPrototypes(classes, prototypes, logit_scale), "
            "which says what each row of the prototypes is and how cosines are scaled"
        )


def check_choice(name: str, parameter: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise InputError where a parameter is none of its choices."""
    if value not in choices:
        raise InputError(f"{name}: {parameter} is {value!r}; give one of {', '.join(map(repr, choices))}")


def check_number(
    name: str, parameter: str, value: Any, above: float | None = None, below: float = LARGEST
) -> None:
    """Raise InputError where a parameter is no number between -`below` and `below`, or none greater than `above`."""
    # compared before anything is computed with it: an integer may be larger than any float
    fine = isinstance(value, int | float | np.number) and -below < value < below
    if not fine or (above is not None and value <= above):
        bound = "" if above is None else f" greater than {above:g}"
        most = (
            ""
            if not isinstance(value, int | float | np.number) or -below < value < below
            else f" below {below:g}"
        )
        raise InputError(f"{name}: {parameter} is {repr(value)[:40]}; give a finite number{bound}{most}")


def check_count(name: str, parameter: str, value: Any, least: int = 1) -> None:
    """Raise InputError where a parameter is no whole number of at least `least`."""
    if not (isinstance(value, int | np.integer) and least <= value < LARGEST):
        raise InputError(
            f"{name}: {parameter} is {repr(value)[:40]}; give a whole number of at least {least}"
        )


def check_random_state(name: str, value: Any) -> None:
    """Raise InputError where a random state is neither a whole number of 32 bits nor None."""
    if value is not None and not (isinstance(value, int | np.integer) and 0 <= value < 2**32):
        raise InputError(
            f"{name}: random_state is {repr(value)[:40]}; give a whole number from 0 to {2**32 - 1}"
        )
