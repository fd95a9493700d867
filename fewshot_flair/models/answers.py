"""What stands beside an answer: the set, a decision and why, quality, typicality, patient, nearest photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.models.decision import Decision, decide
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.conformal import Conformal
    from fewshot_flair.images.quality.assessment import Quality
    from fewshot_flair.models.predictions import Predictions
    from fewshot_flair.models.training import TrainingRows

__all__ = ["UNTYPICAL", "add_columns", "patient_table"]

UNTYPICAL = 0.02
"""Typicality up to which a photograph is referred: 2 of 100 that are like the training photographs are, too."""

Prevalence = Mapping[str, float] | Literal["estimate"] | None


def add_columns(
    table: pd.DataFrame,
    features: NDArray[np.float32],
    plain: NDArray[np.float64] | None,
    decision: Decision | None,
    *,
    sets: Conformal | None,
    rows: TrainingRows | None,
    quality: Sequence[Quality | str] | None,
    patients: Sequence[str],
    local: bool = False,
) -> pd.DataFrame:
    """The table of `predict_table` with what stands beside each answer; what cannot be said is empty.

    Of what is no retina no class, probability and set is said: any would be untrue.

    The columns are ``positive`` (the probability of the positive classes, with an operating point), ``set``,
    ``decision``, ``reason``, ``quality``, ``typicality``, ``patient`` and ``nearest``.

    Parameters
    ----------
    features : float32 array of shape (n, D)
    plain : float64 array of shape (n, C), optional
        Calibrated probabilities without a prevalence: thresholds were chosen on such. None without a decision.
    sets, rows : optional
        What was kept with the adapter.
    quality : sequence of n, optional
        As `assess_files` gives it; None where there are no photographs.
    patients : sequence of n str
    local : bool
        Whether the features are local ones.
    """
    from fewshot_flair.evaluation import positive_score
    from fewshot_flair.models.qualities import word_of

    n = len(table)
    typical = np.full(n, np.nan)
    nearest = [""] * n
    if rows is not None and n:
        # local features begin with the photograph's own, by which it is compared
        whole = features[:, : rows.features.shape[1]] if local else features
        nearest = [rows.names(found) for found in rows.nearest(whole)]
        if rows.typicality is not None:
            typical = rows.typicality.p_values(whole)
    concerns = [_concern(None if quality is None else quality[i], typical[i]) for i in range(n)]
    decisions, reasons = [""] * n, concerns
    if decision is not None and plain is not None and n:
        decisions, reasons = decide(decision, plain, concerns)
    if decision is not None and decision.operating is not None and n:
        shown = table[[f"probability_{name}" for name in decision.classes]].to_numpy(np.float64)
        table = table.assign(positive=positive_score(shown, decision.positive))
    words = [""] * n if quality is None else [word_of(found) for found in quality]
    named = _sets(sets, features)
    if "no retina" in words:
        none = np.array(words) == "no retina"
        table = table.copy()
        table.loc[none, [name for name in table.columns if name != "image"]] = None
        named = ["" if empty else name for empty, name in zip(none, named, strict=True)]
    return table.assign(
        set=named,
        decision=decisions,
        reason=reasons,
        quality=words,
        typicality=typical,
        patient=list(patients),
        nearest=nearest,
    )


def patient_table(found: Predictions, decision: Decision) -> pd.DataFrame:
    """One row a patient: how many photographs, the answer of all together, a decision and why.

    Photographs are combined by the rule that is kept with the adapter (of grades the worst counts, else the mean
    log-probability). ``left_out`` counts those that show no retina or cannot be read; a patient of whom one was left
    out, or whose photograph is doubtful, is referred. As for photographs, decisions are made on probabilities
    without a prevalence.
    """
    import pandas as pd

    from fewshot_flair.evaluation import combine_patients

    table, plain = found.table, found.plain
    named = table[table["patient"].fillna("") != ""]
    used = named[named["predicted"].notna()]
    columns = [f"probability_{name}" for name in decision.classes]
    every = named["patient"].value_counts().sort_index()
    made = pd.DataFrame({"photographs": used["patient"].value_counts().reindex(every.index, fill_value=0)})
    made["left_out"] = every - made["photographs"]
    if len(used) and plain is not None:
        patients, moved = combine_patients(
            used[columns].to_numpy(np.float64), used["patient"], decision.patients
        )
        _, p = combine_patients(plain[used.index], used["patient"], decision.patients)
        decisions, reasons = decide(decision, p)
        answers = {
            "predicted": np.array(decision.classes)[moved.argmax(axis=1)],
            "probability": moved.max(axis=1),
            **dict(zip(columns, moved.T, strict=True)),
            "decision": decisions,
            "reason": reasons,
        }
        made = made.join(pd.DataFrame(answers, index=pd.Index(patients)))
    doubted = used[~used["reason"].isin(["", "positive", "unsure"])]
    for patient, reason in doubted.groupby("patient")["reason"].first().items():
        made.loc[patient, ["decision", "reason"]] = ["refer", reason]
    for patient in made.index[made["left_out"] > 0]:
        reason = f"{counted(int(made.loc[patient, 'left_out']), 'photograph')} unreadable or no retina"
        made.loc[patient, ["decision", "reason"]] = ["refer", reason]
    return made.rename_axis("patient").reset_index()


def _sets(sets: Conformal | None, features: NDArray[np.float32]) -> list[str]:
    if sets is None or not len(features):
        return [""] * len(features)
    names = [str(name) for name in sets.columns_]
    return ["; ".join(np.array(names)[row]) or "none" for row in sets.predict_set(features)]


def _concern(quality: Quality | str | None, typicality: float) -> str:
    """Why an answer should not be believed, whatever it is; empty where nothing says so."""
    from fewshot_flair.models.qualities import note_of, word_of

    if quality is not None and word_of(quality) != "good":
        return "; ".join(filter(None, [word_of(quality), note_of(quality)]))
    if typicality <= UNTYPICAL:
        return f"unlike the training photographs (p = {typicality:.2g})"
    return ""
