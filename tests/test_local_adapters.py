"""Adapters of local features: their contract, plain computations, and a pooling of one's own."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from test_export import adapted

from fewshot_flair import (
    TextPrototypes,
    create_adapter,
    fit_episodes,
    list_adapters,
    load_adapter,
    save_adapter,
)
from fewshot_flair.adapters import get_adapter_class, registry
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.choices import EncoderChoice
from fewshot_flair.experiment.design import Study
from fewshot_flair.models import export_model
from fewshot_flair.models.run import SavedModel

NAMES = [info.name for info in list_adapters() if info.features == "local"]
D, P, C = 8, 6, 3
MEDIAN = textwrap.dedent(
    '''
    from dataclasses import dataclass
    from fewshot_flair.adapters import register
    from fewshot_flair.adapters.local import CellHead, ScorePooling

    @dataclass(frozen=True, eq=False)
    class MiddleHead(CellHead):
        """Pools by the middle score."""

        def pool(self, xp, scores):
            return xp.sort(scores, axis=-1)[..., scores.shape[-1] // 2]

    @register
    class LocalMiddle(ScorePooling):
        """The cell in the middle."""

        name = "local-middle"
        summary = "the middle score of the cells"
        head = MiddleHead
    '''
)


def clinic(n: int = 15, cells: int = P) -> tuple[np.ndarray, np.ndarray, TextPrototypes]:
    """Photographs of which one cell shows the class, and the rest show nothing."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % C
    centres = rng.standard_normal((C, D))
    maps = 0.5 * rng.standard_normal((n, cells, D)) + 0.3
    maps[np.arange(n), rng.integers(cells, size=n)] += 2 * centres[y]
    whole = maps.mean(axis=1)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    text = TextPrototypes(["no", "mild", "severe"], centres + 0.3 * rng.standard_normal((C, D)), 2.0)
    return np.concatenate([whole, maps.reshape(n, -1)], axis=1), y, text


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", NAMES)
def test_batched_is_one_by_one_and_the_disk_keeps_it(name: str, tmp_path: Path) -> None:
    X, y, text = clinic()
    episodes = [np.arange(6), np.arange(4, 15), np.array([0, 1, 2, 3])]
    fits = fit_episodes(create_adapter(name, text=text), X, y, episodes)
    for place, rows in enumerate(episodes):
        one = create_adapter(name, text=text).fit(X[rows], y[rows])
        np.testing.assert_allclose(fits.logits(X)[place], one.logits(X), atol=1e-4)
    save_adapter(one, tmp_path)
    np.testing.assert_array_equal(load_adapter(tmp_path)[0].logits(X), one.logits(X))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_cells_does_not_matter_and_a_cell_does(name: str) -> None:
    X, y, text = clinic()
    adapter = create_adapter(name, text=text).fit(X, y)
    shuffled = np.concatenate([X[:, :D], X[:, D:].reshape(-1, P, D)[:, ::-1].reshape(-1, P * D)], axis=1)
    np.testing.assert_allclose(adapter.logits(shuffled), adapter.logits(X), atol=1e-9)
    changed = X.copy()
    changed[:, D:] = np.random.default_rng(1).standard_normal((len(X), P * D))
    assert np.abs(adapter.logits(changed) - adapter.logits(X)).max() > 1e-3


def plain(name: str, X: np.ndarray, y: np.ndarray, text: TextPrototypes) -> np.ndarray:
    """The logits of the formulas, photograph by photograph."""
    s, t = text.scale, np.asarray(text.prototypes)
    whole, cells = X[:, :D], X[:, D:].reshape(-1, P, D)

    def prototypes(rows: np.ndarray) -> np.ndarray:
        """Of features (n, C, D), those of class c for class c."""
        return unit(np.stack([t[c] + s * rows[y == c, c].sum(axis=0) for c in range(C)]))

    w = prototypes(np.repeat(whole[:, None], C, axis=1))
    scores = s * np.einsum("npd,cd->npc", unit(cells), w)
    if name == "local-lse":
        local = np.log(np.exp(scores).mean(axis=1))
    elif name == "local-noisy-or":
        p = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
        every = 1 - np.prod(1 - p, axis=1) ** (1 / P)
        local = np.log(every / (1 - every))
    else:
        near = np.einsum("npd,cd->npc", unit(cells), unit(t))
        if name == "local-top-k":  # a tenth of six cells is one
            best = near.argmax(axis=1)
            r = np.stack([[cells[i, best[i, c]] for c in range(C)] for i in range(len(X))])
        else:
            a = np.exp(s * near) / np.exp(s * near).sum(axis=1, keepdims=True)
            r = np.einsum("npc,npd->ncd", a, cells)
        local = s * np.einsum("ncd,cd->nc", unit(r), prototypes(unit(r)))
    return 0.5 * s * unit(whole) @ w.T + 0.5 * local


@pytest.mark.parametrize("name", ["local-lse", "local-noisy-or", "local-top-k", "local-attention"])
def test_logits_are_those_of_the_formula(name: str) -> None:
    X, y, text = clinic()
    found = create_adapter(name, text=text).fit(X, y).logits(X)
    np.testing.assert_allclose(found, plain(name, X, y, text), atol=1e-6)


def test_without_their_part_cells_do_not_count() -> None:
    X, y, text = clinic()
    whole = create_adapter("ss-text", text=text).fit(X[:, :D], y).logits(X[:, :D])
    for name in ("local-top-k", "local-lse"):
        np.testing.assert_allclose(
            create_adapter(name, text=text, share=0.0).fit(X, y).logits(X), whole, atol=1e-6
        )


def test_a_row_of_broken_cells_and_a_share_above_one_are_refused() -> None:
    X, y, text = clinic()
    with pytest.raises(InputError, match="features"):
        create_adapter("local-lse", text=text).fit(X[:, :-1], y)
    with pytest.raises(InputError, match="from 0 to 1"):
        create_adapter("local-lse", text=text, share=2.0).fit(X, y)


def test_all_stands_for_none_of_them() -> None:
    data = [{"name": "x", "manifest": "x.csv"}]
    study = Study.from_dict({"name": "x", "data": data, "adapters": "all", "shots": [1], "seeds": 1}, "test")
    assert not set(NAMES) & {spec.name for spec in study.adapters}
    with pytest.raises(InputError, match="rows x columns"):
        Study.from_dict(
            {"name": "x", "data": data, "encoders": [{"name": "mini", "tiles": "2"}], "adapters": ["lp"]},
            "test",
        )
    assert EncoderChoice(name="mini", tiles="2×3").tiles == "2x3"


@pytest.fixture
def middle(tmp_path: Path) -> Path:
    file = tmp_path / "middle.py"
    file.write_text(MEDIAN)
    return file


def test_a_pooling_of_one_s_own_is_a_short_file(middle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fewshot_flair.adapters import use_adapters_from

    assert len(MEDIAN.strip().splitlines()) <= 60
    methods = Path(registry.__file__).parent / "methods"
    assert all(len(path.read_text().splitlines()) <= 60 for path in methods.glob("local_*.py"))
    monkeypatch.setenv("FEWSHOT_FLAIR_ADAPTERS", "")
    use_adapters_from([middle])
    try:
        X, y, text = clinic()
        found = create_adapter("local-middle", text=text, share=1.0).fit(X, y)
        w = unit(np.stack([text.prototypes[c] + text.scale * X[y == c, :D].sum(axis=0) for c in range(C)]))
        scores = text.scale * np.einsum("npd,cd->npc", unit(X[:, D:].reshape(-1, P, D)), w)
        np.testing.assert_allclose(found.logits(X), np.sort(scores, axis=1)[:, P // 2], atol=1e-6)
        assert get_adapter_class("local-middle").features == "local"
    finally:
        del registry._adapters.known["local-middle"]


def test_adapt_predict_and_export_know_them(dr_clinic: Path, tmp_path: Path) -> None:
    from fewshot_flair.cli.steps import Shown
    from fewshot_flair.cli.terminal import console
    from fewshot_flair.experiment.encoding import Encoding

    run = adapted(tmp_path, dr_clinic, ["ss-text", "local-lse", "local-logistic"], tiles="1x2")
    model = SavedModel.open(run, "local-lse")
    assert model.adapter.n_features_in_ == (1 + 2 * 144) * 128
    assert model.rows is not None
    assert model.rows.features.shape[1] == 128
    photographs = sorted((dr_clinic / "images").glob("*.jpg"))[200:203]
    found = model.predict(photographs, Encoding(tmp_path / "cache"), steps=Shown(console(quiet=True)))
    assert found.table["predicted"].notna().all()
    assert found.table["typicality"].between(0, 1).all()
    with pytest.raises(InputError, match="local features, of which no graph"):
        export_model(run, tmp_path / "out", adapter="local-lse")


def test_augmented_copies_are_refused(dr_clinic: Path, tmp_path: Path) -> None:
    from fewshot_flair.experiment.encoded import encode
    from fewshot_flair.experiment.encoding import Encoding
    from fewshot_flair.experiment.sources import read_sources

    adapted(tmp_path, dr_clinic, ["zero-shot"])
    data = Study.from_dict(
        {
            "name": "x",
            "data": [{"name": "x", "manifest": str(tmp_path / "clinic.csv"), "images": str(dr_clinic)}],
            "adapters": ["local-lse"],
        },
        "test",
    ).data[0]
    how = Encoding(tmp_path / "cache", train_copies=2)
    with pytest.raises(InputError, match="no augmented copies"):
        encode(data, EncoderChoice(name="mini"), read_sources(data, tmp_path), how, local=True)
