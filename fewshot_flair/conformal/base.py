"""The face that every conformal method shows: calibrate on labelled rows, then a set of classes for each new row."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.adapters import Adapter
from fewshot_flair.adapters.base import softmax
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.marks import row_uniforms
from fewshot_flair.adapters.namespaces import to_numpy
from fewshot_flair.adapters.validation import check_features, encode_labels
from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.scores import ConformityScore, score_of
from fewshot_flair.evaluation.thresholds import Quantile, fewest_rows
from fewshot_flair.registry import OWN, Registry

__all__ = ["CONFORMAL", "Conformal", "ConformalInfo", "create_conformal", "list_conformal"]

CONFORMAL: Registry[Conformal] = Registry("conformal method")
"""All methods by name; its `register` adds a class of your own."""


class Conformal:
    """Base of all methods. A new one writes `calibrate` and `contains`, and names what it keeps.

    Parameters
    ----------
    adapter : Adapter
        Left as it is; fitted by the method, unless that says otherwise.
    score : str or ConformityScore
        ``"lac"``, ``"aps"``, ``"raps"``, or one with parameters from `evaluation.scores.score_of`.
    alpha : float
        The share of true classes that may be missed, in (0, 1).
    quantile : "exact" or "published"
        The order statistic that the guarantee needs, or the papers' interpolation (see `score_threshold`).
    random_state : int
        Seeds the uniform numbers of scores that need some. A row's numbers depend on this and on its features
        alone, so that a set does not depend on what else is in the call.

    Attributes
    ----------
    columns_ : array of shape (C,)
        Names or codes of the sets' columns, as `Adapter.columns_`.
    n_calibration_ : int
        Labelled rows that the threshold is made of.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    guarantee: ClassVar[str] = ""
    """For which rows the true class is in the set, and how often."""
    transductive: ClassVar[bool] = False
    """Whether a set depends on the other rows in the call, which must be the whole test side."""
    pooled: ClassVar[bool] = False
    """Whether the adapter is fitted on calibration and test rows without their labels."""
    kept: ClassVar[tuple[str, ...]] = ()
    """Arrays that `to_arrays` keeps beside the head."""

    head_: Head | None = None
    columns_: NDArray
    n_calibration_: int

    def __init__(
        self,
        adapter: Adapter,
        score: str | ConformityScore = "lac",
        alpha: float = 0.1,
        quantile: Quantile = "exact",
        random_state: int = 0,
    ) -> None:
        if not isinstance(adapter, Adapter):
            raise InputError(
                f"{self.name}: adapter must be an Adapter (create_adapter), not {type(adapter).__name__}"
            )
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1:
            raise InputError(f"{self.name}: alpha is {alpha!r}; give a share between 0 and 1, such as 0.1")
        if quantile not in ("exact", "published"):
            raise InputError(f"{self.name}: quantile is 'exact' or 'published', not {quantile!r}")
        self.adapter, self.alpha, self.quantile = adapter, float(alpha), quantile
        self.score = score_of(score)
        self.random_state = random_state

    def calibrate(self, X: NDArray, y: NDArray[np.int64], u: NDArray[np.float64], groups: NDArray) -> None:
        """Learn from rows X (n, D) with column numbers y (n,), uniform numbers u (n,) and patients (n,)."""
        raise NotImplementedError

    def contains(self, X: NDArray, u: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Sets of rows X (n, D), whose uniform numbers u (n, C) go by rank: bool (n, C)."""
        raise NotImplementedError

    def probabilities(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities that go with the sets, in the order of `columns_`: (n, C)."""
        raise NotImplementedError

    def fit(
        self, X: ArrayLike, y: ArrayLike, *, uniform: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Conformal:
        """Fit and calibrate.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Features of the labelled rows.
        y : array-like of shape (n,)
            Class names, or positions in `text.classes`.
        uniform : array-like of shape (n,), optional
            Numbers in [0, 1] for scores that need some, instead of those of `random_state`.
        groups : array-like of shape (n,), optional
            Patients, for methods that divide the rows: none is on both sides.

        Raises
        ------
        InputError
            As `Adapter.fit`; or where lengths disagree or a number is out of range.
        """
        adapter = self.adapter = copy(self.adapter)
        fitted = getattr(self, "prefit", False)
        rows = check_features(adapter, X, reset=not fitted)
        labels = encode_labels(adapter.name, y, adapter.text, adapter.columns_.tolist() if fitted else None)
        n = len(rows)
        if len(labels.codes) != n:
            raise InputError(f"{self.name}: {n} rows in X and {len(labels.codes)} labels in y")
        u = (
            row_uniforms(rows, 1, self.random_state)[:, 0]
            if uniform is None
            else self._uniform(uniform, (n,))
        )
        patients = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        if patients.shape != (n,):
            raise InputError(f"{self.name}: {n} rows in X and {patients.shape} patients in groups")
        self.columns_ = labels.classes
        self.calibrate(rows, labels.codes, u, patients)
        return self

    def predict_set(self, X: ArrayLike, uniform: ArrayLike | None = None) -> NDArray[np.bool_]:
        """Which classes are in the set of each row.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Where the method is transductive, the whole test side.
        uniform : array-like of shape (n, C), optional
            Numbers in [0, 1] by rank: a row's first belongs to its most probable class.

        Returns
        -------
        bool array of shape (n, C)
            In the order of `columns_`.
        """
        rows = self._rows(X)
        n_classes = len(self.columns_)
        if uniform is None:
            u = row_uniforms(rows, n_classes, self.random_state + 1)
        else:
            u = self._uniform(uniform, (len(rows), n_classes))
        return self.contains(rows, u)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """What was fitted: settings that JSON takes, and arrays; `from_arrays` makes the same of them."""
        settings = {
            "name": self.name,
            "score": self.score.name,
            "score_parameters": vars(self.score),
            **{key: getattr(self, key) for key in ("alpha", "quantile", "random_state", "n_calibration_")},
            "classes": self.columns_.tolist(),
        }
        arrays = {name: np.asarray(getattr(self, name)) for name in self.kept}
        if self.head_ is not None:
            settings["head"] = {"kind": type(self.head_).__name__, **self.head_.settings()}
            arrays |= {f"head.{k}": np.ascontiguousarray(to_numpy(a)) for k, a in self.head_.arrays().items()}
        return settings, arrays

    @classmethod
    def from_arrays(
        cls, adapter: Adapter, settings: Mapping[str, Any], arrays: Mapping[str, NDArray]
    ) -> Conformal:
        """The fitted method that `to_arrays` told of, around a fitted adapter of the same kind."""
        score = score_of(settings["score"], **settings["score_parameters"])
        made = _known(settings["name"])(
            adapter, score, settings["alpha"], settings["quantile"], settings["random_state"]
        )
        made.columns_ = np.array(settings["classes"])
        made.n_calibration_ = settings["n_calibration_"]
        for name in made.kept:
            setattr(made, name, arrays[name])
        if "head" in settings:
            told = dict(settings["head"])
            own = {name[5:]: array for name, array in arrays.items() if name.startswith("head.")}
            made.head_ = Head.kinds[told.pop("kind")](**own, **told)
        return made

    def _rows(self, X: ArrayLike) -> NDArray:
        if not hasattr(self, "columns_"):
            raise InputError(f"{self.name} is not fitted: call fit(X, y) first")
        return check_features(self.adapter, X, reset=False)

    def _uniform(self, given: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
        u = np.asarray(given, dtype=np.float64)
        if u.shape != shape or not ((u >= 0) & (u <= 1)).all():
            raise InputError(
                f"{self.name}: uniform has shape {u.shape}; give numbers in [0, 1] of shape {shape}"
            )
        return u

    def _warn_of_few(self, n: int) -> None:
        """A word where no finite threshold exists, and so every class is in every set."""
        need = fewest_rows(self.alpha)
        if n < need:
            warnings.warn(
                f"{self.name}: {n} calibration rows; alpha {self.alpha:g} needs {need}, so every class is in every set",
                RuntimeWarning,
                stacklevel=4,
            )


def class_probabilities(head: Head, X: NDArray) -> NDArray[np.float64]:
    """Softmax of a head's logits: (episodes, n, C)."""
    return softmax(head.logits(X).astype(np.float64))


@dataclass(frozen=True)
class ConformalInfo:
    """What there is to know of a method before it is made: its words, what it guarantees, and its parameters."""

    name: str
    summary: str
    paper: str
    guarantee: str
    transductive: bool
    parameters: dict[str, Any]


def list_conformal() -> list[ConformalInfo]:
    """All methods that `create_conformal` knows."""
    _load()
    return [
        ConformalInfo(name, cls.summary, cls.paper, cls.guarantee, cls.transductive, _parameters(cls))
        for name, cls in CONFORMAL.known.items()
    ]


def create_conformal(name: str, adapter: Adapter, **params: Any) -> Conformal:
    """A conformal method by its name.

    Parameters
    ----------
    name : str
        One of `list_conformal()`.
    adapter : Adapter
        As `create_adapter` makes it.
    **params
        ``score``, ``alpha``, ``quantile``, ``random_state``, and the method's own.

    Raises
    ------
    InputError
        If the name or a parameter is unknown or out of range; the message says which exist.

    Examples
    --------
    >>> import numpy as np
    >>> from fewshot_flair import TextPrototypes, create_adapter, create_conformal
    >>> text = TextPrototypes(["healthy", "diseased"], np.eye(2, 4), logit_scale=1.0)
    >>> rows, y = np.eye(2, 4)[[0, 1] * 10], ["healthy", "diseased"] * 10
    >>> sets = create_conformal("split", create_adapter("zero-shot", text=text), alpha=0.1)
    >>> sets.fit(rows, y).predict_set(rows[:2])
    array([[ True, False],
           [False,  True]])
    """
    cls = _known(name)
    CONFORMAL.check_parameters(name, params, _parameters(cls))
    return cls(adapter, **params)


def _known(name: str) -> type[Conformal]:
    _load()
    return CONFORMAL.get(name, OWN)


def _load() -> None:
    importlib.import_module("fewshot_flair.conformal.methods")


def _parameters(cls: type[Conformal]) -> dict[str, Any]:
    """Those of the method and of its bases, whose keywords it passes on."""
    bases = [base for base in reversed(cls.__mro__) if "__init__" in vars(base) and base is not object]
    given = [p for base in bases for p in inspect.signature(vars(base)["__init__"]).parameters.values()]
    named = (p for p in given if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    return {p.name: p.default for p in named if p.name not in ("self", "adapter")}
