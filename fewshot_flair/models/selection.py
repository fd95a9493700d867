"""Which adapter new photographs should get: judged on training rows alone, so that the test rows stay a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.episodes.folds import FOLDS, fold_of_rows, inseparable, patient_folds

if TYPE_CHECKING:
    from fewshot_flair.adapters.heads import Head
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.spec import AdapterSpec

__all__ = ["CrossValidation", "choose_default", "cross_validate"]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Training rows predicted by fits that had none of their patient, nor of a byte-identical photograph.

    Attributes
    ----------
    folds : int
        How many there were; 0 where there could be none, and then nothing was predicted.
    fold : int64 array of shape (n,)
        Which rows were predicted together.
    logits : dict of str to array of shape (n, C)
        By label, of every training row.
    scores : dict of str to float
        Balanced accuracy by label, of all rows together.
    heads : dict of str to Head
        By label, one episode a fold: the fit without it.
    """

    folds: int = 0
    fold: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    logits: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)


def cross_validate(
    clinic: Clinic, specs: Sequence[AdapterSpec], *, folds: int = FOLDS, seed: int = 0, device: str = "cpu"
) -> CrossValidation:
    """Predict the training rows by fits that have not seen them.

    The training rows are parted into folds, stratified by class, with all images of a patient in one, and
    patients who share a photograph byte for byte together (scikit-learn's StratifiedGroupKFold); each fold is
    predicted by a fit on the others. Predictions of all folds are scored together, so that a class of few images
    counts in one recall and not in five.

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
    CrossValidation
        Empty where there are fewer than two patients, or a fold would have nothing to be fitted on.
    """
    from fewshot_flair.adapters import fit_episodes
    from fewshot_flair.episodes import Episodes
    from fewshot_flair.evaluation import balanced_accuracy

    y = clinic.train.y
    groups = inseparable(clinic.train.patients, clinic.train.keys)
    parts = patient_folds(y, groups, folds, seed)
    if not parts:
        return CrossValidation()
    episodes = Episodes.of([fit for fit, _ in parts])
    fold = fold_of_rows(parts, len(y))
    logits, scores, heads = {}, {}, {}
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
        found = np.empty((len(y), len(clinic.classes)))
        for place, (_, held) in enumerate(parts):
            found[held] = replace(fits, head=fits.head.take(slice(place, place + 1))).logits(X[held])[0]
        logits[spec.label] = found
        heads[spec.label] = fits.head
        scores[spec.label] = balanced_accuracy(y, found.argmax(axis=1))
    return CrossValidation(len(parts), fold, logits, scores, heads)


def choose_default(
    scores: Mapping[str, float],
    labels: Sequence[str],
    folds: int,
    *,
    by: str,
    named: bool,
    transductive: bool = False,
) -> tuple[str, str]:
    """The adapter that `predict` takes unless told otherwise, and the rule by which it was chosen.

    Parameters
    ----------
    scores : mapping of str to float
        By label, higher is better; empty where there was no cross-validation.
    by : str
        What the scores are, as the rule says it.
    named : bool
        Whether the table names patients, whom no two folds share.
    transductive : bool
        Whether fits may have learnt from the test rows without their labels, which the rule then says.
    """
    if not scores:
        few = "the first of the adapters, as there are too few training patients for cross-validation"
        return labels[0], few
    whose = (
        "no patient in two folds"
        if named
        else "where every photograph counts as a patient of its own, as none is named"
    )
    return max(labels, key=lambda label: scores[label]), (
        f"the highest {by} in {folds}-fold cross-validation on the training rows, {whose}; "
        f"{'the labels of test rows' if transductive else 'test rows'} have no say"
    )
