"""Each method against its formula written plainly: autograd loops, direct solves, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from fewshot_flair import EpisodeSampler, TextPrototypes, create_adapter, fit_episodes
from fewshot_flair.adapters.methods.clip_adapter import starting_weights
from fewshot_flair.errors import InputError


@pytest.fixture(scope="module")
def shots():
    """Imbalanced shots of four of five classes, in float64, and text."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((5, 24))
    y = np.repeat([0, 1, 2, 4], [6, 3, 2, 1])
    X = centres[y] + rng.standard_normal((12, 24))
    queries = rng.standard_normal((30, 24)) + centres[rng.integers(0, 5, 30)]
    X, queries = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (X, queries))
    text = TextPrototypes(list("abcde"), 0.2 * centres + 0.1 * rng.standard_normal((5, 24)), 2.5)
    return X, y, queries, text


def close(actual, expected, tolerance=1e-6):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def tensors(X, y, queries, text):
    prototypes = torch.tensor(np.asarray(text.prototypes), dtype=torch.float64)
    return torch.tensor(X), torch.tensor(y), torch.tensor(queries), prototypes, text.scale


@pytest.fixture(params=["few shots", "more shots than columns"])
def any_shots(request, shots):
    """The shots, or their first six columns with each shot five times and a little noise."""
    if request.param == "few shots":
        return shots
    X, y, queries, text = shots
    X = np.tile(X[:, :6], (5, 1)) + 0.02 * np.random.default_rng(0).standard_normal((60, 6))
    X, queries = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (X, queries[:, :6]))
    return X, np.tile(y, 5), queries, TextPrototypes(text.classes, text.prototypes[:, :6], 2.5)


def common_loop(parameters, loss):
    """The papers' way: autograd and torch's own optimiser and schedule."""
    optimiser = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 300)
    for _ in range(300):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        schedule.step()


def cosine_logits(x, w, s):
    return s * normalize(x, dim=-1) @ normalize(w, dim=-1).T


def test_clap_penalises_each_class_by_its_own_confidence(any_shots):
    x, y, q, t, s = tensors(*any_shots)
    probabilities = cosine_logits(x, t, s).softmax(dim=1)
    own = [probabilities[y == c, c].mean() if (y == c).any() else None for c in range(5)]
    mean = torch.stack([p for p in own if p is not None]).mean()
    lam = torch.stack([mean if p is None else p for p in own])
    w = t.clone().requires_grad_()
    common_loop(
        [w],
        lambda: cross_entropy(cosine_logits(x, w, s), y) + (lam * ((w - t) ** 2).sum(dim=1)).mean(),
    )
    X, y, queries, text = any_shots
    close(
        create_adapter("clap", text=text).fit(X, y).logits(queries), cosine_logits(q, w, s).detach().numpy()
    )


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_taskres_learns_a_residual(any_shots, alpha):
    x, y, q, t, s = tensors(*any_shots)
    r = torch.zeros_like(t).requires_grad_()
    common_loop([r], lambda: cross_entropy(cosine_logits(x, t + alpha * r, s), y))
    X, y, queries, text = any_shots
    adapter = create_adapter("taskres", text=text, alpha=alpha).fit(X, y)
    close(adapter.logits(queries), cosine_logits(q, t + alpha * r, s).detach().numpy())


def test_taskres_of_alpha_one_is_the_linear_probe(shots):
    X, y, queries, text = shots
    probe = create_adapter("lp", text=text).fit(X, y)
    close(create_adapter("taskres", text=text).fit(X, y).logits(queries), probe.logits(queries), 1e-12)


@pytest.mark.parametrize("activation", ["relu", "none"])
def test_clip_adapter_descends_as_autograd_does(any_shots, activation):
    x, y, q, t, s = tensors(*any_shots)
    down, up = (
        torch.tensor(a).requires_grad_() for a in starting_weights(any_shots[0].shape[1], 4, 7, any_shots[0])
    )

    def logits(rows):
        hidden = rows @ down.T
        hidden = hidden.relu() if activation == "relu" else hidden
        return cosine_logits(0.8 * rows + 0.2 * hidden @ up.T, t, s)

    common_loop([down, up], lambda: cross_entropy(logits(x), y))
    X, y, queries, text = any_shots
    adapter = create_adapter("clip-adapter", text=text, activation=activation, random_state=7).fit(X, y)
    close(adapter.logits(queries), logits(q).detach().numpy())


def test_tip_adapter_f_learns_keys_as_adamw_does(shots):
    x, y, q, t, _ = tensors(*shots)
    keys = normalize(x, dim=-1).clone().requires_grad_()
    values = torch.eye(5, dtype=torch.float64)[y]

    def logits(rows):
        rows = normalize(rows, dim=-1)
        return 2 * rows @ normalize(t, dim=-1).T + (-5.5 * (1 - rows @ keys.T)).exp() @ values

    optimiser = torch.optim.AdamW([keys], lr=1e-3, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 20)
    for _ in range(20):
        optimiser.zero_grad()
        cross_entropy(logits(x), y).backward()
        optimiser.step()
        schedule.step()
    X, y, queries, text = shots
    adapter = create_adapter("tip-adapter-f", text=text, train="keys", beta=5.5, text_scale=2.0).fit(X, y)
    close(adapter.logits(queries), logits(q).detach().numpy())
    assert np.abs(adapter.head_.keys[0] - X).max() > 0.005


def test_lp_text_steps_by_the_logarithm_of_the_shots(any_shots):
    x, y, q, t, _ = tensors(*any_shots)
    x, q, t = (normalize(a, dim=-1) for a in (x, q, t))
    onehot = torch.eye(5, dtype=torch.float64)[y]
    w, b = (onehot.T @ x).requires_grad_(), torch.zeros(5, dtype=torch.float64).requires_grad_()
    own = [(x[y == c] @ t[c]).mean() if (y == c).any() else torch.tensor(0.0) for c in range(5)]
    a = torch.full((5,), float(250 * sum(own) / 5), dtype=torch.float64).requires_grad_()
    blend_rate = len(y) / (4 * ((x @ t.T) ** 2).sum(dim=0).max())
    optimiser = torch.optim.SGD([w, b], lr=float(np.log(len(y) / 5 + 1)), momentum=0.9)

    def logits(rows):
        return rows @ w.T + b + a * (rows @ t.T)

    for step in range(300):
        optimiser.zero_grad()
        cross_entropy(logits(x), y).backward()
        optimiser.step()
        if step % 10 == 9:
            a.data -= blend_rate * a.grad  # never zeroed: summed over all steps so far
    X, y, queries, text = any_shots
    close(create_adapter("lp-text", text=text).fit(X, y).logits(queries), logits(q).detach().numpy())


def test_gda_inverts_the_paper_s_covariance(any_shots):
    X, y, queries, text = any_shots
    X, y = np.vstack([X, X + 0.05, X - 0.03]), np.tile(y, 3)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    means = np.stack(
        [X[y == c].mean(axis=0) if (y == c).any() else np.full(X.shape[1], np.nan) for c in range(5)]
    )
    S = (X - means[y]).T @ (X - means[y]) / (len(y) - 1)
    inverse = X.shape[1] * np.linalg.inv((len(y) - 1) * S + np.trace(S) * np.eye(X.shape[1]))
    scores = queries @ inverse @ means.T - 0.5 * np.sum(means @ inverse * means, axis=1)
    scores[:, 3] = np.delete(scores, 3, axis=1).mean(axis=1)
    zero_shot = create_adapter("zero-shot", text=text).fit(X, y).logits(queries)
    close(create_adapter("gda", text=text).fit(X, y).logits(queries), zero_shot + scores)


def test_gda_with_one_shot_a_class_says_what_it_does_instead(shots):
    X, _, queries, text = shots
    rows, y = X[:5], np.arange(5)
    adapter = create_adapter("gda", text=text)
    with pytest.warns(RuntimeWarning, match="shots do not vary within classes"):
        adapter.fit(rows, y)
    zero_shot = create_adapter("zero-shot", text=text).fit(rows, y).logits(queries)
    close(adapter.logits(queries), zero_shot + text.scale * queries @ rows.T)


def test_proker_is_ridge_regression_of_the_residual(shots):
    X, y, queries, text = shots
    unit = np.asarray(text.prototypes) / np.linalg.norm(text.prototypes, axis=1, keepdims=True)
    K = np.exp(-3 * (1 - X @ X.T))
    held = np.linalg.solve(K + 0.5 * np.eye(len(X)), np.eye(5)[y] - X @ unit.T)
    expected = queries @ unit.T + np.exp(-3 * (1 - queries @ X.T)) @ held
    close(create_adapter("proker", text=text, beta=3, lam=0.5).fit(X, y).logits(queries), expected)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("class_weight", ["balanced", None])
@pytest.mark.parametrize("width", [10, 200])
def test_logistic_reaches_scikit_learn_s_optimum(n_classes, class_weight, width):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(n_classes), [20, 4, 9, 7, 3][:n_classes]))
    X = np.maximum(rng.standard_normal((n_classes, width))[y] + rng.standard_normal((len(y), width)) + 1, 0)
    queries = np.maximum(rng.standard_normal((50, width)) + 1, 0)
    theirs = LogisticRegression(C=0.316, class_weight=class_weight, tol=1e-12, max_iter=100_000).fit(X, y)
    ours = create_adapter("logistic", class_weight=class_weight).fit(X, y)
    close(ours.decision_function(queries), theirs.decision_function(queries), 1e-4)


def test_logistic_on_two_of_five_classes_is_scikit_learn_s_binomial_model():
    from sklearn.linear_model import LogisticRegression

    X = np.random.default_rng(0).standard_normal((20, 30)) + np.repeat([[0.0], [1.0]], 10, axis=0)
    y = np.repeat([1, 3], 10)
    theirs = LogisticRegression(C=0.316, class_weight="balanced", tol=1e-12, max_iter=100_000).fit(X, y)
    logits = fit_episodes(create_adapter("logistic"), X, y, [range(20)], classes=range(5)).logits(X)[0]
    close(logits[:, 3] - logits[:, 1], theirs.decision_function(X), 1e-4)


def test_absent_classes_weigh_nothing_in_the_class_weighted_probe(any_shots):
    x, y, q, t, s = tensors(*any_shots)
    counts = torch.bincount(y, minlength=5)
    weights = torch.where(counts > 0, len(y) / (5 * counts.clamp(min=1)), 0).to(torch.float64)
    w = t.clone().requires_grad_()
    common_loop([w], lambda: cross_entropy(cosine_logits(x, w, s), y, weight=weights))
    X, y, queries, text = any_shots
    close(
        create_adapter("lp-cw", text=text).fit(X, y).logits(queries), cosine_logits(q, w, s).detach().numpy()
    )


def test_unlabelled_images_move_ss_text_u_and_without_rounds_they_do_not(shots):
    X, y, queries, text = shots
    adapter = create_adapter("ss-text-u", text=text)
    alone = adapter.fit(X, y).logits(queries)
    close(
        create_adapter("ss-text-u", text=text, rounds=0).fit(X, y, X_unlabeled=queries).logits(queries), alone
    )
    assert np.abs(adapter.fit(X, y, X_unlabeled=queries).logits(queries) - alone).max() > 0.01


def test_unlabelled_rows_of_the_sampler_reach_the_adapter(shots):
    _, _, queries, text = shots
    rng = np.random.default_rng(1)
    pool, labels = rng.standard_normal((50, 24)), np.repeat(np.arange(5), 10)
    episodes = EpisodeSampler(2).sample_many(labels, range(3), unlabeled=20)
    adapter = create_adapter("ss-text-u", text=text)
    together = fit_episodes(adapter, pool, labels, episodes).logits(queries)
    for rows, rest, logits in zip(episodes.indices, episodes.unlabeled, together, strict=True):
        close(logits, adapter.fit(pool[rows], labels[rows], X_unlabeled=pool[rest]).logits(queries))


def test_torch_tensors_are_taken_as_numpy_arrays_of_their_precision():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 8)).astype(np.float32), np.repeat([0, 1], 10)
    text = TextPrototypes(["a", "b"], rng.standard_normal((2, 8)), 2.0)
    expected = create_adapter("ss-text", text=text).fit(X, y).logits(X)
    tensor = torch.from_numpy(X).requires_grad_()
    logits = create_adapter("ss-text", text=text).fit(tensor, y).logits(tensor)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, expected)
    half = torch.from_numpy(X).bfloat16()
    assert create_adapter("ss-text", text=text).fit(half, y).logits(half).dtype == np.float32
    assert (
        create_adapter("ss-text", text=text).fit(tensor.double(), y).logits(tensor.double()).dtype
        == np.float64
    )


def test_what_logistic_presumes_follows_its_class_weight():
    assert create_adapter("logistic").class_balanced
    assert not create_adapter("logistic", class_weight=None).class_balanced


def test_a_share_lies_between_none_and_all():
    text = TextPrototypes(["a", "b"], np.eye(2, 8), 2.0)
    with pytest.raises(InputError, match="alpha is -3; it is a share, from 0 to 1"):
        create_adapter("clip-adapter", text=text, alpha=-3).fit(np.eye(2, 8), [0, 1])
    assert len(repr(create_adapter("lp", text=text))) < 120
