"""FLAIR against the release's own numbers, in both layouts, and what is said when a checkpoint is at fault."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fewshot_flair.encoders import FLAIRModel, load_encoder
from fewshot_flair.encoders.config import BertConfig, FLAIRConfig, ResNetConfig
from fewshot_flair.encoders.flair_network import FLAIRNetwork, save_network
from fewshot_flair.encoders.tokenizer import WordPieces
from fewshot_flair.errors import InputError, MissingFileError

DATA = Path(__file__).parent / "data"
VOCABULARY = DATA / "tiny_vocab.txt"


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(DATA / "flair_parity.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def flair(random_flair: Path) -> FLAIRModel:
    return FLAIRModel.from_pretrained(random_flair / "hub", text_encoder=random_flair / "text_encoder")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small FLAIR with random weights, written as the mini model is."""
    torch.manual_seed(0)
    vision = ResNetConfig("basic", (1, 1), (8, 16), stem_kernel=3, stem_pool=False)
    config = FLAIRConfig(proj_dim=12, image_size=48, vision=vision)
    bert = BertConfig(
        vocab_size=len(VOCABULARY.read_text().splitlines()),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=80,
    )
    return save_network(FLAIRNetwork(config, bert), tmp_path / "small", VOCABULARY)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_image_features_agree_with_the_release(
    flair: FLAIRModel, expected: dict[str, np.ndarray], dr_clinic: Path
) -> None:
    features = flair.encode_images([dr_clinic / "images" / f"{name}.jpg" for name in expected["images"]])
    assert features.backbone.dtype == features.embedding.dtype == np.float32
    assert cosine(features.backbone, expected["backbone"]).min() >= 0.99999
    assert cosine(features.embedding, expected["embedding"]).min() >= 0.99999
    np.testing.assert_allclose(features.backbone, expected["backbone"], rtol=1e-3, atol=1e-3)


def test_the_plain_call_agrees_with_the_release(
    flair: FLAIRModel, expected: dict[str, np.ndarray], dr_clinic: Path
) -> None:
    image = Image.open(dr_clinic / "images" / f"{expected['images'][0]}.jpg")
    probs, logits = flair(image, [str(text) for text in expected["call_text"]])
    np.testing.assert_allclose(logits, expected["call_logits"], atol=1e-3)
    np.testing.assert_allclose(probs, expected["call_probs"], atol=1e-4)


@pytest.mark.parametrize(("knowledge", "name"), [(False, "prototypes_naive"), (True, "prototypes_expert")])
def test_prototypes_agree_with_the_release(
    flair: FLAIRModel, expected: dict[str, np.ndarray], knowledge: bool, name: str
) -> None:
    text = flair.prototypes([str(name) for name in expected["categories"]], knowledge=knowledge)
    assert cosine(text.prototypes, expected[name]).min() >= 0.99999
    np.testing.assert_allclose(text.prototypes, expected[name], atol=1e-5)
    assert text.logit_scale == pytest.approx(4.2, abs=1e-6)
    of_first = text.samples[np.asarray(text.sample_classes) == 0]
    np.testing.assert_allclose(of_first.mean(axis=0), text.prototypes[0], atol=1e-6)
    assert len(of_first) == len(text.descriptions["no diabetic retinopathy"]) == (4 if knowledge else 1)


def test_every_published_tensor_has_its_place(random_flair: Path) -> None:
    published = json.loads((DATA / "flair_checkpoint_keys.json").read_text())["tensors"]
    with torch.device("meta"):
        network = FLAIRNetwork(FLAIRConfig(), BertConfig())
    ours = {name: (list(t.shape), str(t.dtype)) for name, t in network.state_dict().items()}
    assert ours == {name: (shape, f"torch.{dtype}") for name, shape, dtype in published}


def test_the_original_state_dict_gives_the_same_features(random_flair: Path, flair: FLAIRModel) -> None:
    original = FLAIRModel.from_pretrained(
        random_flair / "flair_resnet.pth", text_encoder=random_flair / "text_encoder"
    )
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    np.testing.assert_array_equal(
        original.encode_images(image).embedding, flair.encode_images(image).embedding
    )
    assert original.fingerprint_id != flair.fingerprint_id
    assert original.logit_scale == flair.logit_scale


def test_token_ids_and_hidden_states_equal_transformers_own(random_flair: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from fewshot_flair.encoders.bert import Bert

    folder = random_flair / "text_encoder"
    texts = ["A fundus photograph of Macular edema", "drusens, naïve!", "macular " * 100]
    theirs = transformers.BertTokenizer(
        vocab=str(folder / "vocab.txt"), do_lower_case=False, model_max_length=77
    )(texts, padding=True, truncation=True, return_tensors="np")
    ids, mask = WordPieces.read(folder)(texts)
    assert ids.shape == (3, 77)
    np.testing.assert_array_equal(ids, theirs["input_ids"])
    np.testing.assert_array_equal(mask, theirs["attention_mask"])
    state = load_file(random_flair / "hub" / "model.safetensors")
    prefix = "text_model.model."
    state = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    bert = transformers.BertModel(transformers.BertConfig.from_json_file(folder / "config.json")).eval()
    bert.load_state_dict(state)
    ours = Bert(BertConfig.read(folder / "config.json")).eval()
    ours.load_state_dict(state)
    ids, mask = torch.from_numpy(ids), torch.from_numpy(mask)
    with torch.inference_mode():
        reference = bert(ids, attention_mask=mask, output_hidden_states=True).hidden_states
        for mine, published in zip(ours(ids, mask), reference, strict=True):
            torch.testing.assert_close(mine, published, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [None, {}, {"do_lower_case": False}, {"do_lower_case": True}])
def test_casing_is_that_of_transformers_auto_tokenizer(small: Path, settings: dict | None) -> None:
    """FLAIR's release reads Bio_ClinicalBERT so, whose repository has no tokenizer_config.json."""
    transformers = pytest.importorskip("transformers")
    folder = small / "text_encoder"
    (folder / "tokenizer_config.json").unlink()
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    texts = ["A Fundus photograph of Macular Edema", "drusens, naïve!"]
    theirs = transformers.AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="np")
    tower = load_encoder(small)._text
    for pieces in (tower.tokenizer, WordPieces.read(folder)):
        np.testing.assert_array_equal(pieces(texts)[0], theirs["input_ids"])
    fingerprint = load_encoder(small).fingerprint
    assert fingerprint["text"]["lower_case"] is (settings or {}).get("do_lower_case", True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_checkpoint_gives_what_its_numbers_say(
    small: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    state = load_file(small / "model.safetensors")
    half = {name: t.to(dtype) if t.is_floating_point() else t for name, t in state.items()}
    shutil.copytree(small, tmp_path / "half")
    save_file(half, tmp_path / "half" / "model.safetensors")
    save_file({name: t.float() for name, t in half.items()}, small / "model.safetensors")
    ours, theirs = FLAIRModel.from_pretrained(tmp_path / "half"), FLAIRModel.from_pretrained(small)
    assert ours.logit_scale == theirs.logit_scale != np.log(1 / 0.07)
    image = np.random.default_rng(1).integers(0, 255, (50, 70, 3), np.uint8)
    np.testing.assert_array_equal(
        ours(image, ["normal", "drusens"])[1], theirs(image, ["normal", "drusens"])[1]
    )


def test_padding_counts_in_a_text_embedding(small: Path) -> None:
    model = load_encoder(small)
    alone = model.encode_texts(["drusens"])
    beside = model.encode_texts(["drusens", "A fundus photograph of macular edema and hard exudates"])
    assert np.abs(alone[0] - beside[0]).max() > 1e-4
    np.testing.assert_allclose(np.linalg.norm(beside, axis=1), 1, atol=1e-6)


def test_a_mapping_gives_its_own_descriptions(small: Path) -> None:
    model = load_encoder(small)
    text = model.prototypes({"b": ["drusens", "red dots"], "a": ["macula"]})
    assert list(text.classes) == ["b", "a"]
    assert text.descriptions == {"b": ["drusens", "red dots"], "a": ["macula"]}
    first = model.encode_texts(["A fundus photograph of drusens", "A fundus photograph of red dots"])
    np.testing.assert_allclose(text.prototypes[0], first.mean(axis=0), atol=1e-6)
    for bad, said in [
        ({"a": []}, "at least one"),
        ({"a": "x"}, "list"),
        ([], "no classes"),
        (["a", "a"], "twice"),
    ]:
        with pytest.raises(InputError, match=said):
            model.prototypes(bad)


def test_a_small_model_goes_through_the_same_code(small: Path) -> None:
    model = FLAIRModel.from_pretrained(small)
    assert model.feature_dims == {"backbone": 16, "embedding": 12}
    images = np.random.default_rng(1).integers(0, 255, (3, 50, 70, 3), np.uint8)
    features = model.encode_images(images)
    assert features.backbone.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(features.embedding, axis=1), 1, atol=1e-6)
    one_by_one = np.concatenate([model.encode_images(image).backbone for image in images])
    np.testing.assert_allclose(features.backbone, one_by_one, atol=1e-5)
    probs, logits = model(list(images), ["normal", "drusens"])
    assert probs.shape == logits.shape == (3, 2)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    assert model.logit_scale == pytest.approx(np.log(1 / 0.07), abs=1e-6)


def test_towers_are_differentiable() -> None:
    config = FLAIRConfig(proj_dim=8, vision=ResNetConfig("bottleneck", (1, 1), (8, 8)))
    bert = BertConfig(hidden_size=8, num_attention_heads=2, intermediate_size=8, num_hidden_layers=2)
    network = FLAIRNetwork(config, bert, WordPieces(VOCABULARY))
    backbone, images = network.encode_images(torch.rand(4, 3, 32, 32))
    assert backbone.shape == (4, 32)
    (network.scale() * images @ network.encode_texts(["normal", "drusens"]).T).sum().backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_the_temperature_is_clamped(small: Path) -> None:
    state = load_file(small / "model.safetensors")
    save_file(state | {"logit_scale": torch.tensor(9.0)}, small / "model.safetensors")
    assert load_encoder(small).logit_scale == pytest.approx(4.6052)


def test_bfloat16_is_close_and_has_another_fingerprint(small: Path) -> None:
    image = np.random.default_rng(1).integers(0, 255, (50, 70, 3), np.uint8)
    exact, fast = load_encoder(small), load_encoder(small, precision="bfloat16")
    ours, theirs = exact.encode_images(image).backbone, fast.encode_images(image).backbone
    assert cosine(ours, theirs).min() > 0.999
    assert not np.array_equal(ours, theirs)
    assert exact.fingerprint_id != fast.fingerprint_id
    assert json.loads(json.dumps(fast.fingerprint))["precision"] == "bfloat16"
    with pytest.raises(InputError, match="precision 'half'"):
        load_encoder(small, precision="half")


def test_the_fingerprint_follows_weights_and_vocabulary_but_not_the_place(
    small: Path, tmp_path: Path
) -> None:
    before = load_encoder(small).fingerprint_id
    moved = shutil.copytree(small, tmp_path / "moved")
    assert load_encoder(moved).fingerprint_id == before
    state = load_file(moved / "model.safetensors")
    state["vision_model.model.conv1.weight"][0, 0, 0, 0] += 1
    save_file(state, moved / "model.safetensors")
    assert load_encoder(moved).fingerprint_id != before
    with (small / "text_encoder" / "vocab.txt").open("a") as vocabulary:
        vocabulary.write("another\n")
    assert load_encoder(small).fingerprint_id != before


def test_nothing_is_loaded_before_something_is_encoded(small: Path) -> None:
    code = (
        "import sys; from fewshot_flair.encoders import load_encoder; e = load_encoder(sys.argv[1]);"
        "e.fingerprint_id, e.feature_dims, e.has_text, e.logit_scale, e.prepare;"
        "print({'torch', 'transformers', 'skimage', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(small)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_missing_and_misshapen_tensors_are_named(small: Path) -> None:
    path = small / "model.safetensors"
    state = load_file(path)
    del state["vision_model.model.layer2.0.conv1.weight"]
    state["text_model.projection_head_text.projection.weight"] = torch.zeros(3, 3)
    state["vision_model.model.fc.weight"] = torch.zeros(2)
    save_file(state, path)
    with pytest.raises(InputError) as caught:
        FLAIRModel.from_pretrained(small)
    said = str(caught.value)
    assert "lacks 1 tensor (vision_model.model.layer2.0.conv1.weight)" in said
    assert "text_model.projection_head_text.projection.weight of shape [3, 3] instead of [12, 16]" in said
    assert "1 tensor (vision_model.model.fc.weight) that the network does not" in said
    with pytest.raises(InputError, match="lacks 1 tensor"):
        load_encoder(small).encode_images(np.zeros((8, 8, 3), np.uint8))


def test_truncated_weights_are_refused_in_a_sentence(small: Path, tmp_path: Path) -> None:
    state = load_file(small / "model.safetensors")
    torch.save(state, tmp_path / "flair_resnet.pth")
    for path in (small / "model.safetensors", tmp_path / "flair_resnet.pth"):
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(MissingFileError, match=f"{path.name} is truncated or damaged"):
            FLAIRModel.from_pretrained(path, text_encoder=small / "text_encoder")


def test_code_in_a_checkpoint_is_never_run(small: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"logit_scale": torch.zeros(()), "trap": Trap()}, tmp_path / "flair_resnet.pth")
    with pytest.raises(InputError, match="could run code"):
        FLAIRModel.from_pretrained(tmp_path / "flair_resnet.pth", text_encoder=small / "text_encoder")
    assert not (tmp_path / "sprung").exists()


def test_out_of_reach_says_what_to_get_and_where_it_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingFileError) as caught:
        FLAIRModel.from_pretrained("jusiro2/FLAIR")
    for part in ("model.safetensors and config.json", "huggingface.co/jusiro2/FLAIR", "--encoder FOLDER"):
        assert part in str(caught.value)


def test_a_published_folder_without_a_text_encoder_says_which_option(
    small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    (small / "text_encoder").rename(small / "elsewhere")
    with pytest.raises(MissingFileError) as caught:
        FLAIRModel.from_pretrained(small)
    for part in ("config.json and vocab.txt", "emilyalsentzer/Bio_ClinicalBERT", "--text-encoder FOLDER"):
        assert part in str(caught.value)
    FLAIRModel.from_pretrained(small, text_encoder=small / "elsewhere")
    (small / "elsewhere" / "vocab.txt").unlink()
    with pytest.raises(MissingFileError, match=r"has no vocab\.txt"):
        FLAIRModel.from_pretrained(small, text_encoder=small / "elsewhere")


def test_sources_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no model at"):
        FLAIRModel.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match="holds no weights"):
        FLAIRModel.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="did you mean 'flair'"):
        load_encoder("flare")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"vision_type": "efficientnet"}, "vision_type 'efficientnet'"),
        ({"projection": False}, "projection"),
        ({"caption": "an eye"}, "caption 'an eye'"),
        ({"vision": {"block": "dense"}}, "block 'dense'"),
        ({"vision": {"deep": 3}}, "'vision' cannot be read"),
    ],
)
def test_a_configuration_that_is_not_supported_is_refused(content: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        FLAIRConfig.from_dict(content)


def test_the_mini_model_is_in_the_package_and_whole() -> None:
    mini = load_encoder("mini")
    mini.check()
    assert mini.weights.stat().st_size <= 10_000_000
    features = mini.encode_images(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    assert {
        "backbone": features.backbone.shape[1],
        "embedding": features.embedding.shape[1],
    } == mini.feature_dims
    text = mini.prototypes(["no diabetic retinopathy", "severe diabetic retinopathy"])
    assert text.n_features == mini.feature_dims["embedding"]
