"""Training on an assembly: both layouts, going on bit for bit, damage, initial weights, held-out figures."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from assemblies import SMALL, lay_assembly, weights
from typer.testing import CliRunner

from fewshot_flair import Manifest
from fewshot_flair.cli import app
from fewshot_flair.encoders import load_encoder
from fewshot_flair.encoders.catalogue import MINI
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.evaluation import balanced_accuracy
from fewshot_flair.pretraining import Assembly, assemble, pretrain_assembly
from fewshot_flair.pretraining.assembly import HeldOut
from fewshot_flair.pretraining.held_out import zero_shot_figures
from fewshot_flair.pretraining.parallel import Ranks
from fewshot_flair.pretraining.start import begin


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_FLAIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield lay_assembly(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def photographs(path):
    return assemble(Assembly.read(path))


@pytest.fixture(scope="module")
def whole(path, photographs, tmp_path_factory):
    """The folder of a training without interruption; decoded by another process."""
    out = tmp_path_factory.mktemp("whole")
    done = pretrain_assembly(Assembly.read(path), photographs, out, workers=1)
    assert done.finished
    assert done.steps == 4  # 17 showings an epoch, two batches of 8
    return out


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_model_loads_in_both_layouts_and_sees_a_photograph(whole, path):
    photograph = path.parent / "held" / "1.jpg"
    one = load_encoder(str(whole)).encode_images([photograph]).embedding
    other = load_encoder(str(whole / "flair_resnet.pth")).encode_images([photograph]).embedding
    assert one.shape == (1, 16)
    np.testing.assert_array_equal(one, other)
    assert load_encoder(str(whole)).prototypes(["glaucoma", "drusens"]).prototypes.shape == (2, 16)


def test_figures_of_the_held_out_set_come_with_each_epoch(whole):
    rows = read(whole / "results.csv")
    assert [(r["epoch"], r["step"], r["data"], r["images"]) for r in rows] == [
        ("1", "2", "clinic", "6"),
        ("2", "4", "clinic", "6"),
    ]
    encoder = load_encoder(str(whole))
    assert [r["step"] for r in read(whole / "training.csv")] == ["2", "4"]
    assert 0 <= float(rows[-1]["balanced_accuracy"]) <= 1
    assert encoder.preparation.image_size == 32


def test_the_last_figure_is_what_the_written_model_gives(whole, path):
    encoder = load_encoder(str(whole))
    rows = read(path.parent / "held.csv")
    features = encoder.encode_images([path.parent / r["image"] for r in rows]).embedding
    classes = sorted({r["label"] for r in rows})
    answers = (features @ encoder.prototypes(classes).prototypes.T).argmax(1)
    right = [
        np.mean([classes[a] == c for a, r in zip(answers, rows, strict=True) if r["label"] == c])
        for c in classes
    ]
    assert float(read(whole / "results.csv")[-1]["balanced_accuracy"]) == pytest.approx(
        np.mean(right), abs=1e-6
    )


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_stopped_at_any_step_it_goes_on_to_the_same_weights_bit_for_bit(
    stop, path, photographs, whole, tmp_path
):
    first = pretrain_assembly(Assembly.read(path), photographs, tmp_path, workers=0, steps_now=stop)
    assert (first.step, first.finished) == (stop, False)
    assert not (tmp_path / "model.safetensors").exists()
    pretrain_assembly(Assembly.read(path), photographs, tmp_path, workers=0)
    expected = weights(whole)
    for name, tensor in weights(tmp_path).items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)
    assert (tmp_path / "results.csv").read_text() == (whole / "results.csv").read_text()
    assert (tmp_path / "training.csv").read_text() == (whole / "training.csv").read_text()


def test_damaged_and_foreign_checkpoints_are_refused_and_the_one_before_helps(
    path, photographs, whole, tmp_path
):
    shutil.copytree(whole / "checkpoints", tmp_path / "checkpoints")
    last = tmp_path / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    with pytest.raises(InputError, match=r"last.ckpt is damaged.*goes on from previous.ckpt"):
        pretrain_assembly(Assembly.read(path), photographs, tmp_path, workers=0)
    last.unlink()
    done = pretrain_assembly(Assembly.read(path), photographs, tmp_path, workers=0)
    assert [row["epoch"] for row in done.history] == [1, 2]
    other = path.with_name("other.toml")
    other.write_text(path.read_text().replace("epochs = 2", "epochs = 2\nlearning_rate = 0.1"))
    with pytest.raises(InputError, match=r"other settings \(assembly.recipe.learning_rate\)"):
        pretrain_assembly(Assembly.read(other), photographs, tmp_path, workers=0)


def test_training_goes_on_from_a_flair_and_from_two_towers(path, photographs, whole, tmp_path):
    text = path.read_text().replace(SMALL, "")
    flair = path.with_name("flair.toml")
    flair.write_text(
        f'[start]\nflair = "{whole}"\n[recipe]\nimage_size = 32\nbatch_size = 8\nlearning_rate = 1e-9\n{text}'
    )
    pretrain_assembly(Assembly.read(flair), photographs, tmp_path / "a", workers=0, steps_now=1)
    from fewshot_flair.pretraining.start import begin

    begun = begin(Assembly.read(flair), [], tmp_path).network.state_dict()
    for name, tensor in weights(whole).items():
        np.testing.assert_array_equal(begun[name].numpy(), tensor, err_msg=name)

    from safetensors.numpy import save_file

    (tmp_path / "vision").mkdir()
    vision = {
        n.removeprefix("vision_model.model."): t
        for n, t in weights(whole).items()
        if "vision_model.model" in n
    }
    save_file(vision | {"fc.bias": np.zeros(5, np.float32)}, tmp_path / "vision" / "model.safetensors")
    shutil.copytree(whole / "text_encoder", tmp_path / "bert")
    bert = {
        f"bert.{n.removeprefix('text_model.model.')}": t
        for n, t in weights(whole).items()
        if "text_model.mo" in n
    }
    bert = {n.replace("LayerNorm.weight", "LayerNorm.gamma"): t for n, t in bert.items()}
    save_file(
        bert | {"cls.predictions.bias": np.zeros(5, np.float32)}, tmp_path / "bert" / "model.safetensors"
    )
    towers = path.with_name("towers.toml")
    towers.write_text(
        f'[start]\nvision = "{tmp_path}/vision"\ntext = "{tmp_path}/bert"\nembedding = 8\n{text}'
    )
    made = begin(Assembly.read(towers), [], tmp_path).network
    assert made.config.proj_dim == 8
    for name, tensor in made.state_dict().items():
        if "projection" not in name and name != "logit_scale":
            np.testing.assert_array_equal(tensor.numpy(), weights(whole)[name], err_msg=name)


def test_both_published_layouts_are_a_beginning(random_flair, path, tmp_path):
    from fewshot_flair.pretraining.start import begin

    found = []
    for source in (random_flair / "hub", random_flair / "flair_resnet.pth"):
        toml = path.with_name("published.toml")
        text = path.read_text().replace(SMALL, "")
        toml.write_text(
            f'[start]\nflair = "{source}"\ntext_encoder = "{random_flair / "text_encoder"}"\n{text}'
        )
        assembly = Assembly.read(toml)
        assert (assembly.recipe.image_size, assembly.recipe.batch_size, assembly.recipe.epochs) == (
            512,
            128,
            15,
        )
        found.append(begin(assembly, [], tmp_path).network.state_dict())
    assert found[0].keys() == found[1].keys()
    assert all((found[0][name] == found[1][name]).all() for name in found[0])


def test_by_default_the_published_towers_are_asked_for(path, photographs, tmp_path):
    toml = path.with_name("default.toml")
    toml.write_text(path.read_text().replace(SMALL, "[recipe]\nbatch_size = 8\n"))
    with pytest.raises(MissingFileError, match="emilyalsentzer/Bio_ClinicalBERT"):
        pretrain_assembly(Assembly.read(toml), photographs, tmp_path, workers=0)


def test_a_batch_larger_than_an_epoch_and_a_loss_that_is_no_number_are_said(
    path, photographs, whole, tmp_path
):
    toml = path.with_name("large.toml")
    toml.write_text(path.read_text().replace("batch_size = 8", "batch_size = 19"))
    with pytest.raises(InputError, match="an epoch shows 17 photographs, fewer than a batch of 19"):
        pretrain_assembly(Assembly.read(toml), photographs, tmp_path, workers=0)
    from safetensors.numpy import save_file

    shutil.copytree(whole, tmp_path / "broken", ignore=shutil.ignore_patterns("checkpoints", "*.pth"))
    save_file(
        weights(whole) | {"logit_scale": np.full((), np.nan, np.float32)},
        tmp_path / "broken/model.safetensors",
    )
    text = path.read_text().replace(SMALL, "")
    toml.write_text(
        f'[start]\nflair = "{tmp_path}/broken"\n[recipe]\nimage_size = 32\nbatch_size = 8\n{text}'
    )
    with pytest.raises(InputError, match="the loss is not a number at step 2"):
        pretrain_assembly(Assembly.read(toml), photographs, tmp_path / "out", workers=0)
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_the_command_trains_and_says_where_the_model_is(path, tmp_path, whole, monkeypatch):
    monkeypatch.setenv("FEWSHOT_FLAIR_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "model"
    done = CliRunner().invoke(
        app, ["pretrain", str(path), "--out", str(out), "--workers", "0", "--device", "cpu"]
    )
    assert done.exit_code == 0, done.output
    assert "zero-shot on clinic after epoch 2" in done.output
    assert "in both published layouts" in done.output
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_training_lowers_the_loss_in_mixed_precision_too(path, photographs, tmp_path):
    for precision in ("float32", "bfloat16"):
        toml = path.with_name("more.toml")
        settings = f'epochs = 12\nlearning_rate = 1e-2\nprecision = "{precision}"'
        toml.write_text(path.read_text().replace("epochs = 2", settings))
        done = pretrain_assembly(Assembly.read(toml), photographs, tmp_path / precision, workers=0)
        assert done.history[-1]["loss"] < 0.95 * done.history[0]["loss"]


def test_zero_shot_while_it_trains_is_that_of_the_model(demo, tmp_path):
    """Held to the shipped model, whose answers differ from class to class, and which reads texts in a template."""
    mini = load_encoder("mini")
    manifest = Manifest.read(demo).split("test")
    some = manifest.take(np.arange(0, len(manifest), 4))
    entries = {
        "sets": [{"name": "demo", "manifest": str(demo)}],
        "start": {"flair": str(MINI)},
        "recipe": {"image_size": mini.preparation.image_size},
    }
    network = begin(Assembly.from_dict(entries), [], tmp_path).network
    held_out = [(HeldOut(name="demo", manifest=str(demo)), some)]
    (row,) = zero_shot_figures(network, held_out, mini.preparation, Ranks())
    answers = (mini.encode_images(some.paths).embedding @ mini.prototypes(some.classes).prototypes.T).argmax(
        1
    )
    assert len(set(answers.tolist())) > 2
    assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy(some.y, answers))
