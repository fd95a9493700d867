"""Our adapters inside MAPIE's conformal classifiers, as scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest

from fewshot_flair import TextPrototypes, create_adapter

mapie = pytest.importorskip("mapie.classification")


@pytest.fixture(scope="module")
def clinic():
    """900 rows around five planted class means, long-tailed, and noisy prototypes."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(5, 32))
    y = rng.permutation(np.repeat(np.arange(5), [400, 160, 200, 80, 60]))
    X = (0.35 * means[y] + rng.normal(size=(len(y), 32))).astype(np.float32)
    noisy = means + rng.normal(size=means.shape)
    text = TextPrototypes([f"grade {c}" for c in range(5)], noisy, 2.0)
    return X, np.array(text.classes)[y], text


@pytest.fixture(scope="module")
def real(dr_clinic, demo_cache):
    """One photograph a patient of dr-clinic, by the mini model: embedding, class names, text prototypes."""
    from fewshot_flair import FeatureBank, Manifest, load_encoder
    from fewshot_flair.bank import extract
    from fewshot_flair.text.prompts import described, text_prototypes

    whole = Manifest.read(dr_clinic / "manifest.csv")
    one = whole.take(~whole.frame["patient_id"].duplicated().to_numpy())
    encoder = load_encoder("mini")
    bank = FeatureBank.open(demo_cache, encoder)
    keys = extract([one], encoder, bank).keys
    X = bank.read([keys[str(path)] for path in one.paths], "embedding")
    return (
        X,
        one.frame["label"].to_numpy(str),
        text_prototypes(encoder, bank, described(one.classes, "expert")),
    )


def within(covered, n, n_test):
    """Whether a coverage is within what n calibration and n_test new rows allow at 0.9: three deviations."""
    share = np.mean(covered)
    return abs(share - 0.9) < 3 * np.sqrt(0.09 / n + 0.09 / n_test) + 1 / (n + 1)


@pytest.mark.parametrize("name", ["zero-shot", "ss-text", "lp", "logistic"])
def test_split_classifier(clinic, name):
    X, y, text = clinic
    adapter = create_adapter(name, text=text)
    made = mapie.SplitConformalClassifier(
        adapter, confidence_level=0.9, conformity_score="lac", prefit=False, random_state=0
    )
    made.fit(X[:200], y[:200]).conformalize(X[200:500], y[200:500])
    points, sets = made.predict_set(X[500:])
    assert sets.shape == (400, 5, 1)
    column = {label: i for i, label in enumerate(sorted(text.classes))}
    held = sets[np.arange(400), [column[label] for label in y[500:]], 0]
    assert within(held, 300, 400)
    fitted = create_adapter(name, text=text).fit(X[:200], y[:200])
    np.testing.assert_array_equal(points, fitted.predict(X[500:]))


@pytest.mark.parametrize("name", ["ss-text", "lp"])
def test_cross_classifier(clinic, name):
    X, y, text = clinic
    made = mapie.CrossConformalClassifier(
        create_adapter(name, text=text), confidence_level=0.9, conformity_score="lac", cv=5, random_state=0
    )
    made.fit_conformalize(X[:400], y[:400])
    _, sets = made.predict_set(X[400:])
    column = {label: i for i, label in enumerate(sorted(text.classes))}
    held = sets[np.arange(500), [column[label] for label in y[400:]], 0]
    assert within(held, 400, 500)


def coverage(sets, labels, classes):
    column = {label: i for i, label in enumerate(sorted(classes))}
    return sets[np.arange(len(labels)), [column[label] for label in labels], 0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero-shot", "ss-text"])
def test_on_real_photographs_coverage_is_what_was_asked_for(real, name):
    """300 patients of dr-clinic: 100 fit, 100 calibrate, 100 test; or all 200 do both, in folds."""
    X, y, text = real
    order = np.random.default_rng(0).permutation(len(y))
    fit, known, new = order[:100], order[100:200], order[200:]
    made = mapie.SplitConformalClassifier(
        create_adapter(name, text=text),
        confidence_level=0.9,
        conformity_score="lac",
        prefit=False,
        random_state=0,
    )
    made.fit(X[fit], y[fit]).conformalize(X[known], y[known])
    assert within(coverage(made.predict_set(X[new])[1], y[new], text.classes), 100, len(new))
    crossed = mapie.CrossConformalClassifier(
        create_adapter(name, text=text), confidence_level=0.9, conformity_score="lac", cv=5, random_state=0
    )
    both = order[:200]
    crossed.fit_conformalize(X[both], y[both])
    assert within(coverage(crossed.predict_set(X[new])[1], y[new], text.classes), 200, len(new))
