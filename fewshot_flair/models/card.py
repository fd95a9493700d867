"""A model card: on what a saved adapter was fitted and tested, what it cannot do, and how it is used.

Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewshot_flair.experiment.folder import versions
from fewshot_flair.files import json_bytes
from fewshot_flair.report.page import render
from fewshot_flair.report.wording import MINI, percent_range, percentage
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.experiment.provenance import Provenance
    from fewshot_flair.experiment.results import Saved, TestFigures
    from fewshot_flair.models.origin import Origin
    from fewshot_flair.models.run import SavedModel

__all__ = ["card_files", "model_card"]

FIGURES = {"cross_validation", "cross_validation_auroc", "test", "decided"}
FEW = 30
"""Test images of a class below which its figures are called uncertain."""


def model_card(origin: Origin, model: SavedModel, use: dict[str, Any]) -> dict[str, Any]:
    """What the card says, as JSON takes it.

    Parameters
    ----------
    use : dict
        How the exported graph is used: what ``model.json`` says.
    """
    record, saved, provenance = origin.record, origin.saved, _provenance(origin, model)
    return {
        "model": {
            "adapter": origin.label,
            "method": model.adapter.name,
            "encoder": model.made_by.name,
            "data": model.data,
            "training_images": model.training_images,
            "prompts": provenance.descriptions if provenance else {},
        },
        "notes": _notes(model, provenance),
        "limits": _limits(origin, model, provenance, use),
        "classes": use["classes"],
        "data": _data(provenance),
        "figures": saved.model_dump(include={"cross_validation", "cross_validation_auroc", "test", "decided"})
        if saved
        else None,
        "chosen": record.default_rule if record and record.default_adapter == origin.label else None,
        "use": use,
        "command": record.command if record else "",
        "versions": record.versions if record else versions(),
    }


def card_files(origin: Origin, model: SavedModel, use: dict[str, Any]) -> dict[str, bytes]:
    """``card.json`` and ``card.html``, the latter one file without any reference outside itself."""
    card = model_card(origin, model, use)
    name = f"{origin.label} for {model.data}"
    content = {
        "name": name,
        "card": card,
        "figures": _figures(origin),
        "percentage": percentage,
        "counted": counted,
    }
    page = render(name, [("{% include 'card.html.j2' %}", content)])
    return {
        "card.json": json_bytes(card),
        "card.html": page.encode(errors="backslashreplace"),
    }


def _provenance(origin: Origin, model: SavedModel) -> Provenance | None:
    clinics = origin.record.clinics if origin.record else []
    alike = (c for c in clinics if (c.data, c.encoder) == (model.data, model.made_by))
    return next(alike, None)


def _data(provenance: Provenance | None) -> dict[str, Any] | None:
    if provenance is None:
        return None
    sides = {"training": provenance.train, "test": provenance.test}
    if provenance.pool is not None:
        sides["pool"] = provenance.pool
    return {
        "sides": {name: side.model_dump() for name, side in sides.items()},
        "split": "given by the table"
        if provenance.split_given
        else "drawn here, by patient where they are named",
        "skipped": len(provenance.skipped),
        "rendered": provenance.rendered,
        "remarks": provenance.remarks,
    }


def _notes(model: SavedModel, provenance: Provenance | None) -> list[str]:
    notes = []
    if provenance and provenance.rendered:
        notes.append(
            f"{model.data}: these photographs are rendered by a program; they are no real eyes, and the numbers on "
            "them say nothing of patients."
        )
    if model.made_by.name == "mini":
        notes.append(MINI)
    return notes


def _limits(
    origin: Origin, model: SavedModel, provenance: Provenance | None, use: dict[str, Any]
) -> list[str]:
    said = [
        "A research tool, not a medical device: no answer of it replaces a physician's.",
        "It gives an answer to every image, also to one that is no retina or cannot be graded, and only ever one of "
        "the classes below: whatever else an eye has, it cannot say.",
        "The graph gives logits and a feature, nothing else. What `fewshot-flair predict` checks besides is not in it: "
        "whether a photograph shows a retina and is fit to grade, how typical it is of the training photographs, the "
        "set of classes that cannot be ruled out, and the decision to answer or refer. Who uses the graph alone has to "
        "make these checks, or go without.",
    ]
    if provenance and origin.saved:
        said += _tested(origin, model, provenance)
    else:
        said.append("What it does on test rows is not at hand: it was saved without its run.")
    said.append(
        "Photographs of other cameras, other people and other fields of view may be answered worse, and by how much "
        "was not measured, unless the test images above are such."
    )
    return [*said, *_probability(origin, model, use)]


def _tested(origin: Origin, model: SavedModel, provenance: Provenance) -> list[str]:
    test, record = provenance.test, origin.record
    assert record is not None
    elsewhere = next(each for each in record.study["data"] if each["name"] == model.data)["test_on"]
    where = f"another table ({elsewhere})" if elsewhere else "the same data set as the training ones"
    people = "patients not named" if test.patients is None else counted(test.patients, "patient")
    said = [f"It was tested on {counted(test.images, 'image')} of {where}; {people}."]
    if not provenance.names_patients:
        said.append(
            "Patients are not named: photographs of one person may be on both sides, and intervals are too narrow then."
        )
    if few := [f"{name} ({n})" for name, n in test.counts.items() if n < FEW]:
        said.append(f"Figures of classes with fewer than {FEW} test images are uncertain: {', '.join(few)}.")
    return said


def _probability(origin: Origin, model: SavedModel, use: dict[str, Any]) -> list[str]:
    """What a probability of it means."""
    saved, decision = origin.saved, use["decision"]
    if decision and decision.get("calibration"):
        said = f"Probabilities: {decision['calibration']}."
    else:
        said = "Probabilities are a softmax of the logits, and were not calibrated."
    if saved and (error := saved.test.expected_calibration_error) is not None:
        said += (
            f" On the test images they differ from the share of right answers by {percentage(error)} points on average "
            "(expected calibration error)."
        )
    presumed = (
        "classes of equal prevalence" if model.adapter.class_balanced else "the training images' prevalence"
    )
    return [said, f"They presume {presumed}; where it is another, they are off."]


def _figures(origin: Origin) -> list[tuple[str, str]]:
    """The figures of the test rows as text."""
    if origin.saved is None:
        return []
    test: TestFigures = origin.saved.test
    named = origin.record is not None and all(clinic.names_patients for clinic in origin.record.clinics)
    return [
        ("balanced accuracy, %", percentage(test.balanced_accuracy)),
        (
            f"its 95 % interval over test {'patients' if named else 'images'}, %",
            percent_range(test.low, test.high),
        ),
        (
            "balanced accuracy in cross-validation on training rows, %",
            percentage(origin.saved.cross_validation),
        ),
        *_ranked(origin.saved),
        ("accuracy, %", percentage(test.accuracy)),
        *(
            (label, "–" if value is None else f"{value:.3f}")
            for label, value in (
                ("macro F1", test.macro_f1),
                ("macro AUROC", test.macro_auroc),
                ("quadratic kappa", test.quadratic_kappa),
                ("log loss", test.log_loss),
                ("Brier score", test.brier_score),
                ("expected calibration error", test.expected_calibration_error),
            )
        ),
    ]


def _ranked(saved: Saved) -> list[tuple[str, str]]:
    area = saved.cross_validation_auroc
    return [] if area is None else [("AUROC of the positive classes, in cross-validation", f"{area:.3f}")]
