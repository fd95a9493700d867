"""What a reviewer would ask of a table of few-shot results, answered from the study's own record."""

from __future__ import annotations

from typing import Any

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import FLAIR_2025
from fewshot_flair.experiment.grid import draws_text, n_draws
from fewshot_flair.experiment.provenance import Provenance
from fewshot_flair.experiment.results import RunRecord, StudyResults
from fewshot_flair.report.context import Context
from fewshot_flair.words import agreeing, counted

__all__ = ["TEMPLATE", "content", "reviewers_questions"]

TEMPLATE = """
<h2>What a reviewer would ask</h2>
<dl>
{% for question, answer in questions %}<dt>{{ question }}</dt><dd>{{ answer }}</dd>{% endfor %}
</dl>
"""


def content(context: Context) -> dict[str, Any]:
    """Questions and answers."""
    return {"questions": reviewers_questions(context.results)}


def reviewers_questions(results: StudyResults) -> list[tuple[str, str]]:
    """Questions and answers, in the order of a careful review."""
    record, study = results.record, results.record.study
    rows = results.rows
    return [
        (
            "Do all adapters see the same support sets?",
            f"Yes. Support sets are drawn once for each data set, scenario, shots and seed "
            f"({_seeds(study['seeds'])}, protocol {study['protocol']}), whatever the "
            f"adapter; comparisons are paired on them{_but_zero_shot(study)}.",
        ),
        (
            "Is the test set touched in fitting?",
            "No. Adapters are fitted on support rows of the training split, with settings fixed before; "
            "nothing is tuned, stopped early or chosen on validation or test images. "
            + _tuning_answer(study)
            + _prior_answer(study["prior"])
            + _scenario_answer(study["scenarios"])
            + " Which adapter is called best in a column, though, is read off the test set, as in any such "
            "table: the best mean is a little optimistic.",
        ),
        ("Can a patient be in training and in test?", _patients_answer(record)),
        ("What is the interval over?", _interval_answer(record, n_draws(rows), draws_text(rows))),
        (
            "How are ties decided?",
            "By Wilcoxon's signed-rank test on paired differences with the best of the column, Holm-corrected "
            "over the column's adapters, at 5 %; never by decimals. From how many shots an adapter is above "
            "zero-shot is another question, asked of that adapter alone with an uncorrected interval of the "
            "difference, so that the two can seem to disagree: zero-shot may tie with the best of a column, and "
            "an adapter in it still be above zero-shot. Of all adapters together the correction is the one to "
            "go by.",
        ),
        ("How many images did each class really have?", _counts_answer(rows, study)),
        (
            "What about a class without test images, or without shots?",
            "Without test images its recall is absent, and means are over the classes that are there; it is "
            "never counted as 0. A class without shots keeps its place. " + _without_shots_answer(rows),
        ),
        ("What did the text tower read?", _prompts_answer(record)),
        ("Which weights, which preparation?", _encoders_answer(record)),
        (
            "Were rows left out?",
            f"{_skipped_answer(_skipped_rows(record))}"
            f"{'' if not record.left_out else ' Adapters that were left out are named above.'}",
        ),
        (
            "Is it deterministic?",
            "On the same kind of processor, with the versions below: every draw has a seed that is recorded, "
            "features are keyed by the image's bytes and the encoder's fingerprint, and the command below gives "
            "the same table. Between processors the last digits can differ, as their vector instructions add in "
            "another order.",
        ),
    ]


def _seeds(seeds: list[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def _but_zero_shot(study: dict[str, Any]) -> str:
    return ", but for zero-shot, which is tested on every row" if study["protocol"] == FLAIR_2025 else ""


def _prior_answer(priors: list[str]) -> str:
    said = {
        "known": "Rows with prior “known” use the test set's class frequencies (stated by the setting).",
        "estimated": "Rows with prior “estimated” look at unlabelled test images to estimate their prevalence.",
    }
    return " ".join(said[prior] for prior in priors if prior in said)


def _scenario_answer(scenarios: list[Any]) -> str:
    drawn = any(isinstance(s, dict) and s.get("prevalence") == "test" for s in scenarios)
    return (
        " Class counts of some support sets follow the test set's prevalence (a stated scenario)."
        if drawn
        else ""
    )


def _tuning_answer(study: dict[str, Any]) -> str:
    """What is chosen for networks; an old or small record has no methods."""
    if not study.get("methods"):
        return ""
    folds = study["tuning"]["folds"]
    return (
        f"Networks are trained for as many epochs as are best on one of {folds} folds of patients of their own support "
        "rows, then anew on all of these. "
        if folds
        else "Networks are trained for a fixed number of epochs. "
    )


def _patients_answer(record: RunRecord) -> str:
    every = list({clinic.data: clinic for clinic in record.clinics}.values())
    clinics = [clinic for clinic in every if not clinic.folds]
    if not clinics:
        return _folds_answer(record)
    named = [clinic for clinic in clinics if clinic.names_patients]
    unnamed = [clinic for clinic in clinics if not clinic.names_patients]
    said = []
    if named:
        counts = "; ".join(
            f"{clinic.data}: {clinic.train.patients} training and {clinic.test.patients} test patients"
            for clinic in named
        )
        said.append(
            "No, where patients are named: one on both sides is an error before anything is computed. An image "
            f"without a patient counts as a patient of its own. {counts}."
        )
    if unnamed:
        names = ", ".join(clinic.data for clinic in unnamed)
        said.append(
            f"Of {names} this cannot be told: no patients are named, so each image counts as one, and two images of "
            "one person may be on two sides, which flatters the numbers."
        )
    if any(not clinic.brought for clinic in clinics):
        said.append(
            "The same file on both sides is an error too; files are compared byte by byte, so the same photograph "
            "saved twice in different ways is not noticed."
        )
    said += filter(None, (_twins_answer(clinic) for clinic in clinics))
    if record.study.get("tests"):
        said.append("Patients of other tables that are tested on are taken to be other people.")
    return " ".join(said)


def _folds_answer(record: RunRecord) -> str:
    if record.study["protocol"] == FLAIR_2025:
        return (
            f"Yes. Protocol {FLAIR_2025} divides the rows as they come, as the paper does: where a patient has several "
            "photographs, they may be on both sides of a fold, which flatters the numbers."
        )
    named = all(clinic.train.patients is not None for clinic in record.clinics)
    said = "No: folds part neither a patient nor a photograph that is there under two names."
    return said if named else f"{said} Where no patients are named, though, each image counts as one."


def _twins_answer(clinic: Provenance) -> str:
    """Of features: test rows that equal training rows; of photographs: files that are there twice."""
    n, name = len(clinic.twins), clinic.data
    if clinic.brought:
        if not n:
            return f"No test row of {name} has the very numbers of a training row."
        return (
            f"{counted(n, 'test row', 'has', 'have')} the very numbers of a training row in {name}: the "
            "same image on both sides."
        )
    if not n:
        return ""
    return (
        f"{counted(n, 'photograph')} of {name} {agreeing(n, 'is', 'are')} there under two names, on one side."
    )


def _interval_answer(record: RunRecord, n: int, draws: str) -> str:
    over = {clinic.names_patients for clinic in record.clinics}
    said = {
        frozenset(
            {True}
        ): "The table “Over patients” resamples test patients instead, all images of one together.",
        frozenset(
            {False}
        ): "The table “Over test images” resamples test images instead, as no patients are named.",
    }.get(
        frozenset(over),
        "The tables “Over patients” and, where none are named, “Over test images” resample those instead.",
    )
    if n == 1:
        return f"There is one support-set draw, so no interval over draws. {said}"
    return (
        f"± is half the 95 % Student-t interval of the mean over {draws}{', on one test set' if 'fold' not in draws else ''}; "
        f"draws from one pool overlap, so it is somewhat too narrow for other pools. {said}"
    )


def _without_shots_answer(rows: Any) -> str:
    """By what the study's adapters need; one that is no longer registered is taken for one with text."""
    from fewshot_flair.adapters import get_adapter_class

    labels = list(dict.fromkeys(rows["adapter"]))
    without = []
    for label in labels:
        try:
            needs_text = get_adapter_class(label.partition("(")[0]).needs_text
        except InputError:
            continue
        if not needs_text:
            without.append(label)
    from_text = "Adapters that start from text can still predict it from its text"
    if not without:
        return f"{from_text}."
    verbs = f"{agreeing(len(without), 'has', 'have')} no text, and so nothing to predict it from"
    never = f"{', '.join(without)} {verbs}"
    return f"{from_text}; {never}." if len(without) < len(labels) else f"{never[0].upper()}{never[1:]}."


def _skipped_rows(record: RunRecord) -> int:
    return sum({clinic.data: len(clinic.skipped) for clinic in record.clinics}.values())


def _skipped_answer(n: int) -> str:
    return "None was." if not n else f"{counted(n, 'row', 'was', 'were')} skipped (listed above)."


def _counts_answer(rows: Any, study: dict[str, Any]) -> str:
    columns = [name for name in rows.columns if name.startswith("support_")]
    absent = rows[columns].eq(0).any(axis=1).mean()
    unit = "images" if study["unit"] == "image" else "patients"
    fewer = f" A setting takes what there is where a class has fewer {unit} than it asks for."
    return (
        f"A shot is one of a class's {unit}; results.csv has the images of every class in every row (columns "
        f"support_…). In {absent:.0%} of the fits at least one class had no shot."
    ) + (fewer if study["allow_fewer"] else "")


def _prompts_answer(record: RunRecord) -> str:
    names = {"expert": "the expert-knowledge dictionary's descriptions", "names": "class names alone"}
    read, other = [], []
    for clinic in record.clinics:
        name, prompts = clinic.data, clinic.prompts
        if not clinic.has_text:
            other.append(f"There is no text for {name} with {clinic.encoder.name}.")
        elif clinic.brought:
            other.append(
                f"{name}: its prototypes came with the features; what was read to make them is not recorded."
            )
        elif prompts in names:
            read.append(names[prompts])
        else:
            read.append(f"descriptions of the user's ({prompts}): {clinic.descriptions}")
    said = []
    if read:
        said.append("; ".join(dict.fromkeys(read)) + ". `fewshot-flair prompts` shows them.")
    return " ".join([*said, *dict.fromkeys(other)])


def _encoders_answer(record: RunRecord) -> str:
    said = []
    for clinic in record.clinics:
        name, fingerprint = clinic.encoder.name, clinic.encoder.fingerprint_id[:16]
        if clinic.brought:
            said.append(
                f"{clinic.data}: unknown, as its features came without their model; fingerprint "
                f"{fingerprint} (of the features' kind and width and of the prototypes, where there are some)"
            )
        else:
            said.append(
                f"{name}: fingerprint {fingerprint} (of weights, image preparation and precision; in full in "
                "run.json)"
            )
    frozen = (
        "Adapters are fitted on its frozen features; the methods train a copy of its tower"
        if record.study.get("methods")
        else "Features are frozen; no encoder weight is changed"
    )
    return f"{'; '.join(dict.fromkeys(said))}. {frozen}."
