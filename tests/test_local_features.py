"""Local features: the map before pooling, from encoders and in the bank, and of tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import published_layouts as layouts
import pytest
from PIL import Image
from typer.testing import CliRunner

from fewshot_flair import FeatureBank, load_encoder
from fewshot_flair.bank import extract, import_features
from fewshot_flair.bank.local import LocalBank, LocalView
from fewshot_flair.bank.transfer import export_bank, merge
from fewshot_flair.bank.verify import verify
from fewshot_flair.cli import app
from fewshot_flair.encoders.base import ImageFeatures
from fewshot_flair.errors import InputError
from fewshot_flair.images.preparation import ImagePreparation
from fewshot_flair.images.tiles import Tiles, view


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def check_exact(found: ImageFeatures) -> None:
    """The mean of the backbone's map is the backbone; that of the projected map has the embedding's direction."""
    assert found.local is not None
    assert found.local.ndim == 4
    np.testing.assert_allclose(found.local.mean((1, 2)), found.backbone, rtol=2e-5, atol=2e-5)
    if found.embedding is not None:
        assert found.local_embedding is not None
        np.testing.assert_allclose(unit(found.local_embedding.mean((1, 2))), found.embedding, atol=2e-5)


def test_mean_of_the_local_map_is_the_feature(images: list[np.ndarray]) -> None:
    model = load_encoder("mini")
    found = model.encode_images(images, local=True)
    check_exact(found)
    assert found.local is not None
    assert found.local.shape == (2, 12, 12, 256)
    plain = model.encode_images(images)
    assert plain.local is None
    np.testing.assert_array_equal(plain.backbone, found.backbone)
    np.testing.assert_array_equal(plain.embedding, found.embedding)
    # the vector before it gets unit length, by the projection itself
    head = model._vision.projection_head_vision.projection  # type: ignore[attr-defined]
    before = unit(found.backbone) @ head.weight.numpy().T
    np.testing.assert_allclose(found.local_embedding.mean((1, 2)), before, atol=1e-5)  # type: ignore[union-attr]


def test_published_layouts_give_maps(tmp_path: Path, images: list[np.ndarray]) -> None:
    layouts.save_file(layouts.random_state(layouts.resnet50_shapes()), tmp_path / "model.safetensors")
    resnet = load_encoder(f"imagenet-rn50:{tmp_path}")
    found = resnet.encode_images(images[:1], local=True)
    assert found.local is not None
    assert found.local.shape == (1, 7, 7, 2048)
    np.testing.assert_allclose(found.local.mean((1, 2)), found.backbone, rtol=1e-3, atol=1e-4)
    layouts.write_retfound(tmp_path / "RETFound_cfp_weights.pth", width=64, depth=2)
    check_exact(
        load_encoder(f"retfound:{tmp_path / 'RETFound_cfp_weights.pth'}").encode_images(images, local=True)
    )
    layouts.write_biomedclip(tmp_path / "biomedclip", width=64, depth=2, embedding=32)
    layouts.write_clip(tmp_path / "clip", width=64, depth=2, embedding=32)
    for name in ("biomedclip", "clip-vit-b32"):
        encoder = load_encoder(f"{name}:{tmp_path / name.partition('-')[0]}")
        assert encoder.local_map == "patch tokens"
        found = encoder.encode_images(images, local=True)
        assert found.local is not None
        assert found.local_embedding is not None
        side = found.local.shape[1]
        assert found.local.shape == (2, side, side, 64)
        assert found.local_embedding.shape == (2, side, side, 32)
        np.testing.assert_array_equal(found.embedding, encoder.encode_images(images).embedding)


def test_hub_models_give_the_patches(tmp_path: Path, images: list[np.ndarray]) -> None:
    layouts.write_dinov2(tmp_path, width=64, depth=2)
    found = load_encoder(f"hf:{tmp_path}").encode_images(images, local=True)
    assert found.local is not None
    assert found.local.shape == (2, 16, 16, 64)


def test_another_engine_gives_none(images: list[np.ndarray]) -> None:
    model = load_encoder("mini")
    model.engine = "onnxruntime"
    with pytest.raises(InputError, match="torch alone"):
        model.encode_images(images, local=True)


@pytest.fixture
def files(tmp_path: Path, images: list[np.ndarray]) -> list[Path]:
    paths = [tmp_path / f"{i}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.mark.parametrize(("tiles", "cells"), [("1x1", 144), ("2x2", 4 * 144)])
def test_bank_keeps_maps_in_half_precision_from_the_same_pass(
    tmp_path: Path, files: list[Path], tiles: str, cells: int
) -> None:
    model = load_encoder("mini")
    source = LocalView(model, Tiles.parse(tiles))
    bank = LocalBank.of(tmp_path / "cache", source)
    passes: list[int] = []
    model._vision.model.conv1.register_forward_hook(lambda *_: passes.append(1))  # type: ignore[attr-defined]
    done = extract(files, source, bank)
    assert len(passes) == 2 * (1 if tiles == "1x1" else 5)
    keys = [done.keys[str(path)] for path in files]
    assert (done.encoded, bank.cells, bank.space) == (2, cells, "embedding")
    assert f"{cells} cells of 128 numbers" in bank.told()

    rows = bank.read(keys, "local")
    assert rows.shape == (2, (1 + cells) * 128)
    found = model.encode_images(files, local=True)
    np.testing.assert_array_equal(rows[:, :128], bank.read(keys, "embedding"))
    if tiles == "1x1":
        np.testing.assert_allclose(rows[:, 128:], found.local_embedding.reshape(2, -1), rtol=2e-3, atol=1e-4)  # type: ignore[union-attr]
    sizes = [path.stat().st_size for path in (bank.folder / "shards").iterdir()]
    assert sum(sizes) < 2 * cells * 128 * 2 * 1.1 + 20_000

    # the photograph's own features are in the encoder's bank as well: nothing is encoded for them
    again = extract(files, model, FeatureBank.open(tmp_path / "cache", model))
    assert (again.encoded, again.cached) == (0, 2)
    assert (
        extract(files, source, LocalBank.of(tmp_path / "cache", LocalView(model, Tiles.parse(tiles)))).cached
        == 2
    )

    shard = bank.shards[0].path
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    assert len(verify(bank)) == 1


def test_a_space_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="has no pixels"):
        LocalView(load_encoder("mini"), space="pixels")


def test_tiles_cover_what_the_canvas_shows_and_overlap() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(60, 255, (90, 120, 3), dtype=np.uint8)
    preparation = ImagePreparation(image_size=64, crop=False)
    where, canvases, pixels = view(rgb, preparation, Tiles.parse("2x3"))
    assert canvases.shape == (7, 3, 64, 64)
    np.testing.assert_array_equal(pixels, rgb)
    assert where.whole == (0, 0, 120, 120)
    top, left, tall, wide = where.tiles[-1]
    assert (top + tall, left + wide) == pytest.approx((120, 120))
    (_, first, _, width), (_, second, _, _) = where.tiles[:2]
    assert first + width - second == pytest.approx(0.25 * width)
    # what is below the photograph is black, as it is on the canvas
    assert not canvases[-1][:, 40:].any()
    assert canvases[1].mean() > 0.3


@pytest.mark.parametrize("text", ["2", "0x2", "9x9", "2x2x2", "x"])
def test_tiles_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="rows x columns"):
        Tiles.parse(text)


@pytest.mark.parametrize(
    ("canvas", "resize", "shown"),
    [
        ("stretch", None, (0, 0, 90, 120)),
        ("center-crop", 80, (9, 24, 72, 72)),
        ("stretch-crop", 80, (9, 12, 72, 96)),
    ],
)
def test_a_view_knows_what_each_canvas_shows(canvas: str, resize: int | None, shown: tuple) -> None:
    rgb = np.full((90, 120, 3), 90, np.uint8)
    preparation = ImagePreparation(image_size=64, crop=False, canvas=canvas, resize=resize)
    assert view(rgb, preparation, Tiles())[0].whole == pytest.approx(shown)


def test_cache_keeps_local_features_and_says_how_large_they_are(tmp_path: Path, files: list[Path]) -> None:
    folder = str(files[0].parent)
    options = ["--cache", str(tmp_path / "cache"), "--local"]
    done = CliRunner().invoke(app, ["cache", folder, *options, "--tiles", "1x2"])
    assert done.exit_code == 0, done.output
    assert "2 encoded now" in done.output
    assert "local 36864" in done.output
    assert "288 cells of 128 numbers (embedding) in half precision, 0.0737 MB a photograph" in done.output
    told = CliRunner().invoke(app, ["bank", "info", "--cache", str(tmp_path / "cache")])
    assert "half precision, tiles 1x2" in told.output
    refused = CliRunner().invoke(app, ["cache", folder, "--tiles", "1x2"])
    assert isinstance(refused.exception, InputError)
    apart = CliRunner().invoke(app, ["cache", folder, *options, "--scheduler", "2"])
    assert "leave --scheduler out" in str(apart.exception)


def test_a_local_bank_is_exported_imported_and_merged(tmp_path: Path, files: list[Path]) -> None:
    source = LocalView(load_encoder("mini"))
    bank = LocalBank.of(tmp_path / "cache", source)
    done = extract(files, source, bank)
    keys = [done.keys[str(path)] for path in files]
    export_bank(FeatureBank.open(bank.folder), tmp_path / "local.npz")
    import_features(tmp_path / "local.npz", tmp_path / "other")
    other = LocalBank.of(tmp_path / "other", source)
    np.testing.assert_array_equal(other.read(keys, "local"), bank.read(keys, "local"))
    third = LocalBank.of(tmp_path / "third", source)
    assert merge(third, other) == 2
    np.testing.assert_array_equal(third.read(keys[::-1], "local"), bank.read(keys[::-1], "local"))


def test_flair_as_published_gives_its_map(random_flair: Path, images: list[np.ndarray]) -> None:
    found = load_encoder(random_flair).encode_images(images[:1], local=True)
    check_exact(found)
    assert found.local_embedding is not None
    assert found.local_embedding.shape == (1, 16, 16, 512)
