"""The face that every adapter shows: a scikit-learn classifier whose arithmetic is one batched function."""

from __future__ import annotations

from contextlib import nullcontext
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.heads import Head
from fewshot_flair.adapters.marks import row_marks
from fewshot_flair.adapters.pool import Pool
from fewshot_flair.adapters.threads import one_thread
from fewshot_flair.adapters.validation import check_features
from fewshot_flair.errors import InputError
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["Adapter"]

SMALL = 1000
"""Shots below which one thread is quicker than several."""


class Adapter(ClassifierMixin, BaseEstimator):
    """Base of all adapters. A new one writes `fit_batch` and the class attributes below.

    Parameters
    ----------
    text : TextPrototypes, optional
        Class prototypes. Where given, classes and the order of columns are theirs, whatever labels are
        present: a class without shots keeps its place.
    device : str
        ``"cpu"`` (NumPy) or a torch device such as ``"cuda"``.

    Attributes
    ----------
    classes_ : array of shape (C,)
        Class names where labels are names, integer codes where they are codes; sorted, as scikit-learn's
        scorers take for granted, and so the columns of `predict_proba`.
    columns_ : array of shape (C,)
        The same in the order of `logits`: that of ``text.classes``, so that grades stay in theirs.
    n_features_in_ : int
        Width D of the features.
    head_ : Head
        What was fitted; its arrays have an episode axis of length 1.
    marks_ : uint64 array of shape (N,)
        By which the rows that it was fitted on are known again (see `marks.row_marks`).
    """

    name: ClassVar[str] = ""
    """The word that `create_adapter` and tables use."""
    summary: ClassVar[str] = ""
    """One line on what it does."""
    paper: ClassVar[str] = ""
    """Authors, title, venue."""
    needs_text: ClassVar[bool] = True
    """Whether it cannot do without text prototypes."""
    needs_shots: ClassVar[bool] = True
    """Whether its answers depend on the labelled rows."""
    uses_unlabeled: ClassVar[bool] = False
    """Whether it can learn from images without labels."""
    needs_tower: ClassVar[bool] = False
    """Whether fitting needs the encoder's text tower itself, given as ``tower=``."""
    features: ClassVar[str] = "embedding"
    """Which feature of an encoder it takes: ``"embedding"``, ``"backbone"``, or ``"local"`` (see `adapters.local`)."""
    class_balanced: ClassVar[bool] = False
    """Whether its probabilities presume classes of equal prevalence, whatever the support counts."""
    training_free: ClassVar[bool] = True
    """Whether its weights are a formula, without gradient steps."""

    def __init__(self, text: TextPrototypes | None = None, device: str = "cpu") -> None:
        self.text = text
        self.device = device

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Fit all episodes of a batch at once, without a loop over them.

        Raises
        ------
        InputError
            If a parameter is out of its range.
        """
        raise NotImplementedError

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_unlabeled: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Adapter:
        """Fit one support set.

        Parameters
        ----------
        X : array-like of shape (N, D)
            Features of the shots. The arithmetic is float32, or float64 where X is.
        y : array-like of shape (N,)
            Class names or integer codes; codes are positions in ``text.classes`` where there is text.
        X_unlabeled : array-like of shape (M, D), optional
            Features of images without labels, for methods that use them.
        sample_weight : array-like of shape (N,), optional
            Not negative; a weight of 2 is the same as the row twice.

        Raises
        ------
        InputError
            If features are not finite, widths disagree, a label is not among the classes, or something
            is given that the method cannot use.
        """
        pool = Pool.checked(self, X, y, X_unlabeled=X_unlabeled, sample_weight=sample_weight)
        with one_thread() if len(pool.X) < SMALL else nullcontext():
            head = self.fit_batch(pool.batch([np.arange(len(pool.X))]))
        self.head_ = check_head(self.name, head, pool)
        self.marks_ = row_marks(pool.X)
        self.columns_ = pool.classes
        self.classes_ = np.sort(pool.classes)
        return self

    def logits(self, X: ArrayLike) -> NDArray:
        """Logits, one column for each of `columns_` also where there are two: (n, C)."""
        check_is_fitted(self, "head_")
        X = check_features(self, X, reset=False)
        return finite(self.name, self.head_.logits(X)[0])

    def decision_function(self, X: ArrayLike) -> NDArray:
        """Logits of shape (n, C), in the order of `classes_`; of two classes second minus first, (n,)."""
        logits = self.logits(X)[:, np.argsort(self.columns_)]
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Softmax of the logits, one column for each of `classes_`: (n, C)."""
        return softmax(self.logits(X))[:, np.argsort(self.columns_)]

    def predict(self, X: ArrayLike) -> NDArray:
        """The class of the largest logit, as `y` had it: names or codes, (n,)."""
        logits = self.logits(X)
        return self.columns_[logits.argmax(axis=1)]


def softmax(logits: NDArray) -> NDArray:
    """Probabilities of logits along their last axis, in their own dtype."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def check_head(name: str, head: Head, pool: Pool) -> Head:
    """The head that `fit_batch` gave, or an InputError where it is none or has not one logit a class."""
    if not isinstance(head, Head):
        raise InputError(
            f"{name}: fit_batch gave {type(head).__name__}; it must give a Head (cosine_head, LinearHead, "
            "KernelHead, or a subclass of Head)"
        )
    shape = head.logits(pool.X[:1]).shape
    if len(shape) != 3 or shape[1:] != (1, len(pool.classes)):
        raise InputError(
            f"{name}: the logits of one image have shape {shape}; (episodes, 1, {len(pool.classes)}) is needed, "
            "a column for each class"
        )
    return head


def finite(name: str, logits: NDArray) -> NDArray:
    """The logits, or an InputError where a number among them is not finite."""
    if not np.isfinite(logits).all():
        raise InputError(
            f"{name}: the logits are not finite; the features or a parameter are too large for "
            f"{logits.dtype} (L2-normalise or scale the features)"
        )
    return logits
