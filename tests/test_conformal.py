"""Conformal sets: exact against what the papers' code computes, and valid where they say they are."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from fewshot_flair import TextPrototypes, create_adapter, create_conformal, list_adapters, list_conformal
from fewshot_flair.adapters.base import softmax
from fewshot_flair.conformal import CONFORMAL, Conformal
from fewshot_flair.conformal.folds import spared_patients
from fewshot_flair.errors import InputError
from fewshot_flair.evaluation.scores import SCORES, ConformityScore, score_of
from fewshot_flair.evaluation.set_figures import score_sets
from fewshot_flair.evaluation.thresholds import fewest_rows, score_threshold

PARITY = Path(__file__).parent / "data" / "conformal_parity.npz"
TAGS = ("balanced-16-0", "clinic-16-0", "clinic-4-1")


@pytest.fixture(scope="module")
def published():
    with np.load(PARITY) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def text(parity):
    n = len(parity["initial_prototypes"])
    return TextPrototypes(
        [f"class {c}" for c in range(n)],
        parity["initial_prototypes"],
        float(parity["logit_scale"]),
        samples=parity["samples_text"],
        sample_classes=parity["labels_text"],
    )


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("score", ["lac", "aps", "raps"])
@pytest.mark.parametrize("alpha", [0.1, 0.05])
@pytest.mark.parametrize("method", ["scp", "adapt+scp", "conf-ot", "fca"])
def test_sets_are_those_of_the_papers_code(parity, published, text, method, score, alpha, tag):
    rows = published[f"calibration|{tag}"]
    X, y = parity["feats_train"][rows].astype(np.float64), parity["refs_train"][rows]
    test = parity["feats_test"].astype(np.float64)
    u, u_test = published[f"uniform_calibration|{tag}"], published[f"uniform_test|{tag}"]
    settings = {"score": score, "alpha": alpha, "quantile": "published"}
    if method == "scp":
        made = create_conformal("split", create_adapter("zero-shot", text=text), **settings)
    elif method == "conf-ot":
        made = create_conformal("conf-ot", create_adapter("zero-shot", text=text), **settings)
    elif method == "fca":
        made = create_conformal("full", create_adapter("ss-text", text=text), **settings)
    else:
        fitted = create_adapter("ss-text", text=text).fit(X, y)
        made = create_conformal("split", fitted, prefit=True, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        sets = made.fit(X, y, uniform=u).predict_set(test, uniform=u_test)
    np.testing.assert_array_equal(sets, published[f"sets|{method}|{score}|{alpha}|{tag}"])
    key = f"threshold|{method}|{score}|{alpha}|{tag}"
    if method == "fca" and key in published:
        np.testing.assert_allclose(made.thresholds(test), published[key], rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            made.probabilities(test), published[f"probabilities|fca|{tag}"], rtol=0, atol=1e-5
        )
    elif method in ("scp", "adapt+scp"):
        np.testing.assert_allclose(made.threshold_, published[key], rtol=0, atol=1e-5)


def planted(text, n, seed=0):
    """Rows near the prototypes, half as near as their noise is long."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, text.n_classes, n)
    t = np.asarray(text.prototypes, dtype=np.float64)
    noise = rng.normal(size=(n, t.shape[1])) / np.sqrt(t.shape[1])
    return t[y] + 2 * np.linalg.norm(t, axis=1).mean() * noise, y


@pytest.mark.parametrize("name", [a.name for a in list_adapters() if not a.needs_tower])
def test_full_is_the_plain_loop_of_refits(text, name):
    """Every adapter, in one batch or by the shortcut, gives what one fit a row and label gives."""
    X, y = planted(text, 30)
    new, _ = planted(text, 3, seed=1)
    made = create_conformal("full", create_adapter(name, text=text), alpha=0.2).fit(X, y)
    sets, thresholds, mean = made.predict_set(new), made.thresholds(new), made.probabilities(new)
    for i, row in enumerate(new):
        own = []
        for c in range(text.n_classes):
            fit = create_adapter(name, text=text).fit(np.vstack([X, row]), np.append(y, c))
            scores = 1 - softmax(fit.logits(X))[np.arange(len(X)), y]
            threshold = np.sort(scores)[int(np.ceil(31 * 0.8)) - 1]
            own.append(softmax(fit.logits(row[None]))[0])
            assert thresholds[i, c] == pytest.approx(threshold, abs=2e-4)
            if abs(1 - own[-1][c] - threshold) > 4e-4:
                assert sets[i, c] == (1 - own[-1][c] <= threshold)
        np.testing.assert_allclose(mean[i], np.mean(own, axis=0), atol=2e-4)


@pytest.mark.parametrize("method", ["split", "mondrian", "cross", "full"])
@pytest.mark.parametrize("score", ["lac", "aps", "raps"])
def test_coverage_is_what_was_asked_for(text, method, score):
    """Over 20 draws of 60 calibration and 200 test rows, within what so many draws allow."""
    covered = []
    for seed in range(20):
        X, y = planted(text, 260, seed)
        made = create_conformal(method, create_adapter("ss-text", text=text), score=score, alpha=0.2)
        sets = made.fit(X[:60], y[:60]).predict_set(X[60:])
        covered.append(float(score_sets(sets, y[60:], 0.2)["coverage"]))
    assert np.mean(covered) > 0.8 - 3 * np.std(covered) / np.sqrt(20)


@pytest.mark.parametrize("name", ["transclip", "stata", "zlap", "em-dirichlet"])
def test_learning_from_both_sides_without_labels_keeps_the_promise(text, name):
    """Sets are those of a plain fit on all rows, and cover over 20 draws what was asked for."""
    covered = []
    for seed in range(20):
        X, y = planted(text, 160, seed)
        adapter = create_adapter(name, text=text, zero_shot=True)
        sets = (
            create_conformal("split-transductive", adapter, alpha=0.2).fit(X[:60], y[:60]).predict_set(X[60:])
        )
        covered.append(float(score_sets(sets, y[60:], 0.2)["coverage"]))
    logits = adapter.fit(X[:1], [0], X_unlabeled=X).logits(X)
    text_logits = create_adapter("zero-shot", text=text).fit(X[:1], [0]).logits(X)
    surer = np.mean([max(z) - min(z) for z in logits]) / np.mean([max(z) - min(z) for z in text_logits])
    p = softmax(logits / max(1, surer))
    threshold = np.sort(1 - p[np.arange(60), y[:60]])[int(np.ceil(61 * 0.8)) - 1]
    clear = np.abs(1 - p[60:] - threshold) > 1e-9
    np.testing.assert_array_equal(sets[clear], (1 - p[60:] <= threshold)[clear])
    assert np.mean(covered) > 0.8 - 3 * np.std(covered) / np.sqrt(20)


def test_learning_from_both_sides_takes_no_labels(text):
    for adapter in (create_adapter("transclip", text=text), create_adapter("zero-shot", text=text)):
        with pytest.raises(InputError, match="zero_shot=true"):
            create_conformal("split-transductive", adapter).fit(*planted(text, 60))


def test_the_rows_that_calibrate_are_any_of_the_rows():
    """Two patients of a rare class calibrate as often as others, which a division by class does not give."""
    patients = np.repeat(np.arange(20), 2)
    spared = np.mean(
        [spared_patients(np.full((40, 3), seed, "f4"), patients, 0.5, seed=0) for seed in range(400)], axis=0
    )
    np.testing.assert_array_equal(spared[::2], spared[1::2])
    assert np.abs(spared - 0.5).max() < 4 * 0.5 / 20
    again = spared_patients(np.ones((40, 3), "f4"), patients, 0.25, seed=0)
    assert again.sum() == 10
    np.testing.assert_array_equal(again, spared_patients(np.ones((40, 3), "f4"), patients, 0.25, seed=0))


@pytest.mark.parametrize("method", ["split", "mondrian", "cross", "full", "conf-ot", "split-transductive"])
def test_a_set_does_not_depend_on_order_and_is_kept_whole(text, method):
    X, y = planted(text, 60)
    new, _ = planted(text, 20, seed=1)
    name = {"conf-ot": "zero-shot", "split-transductive": "transclip"}.get(method, "ss-text")
    params = {"zero_shot": True} if name == "transclip" else {}
    adapter = create_adapter(name, text=text, **params)
    made = create_conformal(method, adapter, score="raps", alpha=0.2).fit(X, y)
    sets = made.predict_set(new)
    backwards = made.predict_set(new[::-1])
    np.testing.assert_array_equal(backwards[::-1], sets)
    if not made.transductive:
        one_by_one = np.concatenate([made.predict_set(row[None]) for row in new])
        np.testing.assert_array_equal(one_by_one, sets)
    settings, arrays = made.to_arrays()
    again = Conformal.from_arrays(create_adapter(name, text=text, **params).fit(X, y), settings, arrays)
    np.testing.assert_array_equal(again.predict_set(new), sets)


def test_thresholds_and_how_many_rows_they_need():
    scores = np.arange(1, 20) / 20
    assert score_threshold(scores, 0.1) == 0.9  # the 18th of 19
    assert score_threshold(scores, 0.1, "published") == pytest.approx(np.quantile(scores, 20 * 0.9 / 19))
    assert score_threshold(scores[:8], 0.1) == np.inf
    assert score_threshold(scores[:8], 0.1, "published") == np.inf
    assert (fewest_rows(0.1), fewest_rows(0.05), fewest_rows(0.5)) == (9, 19, 1)


def test_figures_of_sets():
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]], dtype=bool)
    found = score_sets(sets, [0, 0, 1, 2], 0.1, patients=["a", "a", "b", "b"])
    expected = {
        "coverage": 0.75,
        "set_size": 1,
        "single_share": 0.5,
        "empty_share": 0.25,
        "patient_coverage": 0.5,
    }
    for key, value in expected.items():
        assert found[key] == value
    assert found["class_coverage_gap"] == pytest.approx((0.1 + 0.9 + 0.1) / 3)
    both = score_sets(np.stack([sets, sets]), [0, 0, 1, 2], 0.1)
    assert both["coverage"].shape == (2,)
    assert both["patient_coverage"][0] == 0.75


def test_rows_that_were_fitted_on_are_warned_of(text):
    X, y = planted(text, 60)
    fitted = create_adapter("ss-text", text=text).fit(X[:40], y[:40])
    with pytest.warns(RuntimeWarning, match="fitted on 20 of the 40"):
        create_conformal("split", fitted, prefit=True).fit(X[20:], y[20:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = create_conformal("split", fitted, prefit=True).fit(X[40:], y[40:])
    assert made.n_calibration_ == 20


def test_too_few_rows_keep_every_class_and_say_so(text):
    X, y = planted(text, 60)
    zero = create_adapter("zero-shot", text=text)
    with pytest.warns(RuntimeWarning, match="alpha 0.05 needs 19"):
        assert create_conformal("split", zero, alpha=0.05).fit(X[:10], y[:10]).predict_set(X).all()
    y = np.where(y == 4, 0, y)  # a class without rows
    with pytest.warns(RuntimeWarning, match=r": 4 \(0\)"):
        sets = create_conformal("mondrian", zero, alpha=0.2).fit(X, y).predict_set(X)
    assert sets[:, 4].all()


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [
        ("splt", {}, "did you mean 'split'"),
        ("split", {"alpha": 1.0}, "between 0 and 1"),
        ("split", {"alpha": float("nan")}, "between 0 and 1"),
        ("split", {"score": "lca"}, "did you mean 'lac'"),
        ("split", {"quantil": "exact"}, "did you mean 'quantile'"),
        ("split", {"quantile": "linear"}, "'exact' or 'published'"),
        ("split", {"share": 0.9}, "at most 0.5"),
        ("cross", {"folds": 1}, "at least 2"),
        ("cross", {"quantile": "published"}, "leave quantile out"),
    ],
)
def test_mistakes_are_named(text, method, given, said):
    with pytest.raises(InputError, match=said):
        create_conformal(method, create_adapter("ss-text", text=text), **given)


def test_bad_rows_are_named(text):
    X, y = planted(text, 30)
    made = create_conformal("cross", create_adapter("ss-text", text=text))
    with pytest.raises(InputError, match="not fitted"):
        made.predict_set(X)
    with pytest.raises(InputError, match="all of one patient"):
        made.fit(X, y, groups=["a"] * 30)
    with pytest.raises(InputError, match="numbers in"):
        made.fit(X, y, uniform=np.full(30, 2.0))
    made.fit(X, y)
    with pytest.raises(InputError, match="features"):
        made.predict_set(X[:, :3])
    with pytest.raises(InputError, match="must be an Adapter"):
        create_conformal("split", "ss-text")


def test_a_score_and_a_method_of_your_own_are_one_small_class_each(text):
    """What docs/conformal.md shows: both work with everything else."""

    @SCORES.register
    class Margin(ConformityScore):
        name = "margin"
        summary = "how much more probable the best other class is"

        def labelled(self, p, y, u):
            return self.candidates(p, u)[..., np.arange(len(y)), y]

        def candidates(self, p, u):
            top = np.sort(p, axis=-1)
            best, second = top[..., -1:], top[..., -2:-1]
            return np.where(p == best, second, best) - p

    from fewshot_flair.conformal.methods.split import Split

    @CONFORMAL.register
    class TopTwo(Split):
        name = "split-nonempty"
        summary = "as split, and the most probable class always"

        def contains(self, X, u):
            sets = super().contains(X, u)
            sets[np.arange(len(X)), self.probabilities(X).argmax(axis=1)] = True
            return sets

    try:
        X, y = planted(text, 200)
        made = create_conformal(
            "split-nonempty", create_adapter("ss-text", text=text), score="margin", alpha=0.2
        )
        sets = made.fit(X[:100], y[:100]).predict_set(X[100:])
        assert sets.any(axis=1).all()
        assert score_sets(sets, y[100:], 0.2)["coverage"] > 0.7
        assert "split-nonempty" in [info.name for info in list_conformal()]
        assert score_of("margin").name == "margin"
    finally:
        del SCORES.known["margin"], CONFORMAL.known["split-nonempty"]
