"""What is kept with an adapter so that its answers can be believed or not: calibration, threshold, referral."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import expit, logit

from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.calibration import Calibration, fewest_to_estimate
from fewshot_flair.evaluation.operating import positive_score, threshold_for
from fewshot_flair.evaluation.referral import referral_threshold
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.experiment.choices import DecisionChoice

__all__ = [
    "Decision",
    "OperatingPoint",
    "Referral",
    "Shift",
    "calibrated",
    "decide",
    "estimated_prevalence",
    "right",
    "sureness",
    "with_thresholds",
]


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shift(_Kept):
    """Probabilities that a prevalence is moved from: softmax(logits / temperature + bias), under `presumed`.

    A bias a class is what makes them presume the training rows' prevalence, without which neither Bayes' rule
    nor expectation maximisation holds (Alexandari, Kundaje and Shrikumar, ICML 2020, section 2.3).
    """

    temperature: float = Field(gt=0)
    bias: list[float]
    presumed: list[float]


class OperatingPoint(_Kept):
    """Which photographs are called positive: those whose positive classes have `threshold` or more together.

    Attributes
    ----------
    wish : str
        ``sensitivity=0.9`` and the like; empty for "more likely than not", 0.5.
    sensitivity, specificity : float or None
        Out of fold, on the training rows that the threshold was chosen on.
    note : str
        What a user should know of it, such as a wish that cannot be met.
    """

    positive: list[str]
    wish: str = ""
    threshold: float = Field(ge=0, le=1)
    sensitivity: float | None
    specificity: float | None
    note: str = ""


class Referral(_Kept):
    """From which confidence on an answer needs nobody.

    It was chosen so that the answers that nobody looks at have an error of at most `max_error`: with an operating
    point those that are not positive, as a person looks at positive ones anyway; else all.

    Attributes
    ----------
    threshold : float or None
        None where no confidence has so low an error out of fold, or there are no such rows: everything is referred.
    answered : float
        Share of the rows out of fold that nobody looks at.
    """

    max_error: float
    threshold: float | None
    answered: float


class Decision(_Kept):
    """Kept with a saved adapter, and made of its out-of-fold logits of the training rows alone.

    Attributes
    ----------
    classes : list of C str
        In the order of the logits.
    temperature, bias : float, list of C float
        Probabilities are softmax(logits / temperature + bias).
    calibration : str
        By what rule these were chosen.
    shift : Shift or None
        What a prevalence is moved from; None where a class has fewer than 10 rows out of fold.
    rows, folds : int
        How many rows were predicted out of fold, and in how many folds; 0 where there could be none.
    patients : "worst" or "mean"
        How photographs of a patient are combined (see `evaluation.combine_patients`).
    """

    classes: list[str]
    temperature: float = Field(gt=0)
    bias: list[float]
    calibration: str
    shift: Shift | None
    rows: int
    folds: int
    operating: OperatingPoint | None = None
    referral: Referral | None = None
    patients: Literal["worst", "mean"] = "mean"

    @classmethod
    def of(cls, kept: Mapping[str, Any], where: object) -> Decision:
        """What a folder kept; InputError that names it where that is no decision."""
        try:
            return cls.model_validate(kept)
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            raise InputError(
                f"{where} holds no decision of this version ({'.'.join(map(str, found['loc']))}: {found['msg']}); "
                "run adapt again"
            ) from error

    @property
    def positive(self) -> list[int]:
        """Columns of the positive classes; none where there is no operating point."""
        return [self.classes.index(name) for name in self.operating.positive] if self.operating else []


def calibrated(
    decision: Decision,
    logits: ArrayLike,
    prevalence: Mapping[str, float] | Literal["estimate"] | None = None,
) -> NDArray[np.float64]:
    """Probabilities of logits (n, C), moved to a prevalence on request.

    Parameters
    ----------
    prevalence : mapping of class to share, or "estimate", optional
        Of the place of use; ``"estimate"`` finds it in these very rows (`estimated_prevalence`), and is the only
        case in which an answer depends on the other rows of a call.

    Raises
    ------
    InputError
        If there are too few rows to estimate from, or a class had too few training rows.
    """
    from fewshot_flair.evaluation.priors import correct_prior

    scaled = Calibration(decision.temperature, tuple(decision.bias), decision.calibration)
    p = scaled.probabilities(logits)
    if prevalence is None or not len(p):
        return p
    shares = estimated_prevalence(decision, logits) if prevalence == "estimate" else prevalence
    shift, under = _under_presumed(decision, logits)
    return correct_prior(under, shift.presumed, [shares[name] for name in decision.classes])


def estimated_prevalence(decision: Decision, logits: ArrayLike) -> dict[str, float]:
    """The classes' shares among the rows of logits (n, C), by expectation maximisation (`evaluation.priors`).

    The training rows' prevalence counts as much as the fewest photographs that this may be done with, so that the
    share of a class that is hard to tell apart does not run off to nothing.

    Raises
    ------
    InputError
        With fewer than 50 rows, or 20 for each class; or if a class had too few training rows.
    """
    from fewshot_flair.evaluation.priors import estimate_prior

    shift, under = _under_presumed(decision, logits)
    n, fewest = len(under), fewest_to_estimate(len(decision.classes))
    if n < fewest:
        raise InputError(
            f"--prevalence estimate: {counted(n, 'photograph')} at hand, {fewest} are needed for "
            f"{len(decision.classes)} classes; give the shares of the classes, as a=0.7,b=0.3"
        )
    found = estimate_prior(under, shift.presumed, weight=fewest)
    return dict(zip(decision.classes, found.tolist(), strict=True))


def _under_presumed(decision: Decision, logits: ArrayLike) -> tuple[Shift, NDArray[np.float64]]:
    shift = decision.shift
    if shift is None:
        raise InputError(
            "--prevalence: a class has fewer than 10 training photographs with an answer out of fold, too few to say "
            "what prevalence the probabilities presume; leave it out"
        )
    return shift, Calibration(shift.temperature, tuple(shift.bias), "").probabilities(logits)


def sureness(decision: Decision, probabilities: ArrayLike) -> NDArray[np.float64]:
    """How sure each answer is, 0 to 1: what the referral threshold is compared with.

    With an operating point the answer is positive or not, and how sure it is is how far its log-odds are from the
    threshold's, as a probability: 0.5 at the threshold. Without one it is the probability of the likeliest class.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if decision.operating is None:
        return p.max(axis=1)
    t = decision.operating.threshold
    nearly = np.finfo(np.float64).eps
    odds = logit(np.clip(positive_score(p, decision.positive), nearly, 1 - nearly))
    return expit(np.abs(odds - logit(np.clip(t, nearly, 1 - nearly))))


def decide(
    decision: Decision, probabilities: ArrayLike, concerns: Sequence[str] | None = None
) -> tuple[list[str], list[str]]:
    """``answer`` or ``refer`` for each photograph, and why it is referred.

    Parameters
    ----------
    probabilities : float array-like of shape (n, C)
        Of `calibrated` without a prevalence: thresholds were chosen on such.
    concerns : sequence of n str, optional
        Reasons found elsewhere (no retina, not gradable, untypical, a set of several classes); empty for none.
        They come first.

    Returns
    -------
    decisions : list of n str
    reasons : list of n str
        Empty with an answer; else a concern, ``positive`` (at or above the operating point's threshold: a person
        has to look at it, however sure that is) or ``unsure``.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    reasons = np.array(list(concerns) if concerns is not None else [""] * len(p), dtype=object)
    if decision.operating is not None:
        called = positive_score(p, decision.positive) >= decision.operating.threshold
        reasons[(reasons == "") & called] = "positive"
    if decision.referral is not None:
        least = decision.referral.threshold
        unsure = np.ones(len(p), dtype=bool) if least is None else sureness(decision, p) < least
        reasons[(reasons == "") & unsure] = "unsure"
    return ["refer" if reason else "answer" for reason in reasons], reasons.tolist()


def right(decision: Decision, probabilities: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
    """Whether each answer is right: the call with an operating point, else the likeliest class."""
    p, truth = np.asarray(probabilities), np.asarray(y)
    if decision.operating is None:
        return p.argmax(axis=1) == truth
    called = positive_score(p, decision.positive) >= decision.operating.threshold
    return called == np.isin(truth, decision.positive)


def with_thresholds(
    decision: Decision,
    choice: DecisionChoice,
    positive: Sequence[str],
    p: NDArray[np.float64],
    y: NDArray[np.int64],
) -> Decision:
    """The decision with the operating point and referral that rows out of fold give; y may be empty."""
    if positive:
        columns = [decision.classes.index(name) for name in positive]
        operating = _operating(choice.wish, list(positive), np.isin(y, columns), p, columns)
        decision = decision.model_copy(update={"operating": operating})
    sure, correct = sureness(decision, p), right(decision, p, y)
    open_to_answer = np.ones(len(y), dtype=bool)
    if decision.operating is not None:
        open_to_answer = positive_score(p, decision.positive) < decision.operating.threshold
    least = float("nan")
    if open_to_answer.any():
        least = referral_threshold(sure[open_to_answer], correct[open_to_answer], choice.max_error)
    known = not np.isnan(least)
    referral = Referral(
        max_error=choice.max_error,
        threshold=least if known else None,
        answered=float((open_to_answer & (sure >= least)).mean()) if known else 0.0,
    )
    return decision.model_copy(update={"referral": referral})


def _operating(
    wish: tuple[str, float] | None,
    positive: list[str],
    truth: NDArray[np.bool_],
    p: NDArray[np.float64],
    columns: list[int],
) -> OperatingPoint:
    threshold, note = 0.5, ""
    scores = positive_score(p, columns) if len(truth) else np.zeros(0)
    text = "" if wish is None else f"{wish[0]}={wish[1]:g}"
    if wish is not None and len(truth):
        found = threshold_for(truth, scores, **{wish[0]: wish[1]})
        if np.isnan(found.value):
            note = f"{text} cannot be reached out of fold; positive is what is more likely than not instead"
        else:
            threshold = found.value
    elif wish is not None:
        note = (
            f"{text}: no rows out of fold to choose a threshold on; positive is what is more likely than not"
        )
    called = scores >= threshold

    def share(rows: NDArray[np.bool_]) -> float | None:
        return float(rows.mean()) if len(rows) else None

    return OperatingPoint(
        positive=positive,
        wish="" if note else text,
        threshold=threshold,
        sensitivity=share(called[truth]),
        specificity=share(~called[~truth]),
        note=note,
    )
