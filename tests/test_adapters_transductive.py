"""Adapters that learn from images without labels: exact against plain loops, and what holds for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import gammaln
from scipy.stats import dirichlet, norm

from fewshot_flair import TextPrototypes, create_adapter, fit_episodes, list_adapters
from fewshot_flair.adapters.base import softmax
from fewshot_flair.errors import InputError
from fewshot_flair.models import load_adapter, save_adapter

NAMES = [info.name for info in list_adapters() if info.uses_unlabeled]
VARIANTS = [(name, {}) for name in NAMES]
VARIANTS += [(name, {"zero_shot": True}) for name in NAMES if name != "ss-text-u"]
IDS = [name + ("" if not params else " zero-shot") for name, params in VARIANTS]
every = pytest.mark.parametrize(("name", "params"), VARIANTS, ids=IDS)
N, M, C, D = 11, 29, 4, 12


@pytest.fixture(scope="module")
def clinic():
    """Shots of three of four classes, an unlabelled pool of all, and other images; float64 unit rows."""
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((C, D))
    y = np.repeat([0, 1, 3], [5, 4, 2])

    def rows(labels):
        found = centres[labels] + 0.8 * rng.standard_normal((len(labels), D))
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    text = TextPrototypes(list("abcd"), 0.3 * centres + 0.15 * rng.standard_normal((C, D)), np.log(8))
    return rows(y), y, rows(rng.integers(0, C, M)), rows(rng.integers(0, C, 9)), text


def units(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def neighbours(i, pool, k, row=None):
    """(j, cosine) of the k pool rows nearest to pool row i, itself left out; of another row, all of them."""
    row = pool[i] if row is None else row
    others = sorted(((float(row @ u), j) for j, u in enumerate(pool) if j != i), reverse=True)[:k]
    return [(j, max(0.0, cosine)) for cosine, j in others]


def normalised(logs):
    shifted = np.exp(np.array(logs) - max(logs))
    return shifted / shifted.sum()


def gaussian(row, mean, variance):
    return float(norm.logpdf(row, mean, np.sqrt(variance)).sum())


def transclip_by_loops(X, y, U, new, text, zero_shot):
    t, s, lam, gamma = units(np.asarray(text.prototypes)), text.scale, 1.0 if zero_shot else 0.5, 5.0
    if zero_shot:
        X, y = X[:0], y[:0]
    answers = [normalised([s * u @ t[c] for c in range(C)]) for u in U]
    means = []
    for c in range(C):
        own = X[y == c]
        surest = sorted(range(M), key=lambda i: -answers[i][c])[:8]
        means.append(own.mean(axis=0) if len(own) else U[surest].mean(axis=0))
    variance, z = np.full(D, 1 / D), list(answers)

    def assigned(row, prior, near, z):
        logs = []
        for c in range(C):
            held = sum(w * z[j][c] for j, w in near)
            logs.append(lam * np.log(prior[c]) + gaussian(row, means[c], variance) + held)
        return normalised(logs)

    for _ in range(10):
        for _ in range(5):
            z = [assigned(U[i], answers[i], neighbours(i, U, 3), z) for i in range(M)]
        rows = [(x, np.eye(C)[c], gamma / len(X)) for x, c in zip(X, y, strict=True)]
        rows += [(u, z[i], 1 / M) for i, u in enumerate(U)]
        means = [sum(w * p[c] * x for x, p, w in rows) / sum(w * p[c] for _, p, w in rows) for c in range(C)]
        spread = sum(w * p[c] * (x - means[c]) ** 2 for x, p, w in rows for c in range(C))
        variance = spread / (1 + (gamma if len(X) else 0))
    transductive = [assigned(U[i], answers[i], neighbours(i, U, 3), z) for i in range(M)]
    inductive = [
        assigned(x, normalised([s * x @ t[c] for c in range(C)]), neighbours(-1, U, 3, x), z) for x in new
    ]
    return np.array(transductive), np.array(inductive)


def stata_by_loops(X, y, U, new, text, zero_shot):
    t, s, alpha = units(np.asarray(text.prototypes)), text.scale, 1.0
    if zero_shot:
        X, y = X[:0], y[:0]
    answers = [normalised([s * u @ t[c] for c in range(C)]) for u in U]
    anchor = [
        sum(a[c] * (u - t[c]) ** 2 for u, a in zip(U, answers, strict=True)) / sum(a[c] for a in answers)
        for c in range(C)
    ]
    z = list(answers)
    for _ in range(10):
        rows = [(x, np.eye(C)[c]) for x, c in zip(X, y, strict=True)] + list(zip(U, z, strict=True))
        means, variances = [], []
        for c in range(C):
            n = sum(p[c] for _, p in rows)
            beta = n / (n + alpha)
            v = sum(p[c] * x for x, p in rows) / n
            means.append(beta * v + (1 - beta) * t[c])
            own = sum(p[c] * (x - means[c]) ** 2 for x, p in rows) / n
            variances.append(beta * own + (1 - beta) * (anchor[c] + (t[c] - means[c]) ** 2))

        def assigned(row, near, z, means=means, variances=variances):
            logs = []
            for c in range(C):
                held = sum(w * z[j][c] for j, w in near)
                logs.append(s * row @ t[c] + gaussian(row, means[c], variances[c]) + held)
            return normalised(logs)

        for _ in range(5):
            z = [assigned(U[i], neighbours(i, U, 3), z) for i in range(M)]
    transductive = [assigned(U[i], neighbours(i, U, 3), z) for i in range(M)]
    return np.array(transductive), np.array([assigned(x, neighbours(-1, U, 3, x), z) for x in new])


def zlap_by_loops(X, y, U, new, text, zero_shot):
    k, gamma, alpha = 3, 5.0, 0.3
    t = np.asarray(text.prototypes, dtype=float)
    sums = np.array([X[y == c].sum(axis=0) for c in range(C)])
    nodes = units(t if zero_shot else t + text.scale * sums)  # ss-text, of which λ is 1/N

    def edges(row, i=-1):
        found = np.zeros(C + M)
        for j, cosine in neighbours(i, U, k, row):
            found[C + j] = cosine
        for c in np.argsort(nodes @ row)[-k:]:
            found[c] = max(0.0, float(nodes[c] @ row)) ** gamma
        return found

    W = np.zeros((C + M, C + M))
    for i, u in enumerate(U):
        W[C + i] = edges(u, i)
    W = W + W.T
    degrees = W.sum(axis=1)
    degrees[degrees == 0] = 1
    W = W / np.sqrt(np.outer(degrees, degrees))
    Z = np.linalg.solve(np.eye(C + M) - alpha * W, np.eye(C + M)[:, :C])
    inductive = np.array([edges(x) @ Z for x in new])
    return (scores / scores.sum(axis=1, keepdims=True) for scores in (Z[C:], inductive))


def dirichlet_by_loops(X, y, U, new, text, zero_shot):
    """Its laws by a general optimiser of the likelihood instead of the paper's majorants."""
    t = units(np.asarray(text.prototypes))

    def on_simplex(row):
        return normalised([8.0 * row @ t[c] for c in range(C)])

    S, Q = [on_simplex(x) for x in X], [on_simplex(u) for u in U]
    if zero_shot:
        S, y = [], []
    u, alpha = [q.copy() for q in Q], np.ones((C, C))
    for _ in range(6):
        for c in range(C):
            rows = [(z, 1.0) for z, own in zip(S, y, strict=True) if own == c]
            rows += [(z, u[n][c]) for n, z in enumerate(Q)]

            def cost(logs, rows=rows):
                a = np.exp(logs)
                constant = gammaln(a.sum()) - gammaln(a).sum()
                return -sum(w * (constant + float((a - 1) @ np.log(z))) for z, w in rows)

            alpha[c] = np.exp(minimize(cost, np.log(alpha[c]), method="BFGS", options={"gtol": 1e-9}).x)
        share = [sum(p[c] for p in u) / M for c in range(C)]

        def assigned(z, share=share):
            return normalised([dirichlet.logpdf(z, alpha[c]) + np.log(share[c]) for c in range(C)])

        u = [assigned(z) for z in Q]
    return np.array(u), np.array([assigned(on_simplex(x)) for x in new])


LOOPS = {
    "transclip": (transclip_by_loops, {}, 1e-6),
    "stata": (stata_by_loops, {}, 1e-6),
    "zlap": (zlap_by_loops, {"k": 3}, 1e-6),
    "em-dirichlet": (dirichlet_by_loops, {"temperature": 8.0, "rounds": 6}, 2e-3),
}


@pytest.mark.parametrize("zero_shot", [False, True], ids=["shots", "zero-shot"])
@pytest.mark.parametrize("name", LOOPS)
def test_it_is_what_plain_loops_compute(clinic, name, zero_shot):
    X, y, U, new, text = clinic
    loops, params, tolerance = LOOPS[name]
    adapter = create_adapter(name, text=text, zero_shot=zero_shot, **params).fit(X, y, X_unlabeled=U)
    transductive, inductive = loops(X, y, U, new, text, zero_shot)
    np.testing.assert_allclose(softmax(adapter.logits(U)), transductive, rtol=0, atol=tolerance)
    np.testing.assert_allclose(softmax(adapter.logits(new)), inductive, rtol=0, atol=tolerance)
    assert len(set(transductive.argmax(axis=1))) > 1


def test_without_a_pool_each_is_what_its_page_says(clinic):
    """One row at a time: Gaussians of variance 1/D, anchored Gaussians, cosines of nodes, laws of shots."""
    X, y, _, new, text = clinic
    t, s = units(np.asarray(text.prototypes)), text.scale
    row, own = new[0], [X[y == c] for c in range(C)]

    def answers(name, **params):
        return softmax(create_adapter(name, text=text, **params).fit(X, y).logits(new))[0]

    held = [gaussian(row, own[c].mean(axis=0), np.full(D, 1 / D)) if len(own[c]) else None for c in range(C)]
    held[2] = np.mean([value for value in held if value is not None])
    logs = [0.5 * s * row @ t[c] + held[c] for c in range(C)]
    np.testing.assert_allclose(answers("transclip"), normalised(logs), atol=1e-9)

    guesses, logs = [normalised([s * x @ t[c] for c in range(C)]) for x in X], []
    for c in range(C):
        n = len(own[c])
        anchor = sum(g[c] * (x - t[c]) ** 2 for x, g in zip(X, guesses, strict=True)) / sum(
            g[c] for g in guesses
        )
        mean = (own[c].sum(axis=0) + t[c]) / (n + 1)
        variance = (((own[c] - mean) ** 2).sum(axis=0) + anchor + (t[c] - mean) ** 2) / (n + 1)
        logs.append(s * row @ t[c] + gaussian(row, mean, variance))
    np.testing.assert_allclose(answers("stata"), normalised(logs), atol=1e-9)

    nodes = units(np.asarray(text.prototypes) + s * np.array([rows.sum(axis=0) for rows in own]))
    scores = np.maximum(nodes @ row, 1e-12 ** (1 / 5)) ** 5
    np.testing.assert_allclose(answers("zlap"), scores / scores.sum(), atol=1e-9)

    def on_simplex(x):
        return normalised([8.0 * x @ t[c] for c in range(C)])

    logs = []
    for c in range(C):
        rows = [
            (on_simplex(x), 1.0 if len(own[c]) else on_simplex(x)[c]) for x in (own[c] if len(own[c]) else X)
        ]
        rows.append((np.full(C, 1 / C), 1.0))

        def cost(logs, rows=rows):
            return -sum(w * dirichlet.logpdf(z, np.exp(logs)) for z, w in rows)

        logs.append(dirichlet.logpdf(on_simplex(row), np.exp(minimize(cost, np.zeros(C), method="BFGS").x)))
    np.testing.assert_allclose(answers("em-dirichlet", temperature=8.0), normalised(logs), atol=2e-3)


def test_without_a_pool_and_shots_text_decides(clinic):
    X, y, _, new, text = clinic
    zero_shot = create_adapter("zero-shot", text=text).fit(X, y).logits(new)
    for name, params in (("transclip", {}), ("zlap", {}), ("em-dirichlet", {"temperature": text.scale})):
        alone = create_adapter(name, text=text, zero_shot=True, **params).fit(X, y).logits(new)
        assert np.isfinite(alone).all()
        np.testing.assert_array_equal(alone.argmax(axis=1), zero_shot.argmax(axis=1))
    np.testing.assert_allclose(softmax(alone), softmax(zero_shot), atol=1e-9)


@pytest.mark.parametrize("name", LOOPS)
def test_zero_shot_ignores_the_labels(clinic, name):
    X, y, U, new, text = clinic
    adapter = create_adapter(name, text=text, zero_shot=True)
    assert not adapter.needs_shots
    assert create_adapter(name, text=text).needs_shots
    once = adapter.fit(X, y, X_unlabeled=U).logits(new)
    np.testing.assert_array_equal(once, adapter.fit(X[:1], y[-1:], X_unlabeled=U).logits(new))
    with_shots = create_adapter(name, text=text).fit(X, y, X_unlabeled=U).logits(new)
    assert np.abs(once - with_shots).max() > 1e-3


@every
def test_the_pool_is_learnt_from_whatever_its_order_and_company(clinic, name, params):
    """Episodes with pools of several sizes are what each is alone; order does not matter, and the pool does."""
    X, y, U, new, text = clinic
    adapter = create_adapter(name, text=text, **params)
    both = np.vstack([X, U])
    labels = np.append(y, np.zeros(M, dtype=int))
    supports = [np.arange(N), np.array([0, 5, 9]), np.arange(N)]
    pools = [N + np.arange(M), N + np.arange(7), N + np.random.default_rng(0).permutation(M)]
    together = fit_episodes(adapter, both, labels, supports, unlabeled=pools).logits(new)
    for support, free, logits in zip(supports, pools, together, strict=True):
        alone = adapter.fit(both[support], labels[support], X_unlabeled=both[free]).logits(new)
        np.testing.assert_allclose(logits, alone, rtol=0, atol=1e-6 * np.abs(alone).max())
    np.testing.assert_allclose(together[0], together[2], rtol=0, atol=1e-6 * np.abs(together[0]).max())
    shared = fit_episodes(adapter, both, labels, supports[:2], unlabeled=pools[:1] * 2).logits(new)
    np.testing.assert_allclose(shared[0], together[0], rtol=0, atol=1e-6 * np.abs(together[0]).max())
    given = fit_episodes(adapter, X, y, supports[:2], X_unlabeled=U).logits(new)
    np.testing.assert_allclose(given, shared, rtol=0, atol=1e-6 * np.abs(shared).max())
    without = adapter.fit(X, y).logits(new)
    assert np.abs(softmax(together[0]) - softmax(without)).max() > 1e-3


@every
def test_with_a_pool_saved_is_the_same_and_torch_too(clinic, name, params, tmp_path):
    X, y, U, new, text = clinic
    adapter = create_adapter(name, text=text, **params).fit(X, y, X_unlabeled=U)
    loaded, _ = load_adapter(save_adapter(adapter, tmp_path / "a"))
    rows = np.vstack([new, U])
    assert loaded.logits(rows).tobytes() == adapter.logits(rows).tobytes()
    on_torch = create_adapter(name, text=text, device="cpu:0", **params).fit(X, y, X_unlabeled=U)
    np.testing.assert_allclose(
        on_torch.logits(rows), adapter.logits(rows), rtol=0, atol=1e-6 * np.abs(adapter.logits(rows)).max()
    )


@every
@pytest.mark.filterwarnings("ignore:.*have norms about 0")
@pytest.mark.parametrize("pool", ["one row", "one row many times", "float32", "zeros"])
def test_poor_pools_give_finite_logits(clinic, name, params, pool):
    X, y, U, new, text = clinic
    given = {"one row": U[:1], "one row many times": np.repeat(U[:1], 20, axis=0), "zeros": np.zeros((4, D))}
    rows = given.get(pool, U.astype(np.float32))
    adapter = create_adapter(name, text=text, **params).fit(X, y, X_unlabeled=rows)
    assert np.isfinite(adapter.logits(np.vstack([new, rows]))).all()
    assert adapter.logits(new).dtype == np.float64
    single = adapter.fit(X.astype(np.float32), y, X_unlabeled=rows.astype(np.float32))
    assert single.logits(new.astype(np.float32)).dtype == np.float32


def test_a_rare_class_stays_at_its_anchor_in_stata(clinic):
    """A class that no image of the pool is of keeps the text's mean; the paper's point against TransCLIP."""
    X, y, U, _, text = clinic
    answers = create_adapter("zero-shot", text=text).fit(X, y).predict(U)
    pool = U[answers != 2]
    adapter = create_adapter("stata", text=text, alpha=1e6, zero_shot=True).fit(X, y, X_unlabeled=pool)
    head = adapter.head_
    t = units(np.asarray(text.prototypes))
    np.testing.assert_allclose(head.centre[0], t.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(
        (head.weights[0] - text.scale * t) / (-2 * head.squares[0]) + head.centre[0], t, atol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("transclip", {"gamma": 0}, "gamma is 0"),
        ("stata", {"alpha": -1}, "alpha is -1"),
        ("zlap", {"alpha": 1.0}, "alpha is 1.0; give a number below 1"),
        ("em-dirichlet", {"temperature": 0}, "temperature is 0"),
    ],
)
def test_parameters_out_of_range_are_refused(clinic, name, params, message):
    X, y, U, _, text = clinic
    with pytest.raises(InputError, match=message):
        create_adapter(name, text=text, **params).fit(X, y, X_unlabeled=U)
