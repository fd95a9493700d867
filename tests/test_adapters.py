"""What holds for every adapter: batched is one by one, order and names do not matter, bad input is said."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fewshot_flair import EpisodeSampler, TextPrototypes, create_adapter, fit_episodes, list_adapters
from fewshot_flair.adapters import Adapter, get_adapter_class
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.models import load_adapter, save_adapter, storage

pytestmark = pytest.mark.filterwarnings("ignore:gda. shots do not vary")
NAMES = [info.name for info in list_adapters() if not info.needs_tower]  # these: test_adapters_prompts.py
VARIANTS = [
    *((name, {}) for name in NAMES),
    ("clap", {"penalty": "mean"}),
    ("taskres", {"alpha": 0.5}),
    ("clip-adapter", {"activation": "none"}),
    ("tip-adapter", {"beta": 5.5, "text_scale": 100.0}),
    ("tip-adapter-f", {"train": "keys", "beta": 5.5, "text_scale": 100.0}),
    ("ss-text", {"lam": 0.1}),
    ("logistic", {"class_weight": None, "C": 10.0}),
]
every_adapter = pytest.mark.parametrize(
    ("name", "params"), VARIANTS, ids=[" ".join([n, *map(str, p.values())]) for n, p in VARIANTS]
)


def clinic(n_classes=5, width=32, per_class=12, n_test=40, seed=0, scale=3.0):
    """Unit features around class centres, labels, and text prototypes that are near those centres."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_classes, width))
    y = np.repeat(np.arange(n_classes), per_class)
    X = centres[y] + rng.standard_normal((len(y), width))
    queries = centres[rng.integers(0, n_classes, n_test)] + rng.standard_normal((n_test, width))
    X, queries = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (X, queries))
    samples = np.repeat(centres, 2, axis=0) + 2 * rng.standard_normal((2 * n_classes, width))
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    prototypes = samples.reshape(n_classes, 2, width).mean(axis=1)
    names = [f"grade {c}" for c in range(n_classes)]
    text = TextPrototypes(names, prototypes, scale, samples, np.repeat(np.arange(n_classes), 2))
    return X.astype(np.float32), y, queries.astype(np.float32), text


def close(actual, expected, tolerance=1e-4):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@every_adapter
def test_batched_equals_one_by_one_for_episodes_of_several_sizes(name, params):
    X, y, queries, text = clinic()
    episodes = [
        np.append(EpisodeSampler(k).sample(y, seed=k), [0, 13][: k % 3]).astype(int) for k in (2, 3, 4, 7)
    ]
    adapter = create_adapter(name, text=text, **params)
    together = fit_episodes(adapter, X, y, episodes).logits(queries)
    assert together.shape == (4, 40, 5)
    assert together.dtype == np.float32
    for rows, logits in zip(episodes, together, strict=True):
        close(logits, adapter.fit(X[rows], y[rows]).logits(queries))


@pytest.mark.parametrize("name", ["tip-adapter", "tip-adapter-f", "proker"])
def test_the_pool_s_first_row_is_not_taken_for_padding(name):
    X, y, queries, text = clinic()
    adapter = create_adapter(name, text=text)
    together = fit_episodes(adapter, X, y, [[1], [1, 0, 20], [0, 0]]).logits(queries)
    for rows, logits in zip([[1], [1, 0, 20], [0, 0]], together, strict=True):
        close(logits, adapter.fit(X[rows], y[rows]).logits(queries))


@every_adapter
def test_the_order_of_shots_does_not_matter(name, params):
    X, y, queries, text = clinic()
    rows = EpisodeSampler(4).sample(y, seed=1)
    mixed = np.random.default_rng(0).permutation(rows)
    first, second = fit_episodes(create_adapter(name, text=text, **params), X, y, [rows, mixed]).logits(
        queries
    )
    close(first, second)


@every_adapter
def test_the_same_fit_twice_gives_the_same_bytes(name, params):
    X, y, queries, text = clinic()
    adapter = create_adapter(name, text=text, **params)
    once = adapter.fit(X, y).logits(queries)
    assert once.tobytes() == adapter.fit(X, y).logits(queries).tobytes()


@every_adapter
def test_a_weight_of_two_is_the_row_twice_and_of_zero_no_row(name, params):
    X, y, queries, text = clinic(per_class=4)
    weights = np.ones(len(y))
    weights[[0, 5]], weights[[7, 9]] = 2, 0
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    adapter = create_adapter(name, text=text, **params)
    weighted = adapter.fit(X, y, sample_weight=weights).logits(queries)
    close(weighted, adapter.fit(X[repeated], y[repeated]).logits(queries))


@every_adapter
def test_names_and_codes_answer_in_kind(name, params):
    X, y, queries, text = clinic()
    by_code = create_adapter(name, text=text, **params).fit(X, y)
    names = np.array(text.classes)[y]
    by_name = create_adapter(name, text=text, **params).fit(X, names)
    assert by_code.classes_.tolist() == [0, 1, 2, 3, 4]
    assert by_name.columns_.tolist() == list(text.classes)
    assert by_name.classes_.tolist() == sorted(text.classes)
    np.testing.assert_array_equal(by_code.logits(queries), by_name.logits(queries))
    assert [text.classes[code] for code in by_code.predict(queries)] == by_name.predict(queries).tolist()
    np.testing.assert_allclose(by_code.predict_proba(queries).sum(axis=1), 1, rtol=1e-5)
    assert 0 <= by_name.score(X, names) <= 1


@every_adapter
@pytest.mark.parametrize(
    "support",
    [
        pytest.param([0], id="one shot in all"),
        pytest.param([0, 1, 2, 3], id="one class in all"),
        pytest.param([0, 12, 24], id="two classes without shots"),
        pytest.param([0, 0, 0, 12, 12], id="duplicated rows"),
        pytest.param([0, 12, 24, 36, 48], id="one shot of each"),
    ],
)
def test_poor_support_sets_give_finite_logits_of_every_class(name, params, support):
    X, y, queries, text = clinic()
    adapter = create_adapter(name, text=text, **params).fit(X[support], y[support])
    logits = adapter.logits(queries)
    assert logits.shape == (40, 5)
    assert np.isfinite(logits).all()
    assert np.isfinite(adapter.predict_proba(queries)).all()


@every_adapter
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_constant_features_give_finite_logits(name, params, value):
    _, y, _, text = clinic()
    X = np.full((len(y), 32), value, dtype=np.float32)
    logits = create_adapter(name, text=text, **params).fit(X, y).logits(X[:5])
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, np.broadcast_to(logits[:1], logits.shape), rtol=1e-5)


@every_adapter
@pytest.mark.parametrize("n_classes", [2, 40])
def test_few_and_many_classes(name, params, n_classes):
    X, y, queries, text = clinic(n_classes=n_classes, width=48, per_class=3)
    adapter = create_adapter(name, text=text, **params).fit(X, y)
    assert adapter.logits(queries).shape == (40, n_classes)
    assert adapter.decision_function(queries).shape == ((40,) if n_classes == 2 else (40, n_classes))
    assert adapter.score(X, y) > 2 / n_classes * 0.9


@every_adapter
def test_bad_input_is_refused_in_the_same_words(name, params):
    X, y, _, text = clinic()
    adapter = create_adapter(name, text=text, **params)

    def refused(message, X, y, **more):
        with pytest.raises(InputError, match=message):
            adapter.fit(X, y, **more)

    for bad, kind in ((np.nan, "NaN"), (np.inf, "infinity")):
        spoiled = X.copy()
        spoiled[3, 1] = bad
        refused(rf"^{name.replace('+', '.')}: row 3 of X holds {kind}", spoiled, y)
    refused("label 9 is not one of the 5 classes", X, np.where(y == 4, 9, y))
    refused("label 'drusen' is not one of the classes", X, np.where(y == 4, "drusen", "grade 1"))
    refused("60 rows in X and 59 labels in y", X, y[:-1])
    refused("y: Unknown label type", X, y + 0.5)
    refused("y is None", X, None)
    refused("Expected 2D array", X[0], y)
    refused("minimum of 1 is required", X[:0], y[:0])
    refused("weights are zero", X, y, sample_weight=np.zeros(60))
    refused("must be finite and not negative", X, y, sample_weight=-np.ones(60))
    fitted = adapter.fit(X, y)
    with pytest.raises(InputError, match=r"X has 31 features, but .* is expecting 32 features"):
        fitted.logits(X[:, :31])
    if get_adapter_class(name).needs_text:
        refused("X has 31 features and the text prototypes have 32", X[:, :31], y)
        with pytest.raises(InputError, match="needs text prototypes"):
            create_adapter(name, **params).fit(X, y)
    if not get_adapter_class(name).uses_unlabeled:
        refused("cannot use unlabelled images; ss-text-u can", X, y, X_unlabeled=X)
    with pytest.raises(InputError, match="episode 1 has no shots"):
        fit_episodes(adapter, X, y, [[0, 1], []])
    with pytest.raises(InputError, match="row 60; the pool has 60 rows"):
        fit_episodes(adapter, X, y, [[0, 60]])


@every_adapter
def test_huge_features_are_answered_or_refused_but_never_nan(name, params):
    X, y, queries, text = clinic()
    adapter = create_adapter(name, text=text, **params)
    with np.errstate(all="ignore"):
        try:
            logits = adapter.fit(X * np.float32(1e30), y).logits(queries * np.float32(1e30))
        except InputError as error:
            refusal = str(error)
        else:
            refusal = None
            assert np.isfinite(logits).all()
    assert refusal is None or "too large" in refusal


def test_a_class_without_shots_is_never_predicted_without_text():
    X, y, queries, text = clinic()
    for name in ("ss", "logistic"):
        adapter = create_adapter(name, text=text).fit(X[y != 2], y[y != 2])
        assert 2 not in adapter.predict(queries)
        assert adapter.predict_proba(queries)[:, 2].max() == 0


def test_columns_of_a_pool_without_text():
    X, y, queries, _ = clinic()
    fits = fit_episodes(create_adapter("logistic"), X, y, [np.flatnonzero(y < 2)], classes=range(5))
    assert fits.logits(queries).shape == (1, 40, 5)
    assert fits.columns_.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("clap", {"penalty": "median"}, "penalty is 'median'; give one of 'class', 'mean'"),
        ("tip-adapter-f", {"train": "both"}, "train is 'both'"),
        ("clip-adapter", {"activation": "gelu"}, "activation is 'gelu'"),
        ("ss-text", {"lam": 0}, "lam is 0; give a finite number greater than 0"),
        ("logistic", {"C": -1}, "C is -1"),
        ("tip-adapter", {"beta": float("nan")}, "beta is nan; give a finite number"),
        ("logistic", {"C": 10**32}, r"C is 10+; give a finite number greater than 0 below 1e\+15"),
        ("taskres", {"alpha": 1e308}, r"alpha is 1e\+308; give a finite number below 1e\+15"),
        ("clip-adapter", {"reduction": 1e-308}, "reduction is 1e-308"),
        ("clip-adapter", {"random_state": -1}, "random_state is -1; give a whole number"),
        ("clip-adapter", {"random_state": 0.5}, r"random_state is 0\.5; give a whole number"),
        ("lp-ldam", {"max_margin": "x"}, "max_margin is 'x'; give a finite number"),
        ("logistic", {"max_steps": 0}, "max_steps is 0; give a whole number of at least 1"),
        ("stata", {"rounds": 0.5}, r"rounds is 0\.5; give a whole number of at least 1"),
        ("zlap", {"k": 1.5}, r"k is 1\.5; give a whole number"),
        ("ss", {"logit_scale": 1000}, "logit_scale is 1000; give a finite number below 50"),
    ],
)
def test_parameters_out_of_range_are_refused(name, params, message):
    X, y, _, text = clinic()
    with pytest.raises(InputError, match=message):
        create_adapter(name, text=text, **params).fit(X, y)


def test_a_device_that_is_not_there_is_refused():
    X, y, _, text = clinic()
    with pytest.raises(InputError, match="device 'tpu' cannot be used"):
        create_adapter("lp", text=text, device="tpu").fit(X, y)


def test_text_of_another_type_is_refused_with_the_mend():
    X, y, _, text = clinic()
    for given in (np.asarray(text.prototypes), "text.npz", {"a": 1}):
        with pytest.raises(InputError, match=r"ss-text: text is .*TextPrototypes\(classes"):
            create_adapter("ss-text", text=given)
        with pytest.raises(InputError, match="text is"):
            get_adapter_class("ss-text")(given).fit(X, y)
    for bad in (None, "X", {"a": 1}, 3):
        with pytest.raises(InputError, match="ss-text: X"):
            create_adapter("ss-text", text=text).fit(bad, y)
    with pytest.raises(InputError, match="sample weights must be numbers"):
        create_adapter("ss-text", text=text).fit(X, y, sample_weight=["heavy"] * len(y))


def test_half_precision_gives_single():
    X, y, queries, text = clinic()
    fitted = create_adapter("ss-text", text=text).fit(X.astype(np.float16), y)
    assert fitted.logits(queries.astype(np.float16)).dtype == np.float32


def test_rows_of_another_scale_than_those_fitted_warn():
    X, y, queries, text = clinic()
    adapter = create_adapter("ss-text", text=text).fit(X * 30, y)
    with pytest.warns(RuntimeWarning, match=r"norms about 1, those that were fitted 30; .* do it to both"):
        adapter.predict(queries)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapter.predict(queries * 30)
    with pytest.warns(RuntimeWarning, match="do it to both"):
        fit_episodes(adapter, X, y, [range(len(y))]).logits(queries * 30)


def test_logistic_says_that_it_stopped_far_from_the_optimum():
    X, y, _, _ = clinic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_adapter("logistic").fit(X, y)
    with pytest.warns(ConvergenceWarning, match="not converged in .* scale the features"):
        create_adapter("logistic").fit(X * 1000, y)


@every_adapter
def test_torch_gives_what_numpy_gives(name, params):
    X, y, queries, text = clinic()
    adapter = create_adapter(name, text=text, **params)
    episodes = EpisodeSampler(3).sample_many(y, range(2))
    on_numpy = fit_episodes(adapter, X, y, episodes).logits(queries)
    on_torch = fit_episodes(adapter, X, y, episodes, device="cpu:0")
    assert "torch" in type(next(iter(on_torch.head.arrays().values()))).__module__
    close(on_torch.logits(queries), on_numpy)


@every_adapter
def test_saved_and_loaded_the_logits_are_bit_for_bit_the_same(name, params, tmp_path):
    X, y, queries, text = clinic()
    adapter = create_adapter(name, text=text, **params).fit(X, np.array(text.classes)[y])
    save_adapter(adapter, tmp_path / "here", extra={"encoder": "mini"})
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["adapter.json", "adapter.safetensors"]
    loaded, extra = load_adapter(tmp_path / "here")
    assert extra == {"encoder": "mini"}
    assert type(loaded) is type(adapter)
    assert loaded.logits(queries).tobytes() == adapter.logits(queries).tobytes()
    assert loaded.predict(queries).tolist() == adapter.predict(queries).tolist()
    assert {k: v for k, v in loaded.get_params().items() if k != "text"} == {
        k: v for k, v in adapter.get_params().items() if k != "text"
    }


def test_damaged_files_are_named(tmp_path):
    X, y, _, text = clinic()
    folder = save_adapter(create_adapter("lp", text=text).fit(X, y), tmp_path / "a")
    with pytest.raises(MissingFileError, match="is not there"):
        load_adapter(tmp_path / "b")
    numbers, record = folder / "adapter.safetensors", folder / "adapter.json"
    whole, described = numbers.read_bytes(), record.read_text()
    numbers.write_bytes(whole[:-8])
    with pytest.raises(InputError, match=r"adapter\.safetensors is damaged"):
        load_adapter(folder)
    numbers.write_bytes(whole)
    for spoiled, message in (
        (described[:50], "is damaged"),
        ("[]", "was not written by this version"),
        ("[" * 100_000, "is damaged"),
        (described.replace('"sha256"', '"sha"'), "is damaged"),
        (described.replace('"name": "lp"', '"name": "ss"'), "is not what its digest says"),
    ):
        record.write_text(spoiled)
        with pytest.raises(InputError, match=message):
            load_adapter(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "lpp"},
        {"head": {"kind": "os.system"}},
        {"head": {"normalize": True}},
        {"head": "x"},
        {"classes": None},
        {"classes": [None, "b", "c"]},
        {"classes": ["b", "c"]},
        {"n_features": 2**60},
        {"n_features": -1},
        {"text": "x"},
        {"text": {"classes": True}},
        {"params": {"text": 1}},
        {"params": {"lpp": 1}},
        {"extra": 3},
    ],
)
def test_a_signed_file_of_somebody_else_is_not_believed(tmp_path, changes):
    X, y, _, text = clinic()
    folder = save_adapter(create_adapter("lp", text=text).fit(X, y), tmp_path / "a")
    record = json.loads((folder / "adapter.json").read_text()) | changes
    del record["sha256"]
    (folder / "adapter.json").write_text(json.dumps(record | {"sha256": storage.digest_of(record)}))
    with pytest.raises(InputError):
        load_adapter(folder)


def test_arrays_of_impossible_shape_are_refused(tmp_path):
    X, y, _, text = clinic()
    folder = save_adapter(create_adapter("lp", text=text).fit(X, y), tmp_path / "a")
    header = json.dumps({"head.weights": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 16]}})
    numbers = len(header).to_bytes(8, "little") + header.encode() + bytes(16)
    record = json.loads((folder / "adapter.json").read_text()) | {"arrays_sha256": storage.sha256(numbers)}
    del record["sha256"]
    (folder / "adapter.json").write_text(json.dumps(record | {"sha256": storage.digest_of(record)}))
    (folder / "adapter.safetensors").write_bytes(numbers)
    with pytest.raises(InputError, match="whole adapter"):
        load_adapter(folder)


def test_unknown_names_and_parameters_say_what_there_is():
    with pytest.raises(
        InputError, match=r"no adapter 'ss-txt\+': did you mean 'ss-text\+'\? there are zero-shot, lp"
    ):
        create_adapter("ss-txt+")
    with pytest.raises(
        InputError, match=r"adapter 'clap' has no parameter 'penality'.*did you mean 'penalty'"
    ):
        create_adapter("clap", penality="mean")


def test_every_adapter_says_what_it_is():
    infos = {info.name: info for info in list_adapters()}
    assert set(infos) >= {
        *("zero-shot", "lp", "lp-cw", "lp-ldam", "clap", "taskres", "cross-modal", "clip-adapter"),
        *("tip-adapter", "tip-adapter-f", "lp++", "lp++-tf", "lp-text", "ss", "ss-text", "ss-text+"),
        *("ss-text-u", "logistic", "gda", "proker"),
    }
    for info in infos.values():
        assert info.summary
        assert info.paper
        assert info.features in ("embedding", "backbone", "local")
        assert issubclass(get_adapter_class(info.name), Adapter)
