"""One adapter, one number of shots, one scenario, many support-set draws: fit, predict, score."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.experiment.calibrating import draw_temperatures
from fewshot_flair.experiment.measured import Measured
from fewshot_flair.experiment.results import BY_PATIENT, CellResult
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fewshot_flair.episodes import Episodes
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.spec import AdapterSpec

__all__ = ["evaluate_adapter", "measure_adapter", "noisy_labels"]

CALIBRATED = ("brier_score", "expected_calibration_error")
"""What is measured after a temperature too, on request."""
PROBABILITY_BYTES = 256 * 2**20
_warm: set[str] = set()
"""Adapters that this process has fitted before."""


def evaluate_adapter(clinic: Clinic, spec: AdapterSpec, episodes: Episodes, **settings: Any) -> CellResult:
    """Fit `spec` on every episode of the clinic's training rows and score it on its test rows.

    Parameters
    ----------
    settings
        Those of `measure_adapter`.
    """
    return measure_adapter(clinic, spec, episodes, **settings).result()


def measure_adapter(
    clinic: Clinic,
    spec: AdapterSpec,
    episodes: Episodes,
    *,
    label_noise: float = 0.0,
    prior: str = "none",
    calibrate: bool = False,
    device: str = "cpu",
) -> Measured:
    """Fit `spec` on every episode of the clinic's training rows and score it on its test rows.

    Parameters
    ----------
    episodes : Episodes
        Indices into ``clinic.train``, one support set a seed; their unlabelled rows, where they have
        some, go to adapters that can use them (see `Clinic.learnable`).
    label_noise : float
        Share of the support labels replaced by another class, drawn with the episode's seed.
    prior : "none", "known" or "estimated"
        Whether probabilities are moved from the prevalence that the adapter presumes (the support set's,
        each count plus one; even for class-balanced ones) to the test set's, and whether that is known or
        estimated from the unlabelled test rows (`evaluation.priors`).
    calibrate : bool
        Whether Brier score and ECE are measured after a temperature too, in columns of their own: from the
        support rows out of fold, and without `prior`. It takes five more fits a draw.

    Notes
    -----
    Only the support rows' features are read for fitting; test rows stream in chunks, and episodes are
    taken in groups so that probabilities stay within 256 MiB.
    """
    from sklearn.exceptions import ConvergenceWarning

    from fewshot_flair.evaluation import score_draws

    adapter = clinic.create(spec)
    balanced = adapter.class_balanced
    transductive = clinic.provenance.transductive
    seen = transductive and adapter.uses_unlabeled and episodes.unlabeled is not None
    n_classes = len(clinic.classes)
    several = len(set(clinic.test.patients)) < len(clinic.test)
    group = max(1, PROBABILITY_BYTES // (8 * len(clinic.test) * n_classes))
    rows: list[dict[str, Any]] = []
    predicted: list[NDArray[np.unsignedinteger]] = []
    confusion = np.zeros((n_classes, n_classes))
    reliability: NDArray[np.float64] | float = 0.0
    seconds = 0.0
    notes = _sameness(episodes)
    if seen:
        notes.append(_seen(spec, episodes, len(clinic.test)))
    for start in range(0, len(episodes), group):
        part = _part(episodes, slice(start, start + group))
        labels = noisy_labels(clinic, part, label_noise)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            probabilities, spent = _fit_predict(clinic, spec, part, labels, device)
        notes += [
            str(w.message) for w in warned if issubclass(w.category, RuntimeWarning | ConvergenceWarning)
        ]
        seconds += spent
        cooled = None
        if calibrate:
            cooled = _cooled(probabilities, draw_temperatures(clinic, spec, part, labels, device))
        counts = np.stack([np.bincount(y_support, minlength=n_classes) for y_support in labels])
        if prior != "none":
            for given, own in zip(probabilities, counts, strict=True):
                source = np.ones(n_classes) if balanced else own.astype(np.float64) + 1
                given[:] = _moved(given, source, clinic.test.y, prior)
        scored = score_draws(clinic.test.y, probabilities, ordinal=clinic.ordinal)
        confusion += scored.confusion.sum(axis=0)
        reliability = reliability + scored.reliability.sum(axis=0)
        predicted.append(probabilities.argmax(axis=2).astype(np.min_scalar_type(n_classes)))
        columns = {"seed": list(part.seeds), "n_support": counts.sum(axis=1).tolist()}
        if transductive:
            columns["transductive"] = [seen] * len(part)
        columns |= {key: values.tolist() for key, values in scored.values.items()}
        if several:
            columns[BY_PATIENT] = _by_patient(clinic, probabilities)
        if cooled is not None:
            calibrated = score_draws(clinic.test.y, cooled).values
            columns |= {f"{key}_calibrated": calibrated[key].tolist() for key in CALIBRATED}
        for kind, values in (
            ("recall", scored.recall),
            ("specificity", scored.specificity),
            ("support", counts),
        ):
            columns |= {f"{kind}_{name}": values[:, c].tolist() for c, name in enumerate(clinic.classes)}
        rows += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Measured(
        label=spec.label,
        classes=list(clinic.classes),
        rows=rows,
        confusion=confusion,
        reliability=np.asarray(reliability),
        predicted=np.concatenate(predicted),
        y=clinic.test.y,
        patients=clinic.test.patients,
        seconds=seconds,
        notes=list(dict.fromkeys(notes)),
    )


def _by_patient(clinic: Clinic, probabilities: NDArray[np.float64]) -> list[float]:
    """Balanced accuracy of each draw over the patients who have one true class; NaN where none has."""
    from fewshot_flair.evaluation import balanced_accuracy, patient_labels
    from fewshot_flair.evaluation.patients import predicted_by_patient

    truth = patient_labels(clinic.test.y, clinic.test.patients, ordinal=clinic.ordinal).y
    known = truth >= 0
    if not known.any():
        return [float("nan")] * len(probabilities)
    found = predicted_by_patient(probabilities, clinic.test.patients, "worst" if clinic.ordinal else "mean")
    return [balanced_accuracy(truth[known], one[known]) for one in found]


def _cooled(probabilities: NDArray[np.float64], temperatures: NDArray[np.float64]) -> NDArray[np.float64]:
    """softmax(logits / T) of softmax(logits): (B, n, C) and (B,)."""
    from scipy.special import softmax

    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return softmax(logs / temperatures[:, None, None], axis=-1)


def _sameness(episodes: Episodes) -> list[str]:
    """A word of doubt where every draw takes the same images, as their intervals and tests then say nothing."""
    sets = {tuple(sorted(rows.tolist())) for rows in episodes.indices}
    if len(episodes) < 2 or len(sets) > 1:
        return []
    images = counted(len(episodes.indices[0]), "image")
    return [
        f"all {len(episodes)} draws of {images} take the same ones, as there are no more: "
        "intervals over draws and tests between adapters say nothing there"
    ]


def _seen(spec: AdapterSpec, episodes: Episodes, tested: int) -> str:
    """What must stand beside figures on photographs that the adapter has learnt from without their labels."""
    taken = max((len(rows) for rows in episodes.unlabeled or ()), default=0)
    which = f"the {tested}" if taken == tested else f"{taken} of the {tested}"
    return f"{spec.label} is transductive here: it learnt from {which} test photographs, without their labels"


def noisy_labels(clinic: Clinic, episodes: Episodes, rate: float) -> list[NDArray[np.int64]]:
    """Labels of each episode's rows, of which so large a share is another class."""
    n_classes = len(clinic.classes)
    return [
        _noisy(clinic.train.y[support], n_classes, rate, seed)
        for seed, support in zip(episodes.seeds, episodes, strict=True)
    ]


def _noisy(y: NDArray[np.int64], n_classes: int, rate: float, seed: int) -> NDArray[np.int64]:
    if not rate or n_classes < 2:
        return y
    rng = np.random.default_rng([seed, len(y)])
    wrong = rng.random(len(y)) < rate
    return np.where(wrong, (y + rng.integers(1, n_classes, len(y))) % n_classes, y)


def _moved(
    probabilities: NDArray[np.float64], source: NDArray[Any], y_test: NDArray[np.int64], prior: str
) -> NDArray[np.float64]:
    """Move from the prevalence a classifier presumes (support counts plus one, or even) to the test's."""
    from fewshot_flair.evaluation.priors import correct_prior, estimate_prior

    if prior == "known":
        target = np.bincount(y_test, minlength=len(source)).astype(float)
    else:
        target = estimate_prior(probabilities, source)
    return correct_prior(probabilities, source, target)


def _part(episodes: Episodes, which: slice) -> Episodes:
    free = episodes.unlabeled
    return type(episodes)(
        episodes.seeds[which], episodes.indices[which], None if free is None else free[which]
    )


def _fit_predict(
    clinic: Clinic,
    spec: AdapterSpec,
    episodes: Episodes,
    labels: Sequence[NDArray[np.int64]],
    device: str,
) -> tuple[NDArray[np.float64], float]:
    """Class probabilities (B, n, C) on the test rows, and seconds for all fits.

    Episodes share the pool's rows, unless their labels differ (label noise): then each brings its own.
    """
    from scipy.special import softmax

    from fewshot_flair.adapters import fit_episodes

    adapter = clinic.create(spec)
    kind = clinic.feature_kind(adapter.features)
    free = (episodes.unlabeled if adapter.uses_unlabeled else None) or ()
    blocks = [*episodes.indices, *free]
    ends = np.cumsum([len(rows) for rows in blocks])[:-1]
    pool = np.concatenate(blocks)
    known = np.concatenate(
        [clinic.train.y, np.zeros(0 if clinic.pool is None else len(clinic.pool), np.int64)]
    )
    y = np.concatenate([*labels, *(known[rows] for rows in free)])
    places = np.arange(len(pool))
    if np.array_equal(y, known[pool]):
        pool, places = np.unique(pool, return_inverse=True)
        y = known[pool]
    blocks = np.split(places, ends)
    n = len(episodes)
    local = type(episodes)(episodes.seeds, tuple(blocks[:n]), tuple(blocks[n:]) if free else None)
    X = clinic.learnable(kind, pool)
    if clinic.train.copies:
        X, y, local = _augmented(clinic, kind, pool, X, y, local)
    if adapter.name not in _warm and not adapter.needs_tower:
        # the first fit of a process loads libraries, which is not what a fit costs
        one = _part(local, slice(1))
        fit_episodes(adapter, X, y, one, classes=range(len(clinic.classes)), device=device)
        _warm.add(adapter.name)
    began = time.perf_counter()
    fitted = fit_episodes(adapter, X, y, local, classes=range(len(clinic.classes)), device=device)
    seconds = time.perf_counter() - began
    probabilities = np.empty((n, len(clinic.test), len(clinic.classes)))
    copies = clinic.test.of_copies()
    for chunk in clinic.test.chunks():
        # of augmented copies the mean of the logits, as FLAIR's code takes it
        logits = sum(fitted.logits(rows.read(kind, chunk)).astype(np.float64) for rows in copies)
        probabilities[:, chunk] = softmax(logits / len(copies), axis=-1)
    return probabilities, seconds


def _augmented(
    clinic: Clinic,
    kind: str,
    pool: NDArray[np.int64],
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    episodes: Episodes,
) -> tuple[NDArray[np.float32], NDArray[np.int64], Episodes]:
    """Every support row in all its augmented copies and not as it is; unlabelled rows as they are."""
    n, copies = len(pool), clinic.train.of_copies()
    labelled = pool < len(clinic.train)  # of the clinic's pool there are no copies
    blocks = [X]
    for rows in copies:
        block = X.copy()
        block[labelled] = rows.read(kind, pool[labelled])
        blocks.append(block)
    support = tuple(
        np.concatenate([rows + (1 + c) * n for c in range(len(copies))]) for rows in episodes.indices
    )
    return (
        np.concatenate(blocks),
        np.tile(y, len(blocks)),
        type(episodes)(episodes.seeds, support, episodes.unlabeled),
    )
