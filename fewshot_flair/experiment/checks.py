"""What of a study does not go together, found before anything is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import FLAIR_2025
from fewshot_flair.experiment.design import Study
from fewshot_flair.experiment.draws import sampler_of
from fewshot_flair.experiment.published import read_published
from fewshot_flair.experiment.sources import holds_features

__all__ = ["check_study"]


def check_study(study: Study) -> dict[str, Any] | None:
    """Raise for names that are unknown, before anything is read; the published numbers, where there are some."""
    for spec in study.fits:
        spec.check()
    _check_tests(study)
    for scenario in study.scenarios:
        if isinstance(scenario, str):
            sampler_of(study, scenario, study.shots[0], [], np.zeros(0, np.int64))
    if study.save and (study.tests or max(len(study.data), len(study.encoders), len(study.prompts)) > 1):
        raise InputError(
            "adapters are saved for one data set, one test side, one encoder and one kind of prompts; leave save out, "
            "or make several studies of this one"
        )
    augmented = study.feature_augmentation or study.test_augmentation
    if augmented and (study.save or study.conformal or study.calibrate):
        raise InputError(
            "feature_augmentation and test_augmentation go with the metrics of draws alone; leave them out, or save, "
            "conformal and calibrate"
        )
    if augmented and any(holds_features(data.manifest) for data in study.data):
        raise InputError(
            "files of features have no augmented copies; leave feature_augmentation and test_augmentation out"
        )
    if study.save and study.folds is not None:
        raise InputError(
            "adapters are saved for one training side, and folds make several; leave save or folds out (adapt saves, "
            f"so protocol {FLAIR_2025} is for `fewshot-flair study`)"
        )
    return read_published(study.folder / study.published) if study.published else None


def _check_tests(study: Study) -> None:
    """Raise for what does not go with further test sides, spoilt photographs or methods."""
    spoilt = [side.data for side in study.sides if side.data.corruption is not None]
    for data in study.data:
        brought = holds_features(data.manifest)
        if brought and study.methods:
            raise InputError(
                f"data set {data.name}: {data.manifest} holds features, and methods train the encoder on photographs; "
                "give photographs and an encoder, or leave methods out"
            )
        if brought and study.tests and data.test_on is None:
            raise InputError(
                f"data set {data.name}: {data.manifest} is split here, and would be trained on whole for tests; name "
                "its own test rows too (test_on), or leave tests out"
            )
        if brought and any(each.manifest == data.manifest for each in spoilt):
            raise InputError(
                f"data set {data.name}: {data.manifest} holds features, and a corruption spoils photographs; give "
                "photographs, or leave it out of tests"
            )
    if study.folds is not None and any(
        side.data.test_on and side.distribution == "out" for side in study.sides
    ):
        raise InputError(
            "tests: folds make both sides of one table, so of other tables there are none to test on; leave folds out, "
            "or name corruptions alone"
        )
    augmented = study.feature_augmentation or study.test_augmentation
    if augmented and (study.methods or spoilt):
        raise InputError(
            "feature_augmentation and test_augmentation go with adapters on photographs as they are; leave them out, "
            "or methods and corruptions (networks are trained with the augmentation of [tuning])"
        )
    drawn = [each for each in study.scenarios if isinstance(each, dict) and each.get("prevalence") == "test"]
    if study.tests and (drawn or (study.protocol == "sstext-2025" and study.unlabelled)):
        raise InputError(
            "tests: these draws follow the prevalence of the test rows, so that each test side would have its own; "
            "leave tests out, or take another scenario and protocol"
        )
