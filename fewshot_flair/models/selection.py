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
) -> dict[str, float]:
    """Balanced accuracy of each adapter on training rows that it was not fitted on.

    The training rows are parted into folds, stratified by class, with all images of a patient in one
    (scikit-learn's StratifiedGroupKFold); each fold is predicted by a fit on the others. Predictions of all
    folds are scored together, so that a class of few images counts in one recall and not in five.

    Parameters
    ----------
    clinic : Clinic
        Its training rows are used, and its text prototypes.
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
    """
    from sklearn.model_selection import StratifiedGroupKFold

    from fewshot_flair.adapters import fit_episodes
    from fewshot_flair.episodes import Episodes

    y = clinic.train.y
    groups = np.unique(clinic.train.patients, return_inverse=True)[1]
    folds = min(folds, int(groups.max()) + 1, int(np.bincount(y).max()))
    if folds < 2:
        return {}
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = [(fit, held) for fit, held in _quiet(splitter, y, groups) if len(fit)]
    found = {}
    for spec in specs:
        adapter = clinic.create(spec)
        X = clinic.train.read(clinic.feature_kind(adapter.features))
        episodes = Episodes.of([fit for fit, _ in parts])
        predicted = np.empty(len(y), dtype=np.int64)
        fits = fit_episodes(adapter, X, y, episodes, classes=range(len(clinic.classes)), device=device)
        for place, (_, held) in enumerate(parts):
            predicted[held] = fits.logits(X[held])[place].argmax(axis=1)
        found[spec.label] = _balanced_accuracy(y, predicted)
    return found


def choose_default(scores: Mapping[str, float], labels: Sequence[str]) -> tuple[str, str]:
    """The adapter that `predict` takes unless told otherwise, and the rule by which it was chosen."""
    if not scores:
        return labels[
            0
        ], "the first of the adapters, as there are too few training patients for cross-validation"
    best = max(labels, key=lambda label: scores[label])
    return best, (
        f"the highest balanced accuracy in {FOLDS}-fold cross-validation on the training rows, no patient in two "
        "folds; test rows have no say"
    )


def _quiet(
    splitter: object, y: NDArray[np.int64], groups: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The folds, without the splitter's warning that a class has fewer images than there are folds."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return list(splitter.split(np.zeros((len(y), 1)), y, groups))  # type: ignore[attr-defined]


def _balanced_accuracy(y: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    there = np.unique(y)
    return float(np.mean([(predicted[y == c] == c).mean() for c in there]))
