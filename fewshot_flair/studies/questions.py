"""What a reviewer would ask of a table of few-shot results, answered from the study's own record."""

from __future__ import annotations

from typing import Any

from fewshot_flair.studies.tables import StudyResults

__all__ = ["reviewers_questions"]


def reviewers_questions(results: StudyResults) -> list[tuple[str, str]]:
    """Questions and answers, in the order of a careful review."""
    record, study = results.record, results.record["study"]
    rows = results.rows
    n_seeds = len(study["seeds"])
    return [
        (
            "Do all adapters see the same support sets?",
            f"Yes. Support sets are drawn once for each data set, scenario, shots and seed "
            f"(seeds {study['seeds'][0]} to {study['seeds'][-1]}, protocol {study['protocol']}), whatever the "
            "adapter; comparisons are paired on them.",
        ),
        (
            "Is the test set touched in fitting?",
            "No. Adapters are fitted on support rows of the training split, with settings fixed before; "
            "nothing is tuned, stopped early or chosen on validation or test images. "
            + _prior_answer(study["prior"])
            + _scenario_answer(study["scenarios"])
            + " Which adapter is called best in a column, though, is read off the test set, as in any such "
            "table: the best mean is a little optimistic.",
        ),
        ("Can a patient be in training and in test?", _patients_answer(record)),
        (
            "What is the interval over?",
            f"± is half the 95 % Student-t interval of the mean over {n_seeds} support-set draws, on one test "
            "set; draws from one pool overlap, so it is somewhat too narrow for other pools. The table “Over "
            "patients” resamples test patients instead, both eyes together.",
        ),
        (
            "How are ties decided?",
            "By Wilcoxon's signed-rank test on paired differences with the best of the column, Holm-corrected "
            "over the column's adapters, at 5 %; never by decimals.",
        ),
        ("How many images did each class really have?", _counts_answer(rows, study)),
        (
            "What about a class without test images, or without shots?",
            "Its recall is absent, and means are over the classes that are there; it is never counted as 0. A "
            "class without shots keeps its place and can still be predicted from its text.",
        ),
        ("What did the text tower read?", _prompts_answer(record)),
        ("Which weights, which preparation?", _encoders_answer(record)),
        (
            "Were rows left out?",
            f"{_skipped_rows(record)} rows were skipped (listed above"
            f"{'' if not record['left_out'] else '; adapters left out are named there too'}).",
        ),
        (
            "Is it deterministic?",
            "Yes: every draw has a seed that is recorded, features are keyed by the image's bytes and the "
            "encoder's fingerprint, and the command below gives the same table.",
        ),
    ]


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


def _patients_answer(record: dict[str, Any]) -> str:
    counts = "; ".join(dict.fromkeys(_patients_counted(clinic["data"]) for clinic in record["clinics"]))
    return (
        "No: a patient, or an image, on both sides is an error before anything is computed. An image without "
        f"a patient in the manifest counts as its own. {counts}."
    )


def _patients_counted(data: dict[str, Any]) -> str:
    train, test = data["train"]["patients"], data["test"]["patients"]
    if train is None or test is None:
        return f"{data['name']} names no patients, so nobody can tell whether two of its images are of one person"
    return f"{data['name']}: {train} training and {test} test patients"


def _skipped_rows(record: dict[str, Any]) -> int:
    return sum({clinic["data"]["name"]: len(clinic["skipped"]) for clinic in record["clinics"]}.values())


def _counts_answer(rows: Any, study: dict[str, Any]) -> str:
    columns = [name for name in rows.columns if name.startswith("support_")]
    absent = rows[columns].eq(0).any(axis=1).mean()
    unit = "images" if study["unit"] == "image" else "patients"
    fewer = f" A setting takes what there is where a class has fewer {unit} than it asks for."
    return (
        f"A shot is one of a class's {unit}; results.csv has the images of every class in every row (columns "
        f"support_…). In {absent:.0%} of the fits at least one class had no shot."
    ) + (fewer if study["allow_fewer"] else "")


def _prompts_answer(record: dict[str, Any]) -> str:
    names = {"expert": "the expert-knowledge dictionary's descriptions", "names": "class names alone"}
    said = [
        names.get(clinic["prompts"], clinic["prompts"])
        if isinstance(clinic["prompts"], str)
        else f"descriptions of the user's: {clinic['prompts']}"
        for clinic in record["clinics"]
    ]
    return "; ".join(dict.fromkeys(said)) + ". `fewshot-flair prompts` shows them."


def _encoders_answer(record: dict[str, Any]) -> str:
    said = [
        f"{clinic['encoder']['name']}: fingerprint {clinic['encoder']['fingerprint_id'][:16]} "
        "(of weights, image preparation and precision; in full in study.json)"
        for clinic in record["clinics"]
    ]
    return "; ".join(dict.fromkeys(said)) + ". Features are frozen; no encoder weight is changed."
