"""Adapters for use: fitted on every training row, tested once, and kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.experiment.decisions import check_prevalence, positive_classes
from fewshot_flair.experiment.results import Saved, TestFigures
from fewshot_flair.models.decided import measure
from fewshot_flair.models.decision import Decision, Shift, calibrated, with_thresholds
from fewshot_flair.models.kept import keep_sets, keep_training_rows
from fewshot_flair.models.selection import CrossValidation, choose_default, cross_validate
from fewshot_flair.models.verdict import nothing_to_compare, verdict

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.adapters import Adapter
    from fewshot_flair.experiment.choices import DecisionChoice, EncoderChoice
    from fewshot_flair.experiment.clinic import Clinic
    from fewshot_flair.experiment.spec import AdapterSpec

__all__ = ["Refits", "refit", "refit_all"]


@dataclass(frozen=True)
class Refits:
    """Adapters fitted on all training rows.

    Attributes
    ----------
    saved : dict of str to Saved
        By label.
    default, rule : str
        What `predict` takes, and how it was chosen.
    verdict : str
        Whether adaptation beats zero-shot; empty without text.
    predictions : DataFrame
        A row for each adapter and test image: ``image``, ``label``, ``adapter``, ``predicted``,
        ``probability``, ``probability_CLASS`` ….
    """

    saved: dict[str, Saved]
    default: str
    rule: str
    verdict: str
    predictions: pd.DataFrame


def refit(clinic: Clinic, spec: AdapterSpec, device: str = "cpu") -> Adapter:
    """The adapter fitted on every training row, and on the pool where it can learn from that."""
    adapter = clinic.create(spec).set_params(device=device)
    kind = clinic.feature_kind(adapter.features)
    labels = [clinic.classes[code] for code in clinic.train.y]
    return adapter.fit(clinic.train.read(kind), labels, X_unlabeled=clinic.unlabelled(adapter, kind))


def refit_all(
    clinic: Clinic,
    specs: Sequence[AdapterSpec],
    choice: EncoderChoice,
    out: Path,
    *,
    wanted: DecisionChoice | None = None,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Refits:
    """Fit, test and save every adapter below ``out/adapters``; an earlier run's are replaced.

    Parameters
    ----------
    choice : EncoderChoice
        How the encoder is loaded again; kept with each adapter.
    wanted : DecisionChoice, optional
        Calibration, operating point and referral; by default those of a study that says nothing of them.
    progress : callable
        Told what is being done.
    """
    import pandas as pd

    from fewshot_flair.experiment.choices import DecisionChoice
    from fewshot_flair.experiment.folder import folder_name
    from fewshot_flair.models.predictions import predict_table
    from fewshot_flair.models.storage import adapter_digest, save_adapter

    progress("cross-validation on the training rows")
    wanted = wanted or DecisionChoice()
    crossed = cross_validate(clinic, specs, device=device)
    shutil.rmtree(out / "adapters", ignore_errors=True)
    saved, tables, answers = {}, [], {}
    asked_for_positive = bool(wanted.positive or wanted.operating_point)
    beside: dict[str, dict[str, str]] = {}
    for spec in specs:
        progress(f"{spec.label} on all training rows")
        adapter = refit(clinic, spec, device)
        folder = Path("adapters") / folder_name(spec.label)
        decision = _decision(clinic, spec.label, crossed, wanted)
        kind = clinic.feature_kind(adapter.features)
        alike = "embedding" if kind == "local" else kind  # photographs are compared as wholes
        if alike not in beside:
            beside[alike] = keep_training_rows(clinic, alike, out / "adapters")
        kept = {
            "sets": keep_sets(adapter, spec.label, clinic, crossed, wanted.alpha, out / folder),
            "training_rows": beside[alike],
        }
        save_adapter(adapter, out / folder, extra=_for_use(clinic, choice, decision) | kept)
        logits = adapter.logits(clinic.test.read(kind))
        probabilities = calibrated(decision, logits)
        table = predict_table(clinic.classes, clinic.test.images, probabilities)
        table.insert(1, "label", [clinic.classes[code] for code in clinic.test.y])
        table.insert(2, "adapter", spec.label)
        tables.append(table)
        answers[spec.label] = probabilities
        saved[spec.label] = Saved(
            folder=folder.as_posix(),
            sha256=adapter_digest(out / folder),
            training_images=len(clinic.train),
            cross_validation=crossed.scores.get(spec.label),
            cross_validation_auroc=_auroc(clinic, spec.label, crossed, decision)
            if asked_for_positive
            else None,
            test=_figures(clinic, probabilities),
            decision=decision.model_dump(),
            decided=measure(
                decision,
                logits,
                clinic.test.y,
                clinic.test.patients,
                ordinal=clinic.ordinal,
                prevalence=check_prevalence(wanted.prevalence, clinic.classes),
            ),
        )
    default, rule, positive = _chosen(clinic, saved, crossed)
    said = "" if clinic.text is None else nothing_to_compare(default, crossed.folds)
    if clinic.text is not None and not said:
        if "zero-shot" not in answers:
            answers["zero-shot"] = _zero_shot(clinic, wanted, device)
        said = verdict(clinic, default, answers[default], answers["zero-shot"], positive)
    return Refits(saved, default, rule, said, pd.concat(tables, ignore_index=True))


def _chosen(
    clinic: Clinic, saved: Mapping[str, Saved], crossed: CrossValidation
) -> tuple[str, str, tuple[int, ...]]:
    """The default, its rule, and the columns of the positive classes where it was chosen by their AUROC."""
    ranks = {
        name: one.cross_validation_auroc
        for name, one in saved.items()
        if one.cross_validation_auroc is not None
    }
    told = clinic.provenance
    said = {"named": told.train.patients is not None, "transductive": told.transductive}
    if len(ranks) < len(saved):
        by = "balanced accuracy"
        return *choose_default(crossed.scores, list(saved), crossed.folds, by=by, **said), ()
    decision = Decision.of(next(iter(saved.values())).decision or {}, "run.json")
    assert decision.operating is not None
    by = f"AUROC of the positive classes ({', '.join(decision.operating.positive)})"
    return (
        *choose_default(ranks, list(saved), crossed.folds, by=by, **said),
        tuple(decision.positive),
    )


def _auroc(clinic: Clinic, label: str, crossed: CrossValidation, decision: Decision) -> float | None:
    """Of the positive classes, over all training rows out of fold: of the very scores that thresholds are on."""
    from fewshot_flair.evaluation import positive_score
    from fewshot_flair.evaluation.areas import roc_area

    if label not in crossed.logits:
        return None
    scores = positive_score(calibrated(decision, crossed.logits[label]), decision.positive)
    return _known(float(roc_area(np.isin(clinic.train.y, decision.positive), scores)[0]))


def _zero_shot(clinic: Clinic, wanted: DecisionChoice, device: str) -> NDArray[np.float64]:
    """Probabilities of the test rows by zero-shot, where it is none of the adapters."""
    from fewshot_flair.experiment.spec import AdapterSpec

    spec = AdapterSpec("zero-shot")
    adapter = refit(clinic, spec, device)
    crossed = cross_validate(clinic, [spec], device=device)
    logits = adapter.logits(clinic.test.read(clinic.feature_kind(adapter.features)))
    return calibrated(_decision(clinic, spec.label, crossed, wanted), logits)


def _decision(clinic: Clinic, label: str, crossed: CrossValidation, wanted: DecisionChoice) -> Decision:
    """What the adapter's out-of-fold logits say: calibration first, and thresholds on calibrated probabilities."""
    from fewshot_flair.evaluation.calibration import FEWEST_OF_A_CLASS, Calibration, fit_bias
    from fewshot_flair.experiment.calibrating import calibrate_seen

    n_classes = len(clinic.classes)
    logits = crossed.logits.get(label, np.zeros((0, n_classes)))
    y = clinic.train.y[: len(logits)]
    found, seen = calibrate_seen(logits, y, crossed.fold, class_wise=wanted.calibration == "class-wise")
    if wanted.calibration == "none":
        found = Calibration(1.0, (0.0,) * n_classes, "not calibrated, as asked for")
    z, truth = logits[seen], y[seen]
    counts = np.bincount(truth, minlength=n_classes)
    shift = None
    if counts.min() >= FEWEST_OF_A_CLASS:
        temperature, bias = 1.0, np.zeros(n_classes)
        if (z.argmax(axis=1) != truth).any():  # else no bias is the likeliest
            temperature, bias = fit_bias(z, truth)
        shift = Shift(temperature=temperature, bias=bias.tolist(), presumed=(counts / len(truth)).tolist())
    decision = Decision(
        classes=list(clinic.classes),
        temperature=found.temperature,
        bias=list(found.bias),
        calibration=found.rule,
        shift=shift,
        rows=len(logits),
        folds=crossed.folds,
        patients="worst" if clinic.ordinal else "mean",
    )
    positive = positive_classes(wanted, clinic.classes)
    return with_thresholds(decision, wanted, positive, calibrated(decision, logits), y)


def _for_use(clinic: Clinic, choice: EncoderChoice, decision: Decision) -> dict[str, Any]:
    """What ``predict`` must know beside the adapter: the encoder, the feature, what it was fitted on."""
    return {
        "encoder": {**clinic.provenance.encoder.model_dump(), "load": choice.model_dump()},
        "training_images": len(clinic.train),
        "data": clinic.name,
        "decision": decision.model_dump(),
    }


def _figures(clinic: Clinic, probabilities: NDArray[np.float64]) -> TestFigures:
    from fewshot_flair.evaluation import cluster_bootstrap, score

    y = clinic.test.y
    scored = score(y, probabilities, ordinal=clinic.ordinal)
    low, high = cluster_bootstrap(y, probabilities.argmax(axis=1), clinic.test.patients, len(clinic.classes))
    return TestFigures(
        **{key: _known(value) for key, value in scored.values.items()},
        low=_known(low),
        high=_known(high),
        recall=dict(zip(clinic.classes, map(_known, scored.recall.tolist()), strict=True)),
        specificity=dict(zip(clinic.classes, map(_known, scored.specificity.tolist()), strict=True)),
        confusion=scored.confusion.tolist(),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
