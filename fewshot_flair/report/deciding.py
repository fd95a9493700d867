"""What decisions are worth, in sentences and in the cells of tables: the terminal and the report say the same."""

from __future__ import annotations

from fewshot_flair.experiment.decisions import DecisionFigures, Measured
from fewshot_flair.experiment.results import RunRecord, Saved
from fewshot_flair.models.decision import Decision

__all__ = ["answer_alone", "aurocs", "decided", "decision_of", "kept_adapters", "operating_point", "ranged"]


def kept_adapters(record: RunRecord) -> dict[str, tuple[Decision, DecisionFigures]]:
    """By label, what the saved adapters keep for decisions and what it is worth; the default one first."""
    found = {
        name: (decision_of(saved), saved.decided)
        for name, saved in record.saved.items()
        if saved.decision is not None and saved.decided is not None
    }
    first = record.default_adapter
    return {name: found[name] for name in sorted(found, key=lambda name: name != first)}


def decision_of(saved: Saved) -> Decision:
    """The decision kept with an adapter."""
    return Decision.of(saved.decision or {}, "run.json")


def ranged(measured: Measured | None, *, percent: bool = True) -> str:
    """A number and its interval: ``91.1 (83.9 to 96.9)``; a dash where it is undefined."""
    if measured is None or measured.value is None:
        return "–"
    scale, digits = (100, 1) if percent else (1, 3)
    text = f"{scale * measured.value:.{digits}f}"
    if measured.low is None or measured.high is None:
        return text
    return f"{text} ({scale * measured.low:.{digits}f} to {scale * measured.high:.{digits}f})"


def aurocs(record: RunRecord) -> dict[str, tuple[str, str]]:
    """By label, the AUROC of the positive classes in cross-validation and on the test rows.

    Empty unless positive classes were asked for.
    """
    return {
        name: (
            "–" if saved.cross_validation_auroc is None else f"{saved.cross_validation_auroc:.3f}",
            ranged(saved.decided.auroc if saved.decided else None, percent=False),
        )
        for name, saved in record.saved.items()
        if any(each.cross_validation_auroc is not None for each in record.saved.values())
    }


def operating_point(decision: Decision, figures: DecisionFigures) -> str:
    """Sensitivity and specificity on the test rows, in a sentence; empty without positive classes."""
    point = decision.operating
    if point is None:
        return ""
    wish = f"for {point.wish} out of fold" if point.wish else "more likely than not"
    note = f" ({point.note})" if point.note else ""
    return (
        f"Positive is {', '.join(point.positive)}, called from {100 * point.threshold:.1f} % on ({wish}){note}. On the "
        f"test rows, in % with 95 % intervals: sensitivity {ranged(figures.sensitivity)}, specificity "
        f"{ranged(figures.specificity)}; AUROC {ranged(figures.auroc, percent=False)}."
    )


def answer_alone(decision: Decision, figures: DecisionFigures, unit: str) -> str:
    """How many photographs and patients need nobody, and at what error, in a sentence."""
    referral = decision.referral
    if referral is None:
        return ""
    wanted = f"{100 * referral.max_error:g} %"
    if referral.threshold is None:
        return (
            f"It answers nothing alone: out of fold no confidence brings the error down to {wanted}, so every "
            "photograph is referred."
        )
    if figures.answered_error is None:
        return f"It answers nothing alone on the test rows, where an error of at most {wanted} was wanted."
    of = [f"{100 * (figures.answered.value or 0):.0f} of 100 photographs"]
    if unit == "patients" and figures.patients_answered is not None:
        of.append(f"{100 * (figures.patients_answered.value or 0):.0f} of 100 patients with all of theirs")
    which = "not positive, and sure enough" if decision.operating else "sure enough"
    return (
        f"It answers alone {', '.join(of)} ({which} for an error of at most {wanted} out of fold); on the test rows "
        f"{ranged(figures.answered_error)} % of these answers are wrong."
    )


def decided(record: RunRecord) -> list[str]:
    """These sentences for the adapter that predict takes, and what could not be measured of it; none without one."""
    kept = kept_adapters(record)
    name = record.default_adapter or ""
    if name not in kept:
        return []
    unit = "patients" if record.clinics[0].names_patients else "images"
    note = kept[name][1].prevalence_note
    said = [
        operating_point(*kept[name]),
        answer_alone(*kept[name], unit),
        f"Not measured: {note}." if note else "",
    ]
    return [sentence for sentence in said if sentence]
