"""Which adapter new photographs should get: judged on training rows alone, so that the test rows stay a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.spec import AdapterSpec

__all__ = ["FOLDS", "choose_default", "cross_validate"]

FOLDS = 5


def cross_validate(
    clinic: Clinic, specs: Sequence[AdapterSpec], *, folds: int = FOLDS, seed: int = 0, device: str = "cpu"
) -> tuple[dict[str, float], int]:
    """Balanced accuracy of each adapter on training rows that it was not fitted on.

    The training rows are parted into folds, stratified by class, with all images of a patient in one
    (scikit-learn's StratifiedGroupKFold); each fold is predicted by a fit on the others. Predictions of all
    folds are scored together, so that a class of few images counts in one recall and not in five.

    Parameters
    ----------
    clinic : Clinic
        Its training rows are used, its pool and its text prototypes.
    specs : sequence of AdapterSpec
    folds : int
        At most; there are never more than patients, or than images of the largest class.
    seed : int
        Decides which patient comes into which fold.
    device : str
        As torch names it.

    Returns
    -------
    dict of str to float
        By label; empty where there are fewer than two patients, or a fold would have nothing to be fitted on.
    int
        How many folds there were.
    """
    from fewshot_flair.adapters import fit_episodes
    from fewshot_flair.episodes import Episodes
    from fewshot_flair.evaluation import balanced_accuracy

    y = clinic.train.y
    parts = _folds(clinic, folds, seed)
    if not parts:
        return {}, 0
    episodes = Episodes.of([fit for fit, _ in parts])
    found = {}
    for spec in specs:
        adapter = clinic.create(spec)
        kind = clinic.feature_kind(adapter.features)
        X = clinic.train.read(kind)
        fits = fit_episodes(
            adapter,
            X,
            y,
            episodes,
            X_unlabeled=clinic.unlabelled(adapter, kind),
            classes=range(len(clinic.classes)),
            device=device,
        )
        predicted = np.empty(len(y), dtype=np.int64)
        for place, (_, held) in enumerate(parts):
            predicted[held] = fits.logits(X[held])[place].argmax(axis=1)
        found[spec.label] = balanced_accuracy(y, predicted)
    return found, len(parts)


def choose_default(scores: Mapping[str, float], labels: Sequence[str], folds: int) -> tuple[str, str]:
    """The adapter that `predict` takes unless told otherwise, and the rule by which it was chosen."""
    if not scores:
        few = "the first of the adapters, as there are too few training patients for cross-validation"
        return labels[0], few
    return max(labels, key=lambda label: scores[label]), (
        f"the highest balanced accuracy in {folds}-fold cross-validation on the training rows, no patient in two "
        "folds; test rows have no say"
    )


def _folds(clinic: Clinic, folds: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit on and rows to predict, fold by fold; none where there are fewer than two patients."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    y = clinic.train.y
    groups = np.unique(clinic.train.patients, return_inverse=True)[1]
    folds = min(folds, int(groups.max()) + 1, int(np.bincount(y).max()))
    if folds < 2:
        return []
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a class has fewer images than there are folds
        parts = list(splitter.split(np.zeros((len(y), 1)), y, groups))
    return parts if all(len(fit) for fit, _ in parts) else []
