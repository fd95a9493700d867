"""One adapter, one number of shots, one scenario, many support-set draws: fit, predict, score."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.experiment.fits import Answers, adapter_answers, part_of
from fewshot_flair.experiment.measured import Measured
from fewshot_flair.experiment.results import BY_PATIENT, CellResult
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.episodes import Episodes
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.spec import AdapterSpec

__all__ = ["evaluate_adapter", "measure", "measure_adapter", "noisy_labels"]

CALIBRATED = ("brier_score", "expected_calibration_error")
"""What is measured after a temperature too, on request."""
PROBABILITY_BYTES = 256 * 2**20


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
    Only the support rows' features are read for fitting; test rows stream in chunks.
    """
    adapter = clinic.create(spec)
    seen = clinic.provenance.transductive and adapter.uses_unlabeled and episodes.unlabeled is not None

    def answer(part: Episodes, labels: list[NDArray[np.int64]]) -> Answers:
        return adapter_answers(clinic, spec, part, labels, device, calibrate=calibrate)

    notes = _sameness(episodes) + ([_seen(spec.label, episodes, len(clinic.test))] if seen else [])
    return measure(
        clinic, spec.label, episodes, answer,
        label_noise=label_noise, prior=prior, balanced=adapter.class_balanced, seen=seen, notes=notes,
    )  # fmt: skip


def measure(
    clinic: Clinic,
    label: str,
    episodes: Episodes,
    answer: Callable[[Episodes, list[NDArray[np.int64]]], Answers],
    *,
    label_noise: float = 0.0,
    prior: str = "none",
    balanced: bool = False,
    seen: bool = False,
    notes: Sequence[str] = (),
) -> Measured:
    """Score what fits on episodes say of the test rows.

    Parameters
    ----------
    answer : callable
        Some episodes and the labels of their rows to the answers. Episodes are taken in groups, so that probabilities
        stay within 256 MiB.
    label_noise, prior
        As `measure_adapter`.
    balanced : bool
        Whether the fits presume that classes are equally frequent.
    seen : bool
        Whether they learn from the test rows, without their labels.
    notes : sequence of str
        What is to be said of them; warnings follow.
    """
    from sklearn.exceptions import ConvergenceWarning

    from fewshot_flair.evaluation import score_draws

    n_classes = len(clinic.classes)
    several = len(set(clinic.test.patients)) < len(clinic.test)
    group = max(1, PROBABILITY_BYTES // (8 * len(clinic.test) * n_classes))
    rows: list[dict[str, Any]] = []
    predicted: list[NDArray[np.unsignedinteger]] = []
    confusion = np.zeros((n_classes, n_classes))
    reliability: NDArray[np.float64] | float = 0.0
    seconds = 0.0
    told = list(notes)
    for start in range(0, len(episodes), group):
        part = part_of(episodes, slice(start, start + group))
        labels = noisy_labels(clinic, part, label_noise)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = answer(part, labels)
        told += [
            str(w.message) for w in warned if issubclass(w.category, RuntimeWarning | ConvergenceWarning)
        ]
        seconds += found.seconds
        probabilities = found.probabilities
        cooled = None if found.temperatures is None else _cooled(probabilities, found.temperatures)
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
        if clinic.provenance.transductive:
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
        columns |= found.columns
        rows += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Measured(
        label=label,
        classes=list(clinic.classes),
        rows=rows,
        confusion=confusion,
        reliability=np.asarray(reliability),
        predicted=np.concatenate(predicted),
        y=clinic.test.y,
        patients=clinic.test.patients,
        seconds=seconds,
        trainable_parameters=found.trainable_parameters,
        bytes=found.bytes,
        notes=list(dict.fromkeys(told)),
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


def _seen(label: str, episodes: Episodes, tested: int) -> str:
    """What must stand beside figures on photographs that the adapter has learnt from without their labels."""
    taken = max((len(rows) for rows in episodes.unlabeled or ()), default=0)
    which = f"the {tested}" if taken == tested else f"{taken} of the {tested}"
    return f"{label} is transductive here: it learnt from {which} test photographs, without their labels"


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
