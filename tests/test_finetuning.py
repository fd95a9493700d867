"""Fine-tuning: each method changes what it names, training resumes bit for bit, and the path has exact ends."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from published_layouts import (
    random_state,
    resnet50_shapes,
    small_vit,
    write_biomedclip,
    write_clip,
    write_retfound,
)
from safetensors.torch import save_file
from tiny import CLASSES, draw_clinic, write_flair
from torch import nn
from torch.nn.utils import parametrize

from fewshot_flair import create_adapter, fit_episodes, load_adapter, load_encoder
from fewshot_flair.errors import InputError
from fewshot_flair.finetuning import (
    METHODS,
    FineTuning,
    TrainingSide,
    TunedNetwork,
    TuningSettings,
    create_finetuning,
    fine_tune,
    interpolate,
    list_finetuning,
    save_tuned,
    soup,
)
from fewshot_flair.finetuning.base import is_norm
from fewshot_flair.finetuning.checkpoint import read_checkpoint, write_checkpoint
from fewshot_flair.finetuning.photographs import Photographs
from fewshot_flair.finetuning.training import Lesson, class_weights, logits_of, train
from fewshot_flair.finetuning.weights import changed

SETTINGS = TuningSettings(epochs=3, batch_size=4, amp=False)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory) -> Path:
    return draw_clinic(tmp_path_factory.mktemp("clinic"), 36, 1, split=True)


@pytest.fixture(scope="module")
def flair(tmp_path_factory) -> Path:
    return write_flair(tmp_path_factory.mktemp("flair"))


def side_of(encoder, manifest: Path, n: int = 36) -> TrainingSide:
    frame = pd.read_csv(manifest).head(n)
    paths = [str(manifest.parent / image) for image in frame["image"]]
    y = np.array([CLASSES.index(label) for label in frame["label"]])
    features = encoder.encode_images(paths)
    text = encoder.prototypes(CLASSES) if encoder.has_text else None

    def start(rows, kind):
        name = {"zero-shot": "zero-shot", "probe": "lp"}[kind] if text is not None else "logistic"
        X = features.backbone if text is None else features.embedding
        head = fit_episodes(create_adapter(name, text=text), X, y, [rows], classes=range(2)).head
        return ("backbone" if text is None else "embedding"), head

    groups = np.unique(frame["patient_id"], return_inverse=True)[1]
    return TrainingSide(encoder, Photographs(encoder, paths), y, groups, paths, start)


@pytest.fixture(scope="module")
def side(flair, clinic) -> TrainingSide:
    return side_of(load_encoder(flair), clinic)


def trained(side: TrainingSide, method: FineTuning, settings: TuningSettings = SETTINGS, **now):
    """A network after an epoch or more on eight photographs, and what it was before."""
    rows = np.arange(8)
    network = TunedNetwork(side.encoder, *side.start(rows, method.start))
    before = network.state()
    lesson = Lesson(side.photographs, side.y, rows, None, method, settings, 0, settings.epochs, "test", **now)
    history, cost = train(network, lesson)
    return network, before, history, cost


def may_change(name: str, method: str, network: TunedNetwork) -> bool:
    """What each method names, said again from the names and modules of a FLAIR."""
    module = network.get_submodule(name.rpartition(".")[0])
    if name.startswith("head."):
        return True
    if name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked"):
        return False
    return {
        "full": True,
        "lp-ft": True,
        "last-stage": "layer4" in name or "projection_head" in name,
        "bn-bias": isinstance(module, nn.BatchNorm2d) or name.endswith("bias"),
        "lora": isinstance(module, nn.Conv2d),
    }[method]


@pytest.mark.parametrize("name", ["full", "lp-ft", "last-stage", "bn-bias", "lora"])
def test_only_what_a_method_names_changes(name, side):
    network, before, history, cost = trained(side, create_finetuning(name), replace(SETTINGS, epochs=1))
    after = network.state()
    assert list(after) == list(before)
    moved = set(changed(before, after))
    assert moved == {key for key in before if may_change(key, name, network)}
    assert len(history) == 1
    if name != "lora":
        assert cost["trainable_parameters"] == sum(after[key].numel() for key in moved)
    assert cost["bytes"] == 4 * cost["trainable_parameters"]


def test_the_frozen_encoder_stays_as_it_was(side, clinic):
    paths = side.photographs.paths[:3]
    before = side.encoder.encode_images(paths)
    trained(side, create_finetuning("full"))
    np.testing.assert_array_equal(side.encoder.encode_images(paths).embedding, before.embedding)


@pytest.mark.parametrize("start", ["zero-shot", "probe"])
def test_the_start_is_the_adapter(start, side):
    rows = np.arange(8)
    kind, head = side.start(rows, start)
    logits = logits_of(TunedNetwork(side.encoder, kind, head), side.photographs, rows, 3, "cpu")
    frozen = head.logits(side.encoder.encode_images(side.photographs.paths[:8]).embedding)[0]
    np.testing.assert_allclose(logits, frozen, atol=1e-4)


def test_training_learns(side):
    network, _, history, _ = trained(side, create_finetuning("full", rate=1e-2), replace(SETTINGS, epochs=15))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    logits = logits_of(network, side.photographs, np.arange(24), 8, "cpu")
    assert (logits.argmax(axis=1) == side.y[:24]).mean() > 0.9


@pytest.mark.parametrize("changes", [{"amp": True}, {"augment": False}, {"balanced": False}])
def test_settings_change_the_training(changes, side):
    method, settings = create_finetuning("full"), replace(SETTINGS, epochs=2)
    usual, other = (trained(side, method, s)[0].state() for s in (settings, replace(settings, **changes)))
    if "balanced" in changes:  # four photographs of each class weigh alike anyway
        assert changed(usual, other) == {}
    else:
        assert changed(usual, other)
    assert all(torch.isfinite(tensor).all() for tensor in other.values())


@pytest.mark.parametrize("name", ["full", "lora"])
def test_resumed_training_is_uninterrupted_training_bit_for_bit(name, side, tmp_path):
    method, settings = create_finetuning(name), replace(SETTINGS, epochs=4)
    whole = trained(side, method, settings)[0].state()
    rows = np.arange(8)
    for now in (1, 2, 9):
        network = TunedNetwork(side.encoder, *side.start(rows, method.start))
        lesson = Lesson(
            side.photographs, side.y, rows, None, method, settings, 0, 4, "test", tmp_path / "checkpoint"
        )
        history, _ = train(network, lesson, epochs_now=now)
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert changed(whole, network.state()) == {}


def test_merged_lora_is_unmerged_lora(side):
    method = create_finetuning("lora", rank=2)
    network = TunedNetwork(side.encoder, *side.start(np.arange(8), "zero-shot"))
    names = set(network.state())
    network.choose(method)
    with torch.no_grad():
        for module in network.tower.modules():
            if parametrize.is_parametrized(module, "weight"):
                module.parametrizations.weight[0].up.normal_(std=0.1)
    pixels = next(side.photographs.batches(np.arange(4), 4))[1]
    with torch.no_grad():
        before = network(pixels)
        method.finish(network.tower)
        after = network(pixels)
    assert set(network.state()) == names
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    plain = TunedNetwork(side.encoder, *side.start(np.arange(8), "zero-shot"))
    assert (plain(pixels) - after).abs().max() > 1e-2


def test_the_path_has_exact_ends_and_a_straight_middle():
    start = {"w": torch.tensor([1e-30, -0.0, 3.0]), "n": torch.tensor(3)}
    end = {"w": torch.tensor([1e30, 5.0, -1.0]), "n": torch.tensor(4)}
    for alpha, side in ((0, start), (1, end)):
        found = interpolate(start, end, alpha)
        assert all(found[name].numpy().tobytes() == side[name].numpy().tobytes() for name in side)
    assert interpolate(start, end, 0.25)["w"].tolist() == pytest.approx([2.5e29, 1.25, 2.0])
    with pytest.raises(InputError, match="between 0"):
        interpolate(start, end, 1.5)


def test_a_soup_is_the_mean():
    states = [
        {"w": torch.tensor([1.0, 2.0])},
        {"w": torch.tensor([3.0, 2.0])},
        {"w": torch.tensor([2.0, 2.0])},
    ]
    assert soup(states)["w"].tolist() == [2.0, 2.0]
    with pytest.raises(InputError, match="same tensors"):
        soup([*states, {"v": torch.zeros(2)}])


def test_the_number_of_epochs_is_the_held_out_folds(side, tmp_path):
    rows = np.arange(24)
    method = create_finetuning("full", rate=1e-3)
    told: list[str] = []
    tuned = fine_tune(side, rows, method, replace(SETTINGS, epochs=5, patience=2), 0, tmp_path, told.append)
    held = [text for text in told if text.startswith("held-out fold")]
    assert 1 <= tuned.epochs <= len(held) <= 5
    assert len(told) - len(held) == tuned.epochs
    assert "s left" in told[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tuned"]
    again = fine_tune(side, rows, method, replace(SETTINGS, epochs=5, patience=2), 0, tmp_path, told.append)
    assert changed(tuned.end, again.end) == {}
    assert again.seconds == tuned.seconds
    with pytest.raises(InputError, match="other settings"):
        fine_tune(side, rows, method, SETTINGS, 0, tmp_path)


def test_without_patients_to_hold_out_all_epochs_are_trained_and_that_is_said(side, tmp_path):
    tuned = fine_tune(side, np.array([0, 1]), create_finetuning("full"), SETTINGS, 0, tmp_path)
    assert tuned.epochs == 3
    assert "no fold" in tuned.remarks[0]


def test_one_bit_of_a_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "checkpoint"
    write_checkpoint(path, {"w": torch.arange(3.0)}, {"history": [1]})
    tensors, record = read_checkpoint(path)
    assert tensors["w"].tolist() == [0, 1, 2]
    assert record == {"history": [1]}
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_checkpoint(path)


def test_classes_weigh_alike_in_the_loss():
    weights = class_weights(np.array([0, 0, 0, 2]), 3, balanced=True)
    assert weights.tolist() == pytest.approx([4 / 6, 0, 2])
    assert class_weights(np.array([0, 0, 0, 2]), 3, balanced=False).tolist() == [1, 1, 1]


def test_a_method_of_ones_own_is_registered_and_trains(side):
    @METHODS.register
    @dataclass(frozen=True)
    class FirstLayer(FineTuning):
        name = "first-layer"
        summary = "the first convolution and the head"

        def choose(self, tower: nn.Module) -> None:
            next(m for m in tower.modules() if isinstance(m, nn.Conv2d)).weight.requires_grad_(True)

    try:
        assert [cls.name for cls in list_finetuning()][-1] == "first-layer"
        network, before, *_ = trained(side, create_finetuning("first-layer"), replace(SETTINGS, epochs=1))
        moved = set(changed(before, network.state()))
        assert moved == {"head.weight", "head.bias", "tower.model.conv1.weight"}
    finally:
        del METHODS.known["first-layer"]


@pytest.mark.parametrize("cls", list_finetuning(), ids=lambda cls: cls.name)
def test_a_method_is_a_file_of_at_most_60_lines(cls):
    assert len(Path(sys.modules[cls.__module__].__file__).read_text().splitlines()) <= 60
    assert cls.paper


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("ful", {}, "did you mean"),
        ("lora", {"rang": 3}, "rank"),
        ("full", {"rate": 0}, "step size"),
        ("full", {"start": "text"}, "zero-shot"),
        ("full", {"rate": "fast"}, "full: rate is 'fast'; give a number"),
        ("lora", {"rank": 2.5}, "lora: rank is 2.5; give a whole number"),
        ("lora", {"rank": True}, "lora: rank is True; give a whole number"),
        ("lora", {"rank": 0}, "lora: rank is 0; give a number above 0"),
        ("lora", {"alpha": -1}, "lora: alpha is -1; give a number above 0"),
    ],
)
def test_unknown_methods_and_parameters_are_refused(name, parameters, message):
    with pytest.raises(InputError, match=message):
        create_finetuning(name, **parameters)


@pytest.mark.parametrize(("name", "value"), [("head_rate", 0.0), ("clip", -1.0), ("weight_decay", -0.1)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name} is {value}"):
        TuningSettings(**{name: value})


def write_imagenet(folder: Path) -> str:
    save_file(random_state(resnet50_shapes()), folder / "model.safetensors")
    return f"imagenet-rn50:{folder}"


def write_hub(folder: Path) -> str:
    small_vit(folder, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return f"hf:{folder}"


def layout(name: str, folder: Path) -> str:
    if name == "imagenet-rn50":
        return write_imagenet(folder)
    if name == "hf":
        return write_hub(folder)
    if name == "retfound":
        write_retfound(folder / "RETFound_cfp_weights.pth")
        return f"retfound:{folder}"
    {"clip-vit-b32": write_clip, "biomedclip": write_biomedclip}[name](folder / "model")
    return f"{name}:{folder / 'model'}"


@pytest.mark.parametrize(
    "name",
    ["retfound", "clip-vit-b32", "biomedclip", pytest.param("imagenet-rn50", marks=pytest.mark.slow), "hf"],
)
def test_every_published_layout_is_trained_by_every_method(name, tmp_path, clinic):
    side = side_of(load_encoder(layout(name, tmp_path)), clinic, 4)
    rows = np.array([0, 2])
    start = side.start(np.arange(4), "zero-shot")
    for cls in list_finetuning():
        method = cls()
        network = TunedNetwork(side.encoder, *start)
        before = network.state()
        settings = replace(SETTINGS, epochs=1, batch_size=2)
        lesson = Lesson(side.photographs, side.y, rows, None, method, settings, 0, 1, "test")
        history, _ = train(network, lesson)
        after = network.state()
        moved = [key for key in changed(before, after) if key.startswith("tower.")]
        assert np.isfinite(history[0]["loss"])
        assert moved
        modules = [network.get_submodule(key.rpartition(".")[0]) for key in moved]
        if method.name == "bn-bias":
            assert all(is_norm(m) or key.endswith("bias") for m, key in zip(modules, moved, strict=True))
        if method.name == "lora":
            assert all(isinstance(m, nn.Conv2d | nn.Linear) for m in modules)
            assert any(
                "att" in key or isinstance(m, nn.Conv2d) for m, key in zip(modules, moved, strict=True)
            )
        if method.name == "last-stage":
            assert not any(
                part in key for key in moved for part in ("tower.conv1", "embed", "layer1.", "layer3.")
            )


@pytest.mark.parametrize("name", ["retfound", "clip-vit-b32", "biomedclip"])
def test_a_tuned_tower_is_saved_in_its_published_layout(name, tmp_path, clinic):
    (tmp_path / "start").mkdir()
    side = side_of(load_encoder(layout(name, tmp_path / "start")), clinic, 4)
    rows = np.array([0, 2])
    network = TunedNetwork(side.encoder, *side.start(rows, "zero-shot"))
    lesson = Lesson(side.photographs, side.y, rows, None, create_finetuning("full"), SETTINGS, 0, 1, "test")
    train(network, lesson)
    text = side.encoder.prototypes(CLASSES) if side.encoder.has_text else None
    assert save_tuned(side.encoder, network, text, CLASSES, tmp_path / "tuned") == ""
    saved = load_encoder(f"{name}:{tmp_path / 'tuned' / 'encoder'}")
    adapter, extra = load_adapter(tmp_path / "tuned" / "adapter")
    features = saved.encode_images(side.photographs.paths)
    expected = logits_of(network, side.photographs, np.arange(4), 2, "cpu")
    np.testing.assert_allclose(adapter.logits(getattr(features, extra["feature"])), expected, atol=1e-3)
    before = getattr(side.encoder.encode_images(side.photographs.paths), extra["feature"])
    assert np.abs(getattr(features, extra["feature"]) - before).max() > 1e-4


def test_a_tower_of_another_layout_says_that_it_is_not_saved(tmp_path, clinic):
    side = side_of(load_encoder(layout("hf", tmp_path)), clinic, 4)
    network = TunedNetwork(side.encoder, *side.start(np.arange(4), "probe"))
    remark = save_tuned(side.encoder, network, None, CLASSES, tmp_path / "tuned")
    assert "cannot be saved" in remark
    assert not (tmp_path / "tuned" / "encoder").exists()


@pytest.mark.slow
def test_flair_at_its_published_size_takes_a_step(random_flair, clinic):
    encoder = load_encoder(random_flair / "hub", text_encoder=random_flair / "text_encoder")
    side = side_of(encoder, clinic, 3)
    network = TunedNetwork(encoder, *side.start(np.array([0, 2]), "zero-shot"))
    lesson = Lesson(
        side.photographs, side.y, np.array([0, 2]), None, create_finetuning("full"), SETTINGS, 0, 1, "test"
    )
    history, cost = train(network, lesson)
    assert cost["trainable_parameters"] == 23_508_032 + 2048 * 512 + 2 * 512 + 2  # ResNet-50 without fc, …
    assert np.isfinite(history[0]["loss"])
