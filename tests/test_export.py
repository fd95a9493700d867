"""Saved adapters as ONNX graphs, their cards, engines of the image tower, and runs whose digests differ."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import published_layouts
import pytest
from safetensors.torch import save_file

from fewshot_flair import load_adapter, load_encoder, save_adapter
from fewshot_flair.adapters import Head
from fewshot_flair.encoders import base
from fewshot_flair.errors import FewshotFlairError, InputError
from fewshot_flair.experiment import Study, run_study
from fewshot_flair.models import export_model
from fewshot_flair.models.run import SavedModel

pytest.importorskip("onnxscript", reason="graphs need the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="graphs are checked by onnxruntime (extra onnx)")

HEADS = ["zero-shot", "logistic", "tip-adapter", "clip-adapter", "gda", "transclip", "zlap", "em-dirichlet"]
"""A head of each kind, and each of the encoder's features."""
GRADES = {
    "no diabetic retinopathy": "<b>none</b>",
    "mild diabetic retinopathy": "mild",
    "moderate diabetic retinopathy": "moderate",
}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LAYOUTS = ("retfound", "biomedclip", "clip-vit-b32", "imagenet-rn50", "hf")


def adapted(folder: Path, dr_clinic: Path, adapters: list[str], **encoder: object) -> Path:
    """A run on 24 real photographs of three classes, the first of which is called by markup."""
    rows = (dr_clinic / "manifest.csv").read_text().splitlines()
    head = rows[0].split(",")
    grade = head.index("label")
    some: list[str] = []
    for label in GRADES:
        some += [row for row in rows[1:] if row.split(",")[grade] == label][:8]
    folder.mkdir(exist_ok=True)
    lines = ["image,label,patient_id"]
    for row in some:
        cells = row.split(",")
        lines.append(f"{cells[head.index('image')]},{GRADES[cells[grade]]},{cells[head.index('patient_id')]}")
    (folder / "clinic.csv").write_text("\n".join(lines) + "\n")
    study = Study.from_dict(
        {
            "name": "small",
            "data": [{"name": "small", "manifest": str(folder / "clinic.csv"), "images": str(dr_clinic)}],
            "encoders": [{"name": "mini", **encoder}],
            "adapters": adapters,
            "shots": [1],
            "seeds": 1,
            "allow_fewer": True,
            "save": True,
        },
        "test",
    )
    run_study(study, folder / "run", cache=folder / "cache", command="fewshot-flair adapt --data clinic.csv")
    return folder / "run"


@pytest.fixture(scope="module")
def run(dr_clinic, tmp_path_factory):
    return adapted(tmp_path_factory.mktemp("saved"), dr_clinic, HEADS)


@pytest.fixture(scope="module")
def photographs(dr_clinic):
    """Real ones, of which most were not in the run."""
    return sorted((dr_clinic / "images").glob("*.jpg"))[100:104]


@pytest.mark.parametrize("name", HEADS)
def test_a_graph_gives_our_logits_on_real_photographs(run, photographs, tmp_path, name):
    found = export_model(run, tmp_path / "out", adapter=name)
    assert found.photographs >= 3
    assert found.difference <= max(1e-4, 3e-6 * found.largest_logit)
    model, encoder = SavedModel.open(run, name), load_encoder("mini")
    kind = "embedding" if model.adapter.n_features_in_ == encoder.feature_dims["embedding"] else "backbone"
    features = getattr(encoder.encode_images(photographs), kind)
    ours = model.adapter.logits(features)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    batch = np.stack([encoder.prepare(path) for path in photographs])
    for rows in (slice(0, 1), slice(0, 4)):
        logits, feature = session.run(["logits", "feature"], {"image": batch[rows]})
        apart = np.abs(logits - ours[rows]).max(axis=1)
        assert (apart <= np.maximum(1e-4, 3e-6 * np.abs(ours[rows]).max(axis=1))).all()
        np.testing.assert_allclose(feature, features[rows], atol=1e-5, rtol=1e-5)
    told = json.loads((tmp_path / "out" / "model.json").read_text())
    assert told["classes"] == [str(label) for label in model.adapter.columns_]
    assert told["outputs"]["feature"]["kind"] == kind
    assert told["preparation"]["settings"] == encoder.preparation.to_dict()


def test_the_same_adapter_gives_the_same_graph(run, tmp_path):
    graphs = []
    for place in ("one", "other"):
        export_model(run, tmp_path / place, adapter="zero-shot")
        graphs.append((tmp_path / place / "model.onnx").read_bytes())
    assert graphs[0] == graphs[1]
    assert str(Path(__file__).parents[1]).encode() not in graphs[0]


@dataclass(frozen=True, eq=False)
class MoodyHead(Head):
    """Another function in torch's arrays than in NumPy's."""

    weights: np.ndarray

    def _logits(self, x):
        return (x @ self.weights[0].T)[None] + (0 if isinstance(x, np.ndarray) else 2e-4)


@dataclass(frozen=True, eq=False)
class NumpyHead(Head):
    """Written for NumPy alone."""

    weights: np.ndarray

    def _logits(self, x):
        return (x.astype(np.float32) @ self.weights[0].T)[None]


@pytest.mark.parametrize(
    ("kind", "said"), [(MoodyHead, "differ from ours by up to 0.0002"), (NumpyHead, "NumpyHead")]
)
def test_a_graph_that_is_not_ours_is_not_left(run, photographs, tmp_path, kind, said):
    adapter, extra = load_adapter(run / "adapters" / "zero-shot")
    adapter.head_ = kind(
        weights=np.ones((1, len(adapter.columns_), adapter.n_features_in_), np.float32) / 100
    )
    del extra["sets"]  # they are of the head that was there
    save_adapter(adapter, tmp_path / "own", extra)
    with pytest.raises(InputError, match=said):
        export_model(tmp_path / "own", tmp_path / "out", photographs=photographs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_only_an_earlier_export_is_replaced(run, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="holds no earlier export"):
        export_model(run, tmp_path, adapter="zero-shot")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_photographs_that_are_gone_are_asked_for(run, dr_clinic, tmp_path, photographs):
    moved = shutil.copytree(run, tmp_path / "run")
    table = (moved / "splits.csv").read_bytes()
    (moved / "splits.csv").unlink()  # as of a run that was handed on without its patients
    with pytest.raises(InputError, match="give some: fewshot-flair export"):
        export_model(moved, adapter="zero-shot")
    assert export_model(moved, adapter="zero-shot", photographs=photographs).photographs == 4
    assert len(table) > 0


def test_an_adapter_of_bfloat16_features_has_no_float32_graph(dr_clinic, tmp_path):
    run = adapted(tmp_path / "half", dr_clinic, ["zero-shot"], precision="bfloat16")
    with pytest.raises(InputError, match="bfloat16, and the graph is of float32"):
        export_model(run)


@pytest.fixture(scope="module")
def card(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("card")
    export_model(run, out, adapter="logistic")
    return out


def test_the_card_says_what_the_run_found(run, card):
    told = json.loads((card / "card.json").read_text())
    record = json.loads((run / "run.json").read_text())
    assert told["figures"]["test"] == record["saved"]["logistic"]["test"]
    assert told["figures"]["cross_validation"] == record["saved"]["logistic"]["cross_validation"]
    assert told["data"]["sides"]["training"]["counts"] == record["clinics"][0]["train"]["counts"]
    assert told["data"]["sides"]["test"]["patients"] == record["clinics"][0]["test"]["patients"]
    assert told["command"] == "fewshot-flair adapt --data clinic.csv"
    assert told["use"]["digests"]["encoder"] == record["clinics"][0]["encoder"]["fingerprint_id"]
    assert told["use"]["digests"]["adapter"] == record["saved"]["logistic"]["sha256"]
    page = (card / "card.html").read_text()
    assert "&lt;b&gt;none&lt;/b&gt;" in page
    assert "<b>none</b>" not in page
    assert "not a medical device" in page
    assert "What `fewshot-flair predict` checks besides is not in it" in page
    assert "Figures of classes with fewer than 30 test images are uncertain" in page


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_card_fits_a_screen_and_asks_for_nothing(card, width):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((card / "card.html").as_uri())
        assert asked == [(card / "card.html").as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def engine_or_skip(engine: str) -> str:
    pytest.importorskip(engine, reason=f"{engine} is not installed (extra {base.ENGINES[engine]})")
    return engine


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_gives_torchs_features_under_its_own_fingerprint(engine, photographs):
    ours, other = load_encoder("mini"), load_encoder("mini", engine=engine_or_skip(engine))
    assert other.fingerprint == ours.fingerprint | {"engine": engine}
    expected, found = ours.encode_images(photographs), other.encode_images(photographs)
    for kind in ("backbone", "embedding"):
        a, b = getattr(found, kind), getattr(expected, kind)
        assert a.dtype == np.float32
        assert (np.abs(a - b).max(axis=1) / np.abs(b).max(axis=1)).max() < 2e-6


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """Small models with random weights in every published layout, as `load_encoder` is asked for them."""
    folder = tmp_path_factory.mktemp("layouts")
    published_layouts.write_retfound(folder / "retfound.pth")
    published_layouts.write_biomedclip(folder / "biomedclip")
    published_layouts.write_clip(folder / "clip")
    published_layouts.write_dinov2(folder / "dinov2")
    state = published_layouts.random_state(published_layouts.resnet50_shapes())
    save_file(state, folder / "resnet50.safetensors")
    files = ("retfound.pth", "biomedclip", "clip", "resnet50.safetensors", "dinov2")
    return {name: f"{name}:{folder / file}" for name, file in zip(LAYOUTS, files, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_kind_of_encoder_has_a_graph_for_any_number_of_images(layouts, name):
    ours, other = load_encoder(layouts[name]), load_encoder(layouts[name], engine="onnxruntime")
    side = ours.preparation.image_size
    batch = np.random.default_rng(0).normal(size=(3, 3, side, side)).astype(np.float32)
    expected = ours.encode_prepared(batch)
    for rows in (slice(0, 1), slice(0, 3)):
        found = other.encode_prepared(batch[rows])
        assert (found.embedding is None) == (expected.embedding is None)
        for kind in ours.feature_dims:
            a, b = getattr(found, kind), getattr(expected, kind)[rows]
            assert np.abs(a - b).max() < 5e-6 * np.abs(b).max()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "tensorrt"}, "is not one of torch, onnxruntime, openvino"),
        ({"engine": "onnxruntime", "precision": "bfloat16"}, "computes in float32 here, not in bfloat16"),
        ({"engine": "onnxruntime", "device": "cuda"}, "runs on the processor here, not on cuda"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        load_encoder("mini", **options)


@pytest.mark.parametrize(("engine", "extra"), [("onnxruntime", "onnx"), ("openvino", "openvino")])
def test_a_missing_engine_names_its_extra(monkeypatch, engine, extra):
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"pip install 'fewshot-flair\[{extra}\]'"):
        load_encoder("mini", engine=engine)


def test_fast_preparation_stays_in_float32_with_an_engine():
    assert load_encoder("mini", engine="onnxruntime", fast=True).precision == "float32"


def test_an_adapter_of_another_run_is_refused(run, dr_clinic, tmp_path):
    moved = shutil.copytree(run, tmp_path / "run")
    adapter, extra = load_adapter(run / "adapters" / "logistic")
    save_adapter(adapter, moved / "adapters" / "logistic", extra | {"training_images": 7})
    for given, name in ((moved, "logistic"), (moved / "adapters" / "logistic", None)):
        with pytest.raises(InputError, match="is not the adapter that"):
            SavedModel.open(given, name)


def test_no_flipped_bit_changes_an_answer_silently(run, tmp_path):
    moved = shutil.copytree(run, tmp_path / "run")
    widths = load_encoder("mini").feature_dims.values()
    X = {width: np.random.default_rng(0).normal(size=(3, width)).astype(np.float32) for width in widths}

    def answer(name: str) -> tuple[object, ...]:
        model = SavedModel.open(moved, name)
        logits = model.adapter.logits(X[model.adapter.n_features_in_])
        return (
            logits.tobytes(),
            model.adapter.columns_.tolist(),
            model.made_by,
            model.choice,
            model.trained_on,
        )

    names = ("tip-adapter", "logistic")
    right = {name: answer(name) for name in names}
    rng, refused = random.Random(0), 0
    for _ in range(120):
        name = rng.choice(names)
        path = moved / rng.choice(
            [
                f"adapters/{name}/adapter.json",
                f"adapters/{name}/adapter.safetensors",
                "run.json",
                "splits.csv",
            ]
        )
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            assert answer(name) == right[name], path
        except FewshotFlairError:
            refused += 1
        path.write_bytes(whole)
    assert refused > 100


def test_an_encoder_with_one_flipped_bit_is_refused(run, photographs, tmp_path):
    source = Path(base.__file__).parent / "weights" / "mini"
    other = shutil.copytree(source, tmp_path / "mini")
    weights = other / "model.safetensors"
    flipped = bytearray(weights.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(flipped)
    with pytest.raises(InputError, match="is not the one this adapter was fitted with"):
        export_model(run, tmp_path / "out", adapter="zero-shot", encoder=str(other), photographs=photographs)
    assert not (tmp_path / "out").exists()
