"""The scikit-learn contract, by scikit-learn's own checks, and inside its pipelines and searches.

Exceptions: coop and kgcoop, whose parameters hold a text tower that no check brings; and below.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fewshot_flair import TextPrototypes, create_adapter, fit_episodes, list_adapters
from fewshot_flair.adapters import get_adapter_class
from fewshot_flair.adapters.validation import check_features, check_weights, encode_labels

NAMES = [info.name for info in list_adapters() if not info.needs_tower]  # these: test_adapters_prompts.py
WITHOUT_TEXT = [info.name for info in list_adapters() if not info.needs_text]


def with_text_of_shots(name):
    """The adapter with text prototypes made of its own shots, as scikit-learn's checks bring none."""
    cls = get_adapter_class(name)

    def fit(self, X, y, X_unlabeled=None, sample_weight=None):
        labels = encode_labels(self.name, y, None)
        rows = check_features(self, X, reset=True)
        if len(rows) != len(labels.codes):
            raise ValueError("rows and labels differ in number")
        weights = check_weights(self.name, sample_weight, len(rows))
        onehot = np.eye(len(labels.classes))[labels.codes] * weights[:, None]
        means = onehot.T @ rows / np.maximum(onehot.sum(axis=0), 1e-12)[:, None]
        names = [str(label) for label in labels.classes]
        self.text = TextPrototypes(names, means, 1.0, means, np.arange(len(names)))
        try:
            cls.fit(self, X, labels.codes, X_unlabeled, sample_weight)
        finally:
            self.text = None
        self.classes_ = self.columns_ = labels.classes
        return self

    named = f"{cls.__name__}WithTextOfShots"
    body = {"fit": fit, "__init__": cls.__init__, "__module__": __name__, "__qualname__": named}
    globals()[named] = type(named, (cls,), body)
    return globals()[named]


def expected_failures(estimator):
    if estimator.name == "logistic":
        return {"check_class_weight_classifiers": "class_weight is 'balanced' or None; use sample_weight"}
    return {}


CHECKED = [(get_adapter_class if n in WITHOUT_TEXT else with_text_of_shots)(n)() for n in NAMES]


@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failures)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def clinic():
    rng = np.random.default_rng(0)
    y = np.repeat(["no", "mild", "severe"], 20)
    centres = dict(zip(["no", "mild", "severe"], rng.standard_normal((3, 16)), strict=True))
    X = np.stack([centres[label] for label in y]) + rng.standard_normal((60, 16))
    text = TextPrototypes(list(centres), 0.3 * np.stack(list(centres.values())), 2.0)
    return X.astype(np.float32), y, text


def test_pipeline_search_and_cross_validation(clinic):
    X, y, text = clinic
    piped = make_pipeline(FunctionTransformer(), create_adapter("tip-adapter", text=text))
    assert cross_val_score(piped, X, y, cv=3).mean() > 0.8
    search = GridSearchCV(piped, {"tipadapter__beta": [0.1, 1.0, 5.5]}, cv=3).fit(X, y)
    assert search.best_params_["tipadapter__beta"] in (0.1, 1.0, 5.5)
    assert set(search.predict(X)) <= {"no", "mild", "severe"}


def test_logistic_in_a_pipeline_without_text(clinic):
    X, y, _ = clinic
    assert (
        cross_val_score(make_pipeline(StandardScaler(), create_adapter("logistic")), X, y, cv=3).min() > 0.7
    )


@pytest.mark.parametrize("name", NAMES)
def test_clone_and_pickle_keep_parameters_and_answers(clinic, name):
    X, y, text = clinic
    adapter = create_adapter(
        name, text=TextPrototypes(text.classes, text.prototypes, 2.0, text.prototypes, [0, 1, 2])
    )
    fitted = clone(adapter).fit(X, y)
    assert fitted.get_params().keys() == adapter.get_params().keys()
    assert not hasattr(clone(fitted), "classes_")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).logits(X), fitted.logits(X))


def test_scorers_see_the_columns_that_they_take_for_granted(clinic):
    X, y, text = clinic
    codes = np.array([list(text.classes).index(label) for label in y])
    adapter = create_adapter("ss-text+", text=text)
    for scoring in ("roc_auc_ovr", "neg_log_loss", "balanced_accuracy"):
        named, coded = (cross_val_score(adapter, X, labels, cv=3, scoring=scoring) for labels in (y, codes))
        np.testing.assert_allclose(named, coded, rtol=1e-5)
    fitted = adapter.fit(X, y)
    assert fitted.classes_.tolist() == sorted(text.classes)
    assert fitted.columns_.tolist() == list(text.classes)
    order = [list(text.classes).index(name) for name in fitted.classes_]
    np.testing.assert_allclose(fitted.decision_function(X), fitted.logits(X)[:, order])
    np.testing.assert_allclose(
        fitted.predict_proba(X).argmax(axis=1), [sorted(text.classes).index(n) for n in fitted.predict(X)]
    )
    together = fit_episodes(adapter, X, y, [range(len(y))])  # of many episodes: the order of `columns_`
    np.testing.assert_allclose(together.probabilities(X)[0][:, order], fitted.predict_proba(X), rtol=1e-5)
    two = TextPrototypes(["no", "mild"], np.asarray(text.prototypes)[:2], 2.0)
    binary = create_adapter("ss-text+", text=two).fit(X[:40], y[:40])
    assert binary.classes_.tolist() == ["mild", "no"]
    assert ((binary.decision_function(X[:40]) > 0) == (binary.predict(X[:40]) == "no")).all()
