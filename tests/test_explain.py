"""Where an adapter looked: scores of cells, maps over photographs, and the files that `explain` writes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_export import adapted
from typer.testing import CliRunner

from fewshot_flair import TextPrototypes, create_adapter, list_adapters
from fewshot_flair.cli import app
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.encoding import Encoding
from fewshot_flair.experiment.results import RunRecord
from fewshot_flair.images.preparation import ImagePreparation
from fewshot_flair.images.tiles import Tiles, view
from fewshot_flair.maps.cells import class_scores, local_class_scores, text_scores
from fewshot_flair.maps.grid import on_photograph
from fewshot_flair.maps.occlusion import occlusion_scores
from fewshot_flair.maps.pictures import grey_levels, overlay, strength
from fewshot_flair.models import worst_mistakes
from fewshot_flair.models.explaining import Explainer
from fewshot_flair.models.map_names import map_names, slug
from fewshot_flair.models.run import SavedModel
from fewshot_flair.report.page import write_report

D, P = 16, 9
ADAPTERS = [info for info in list_adapters() if not info.needs_tower]


def clinic() -> tuple[np.ndarray, np.ndarray, TextPrototypes]:
    rng = np.random.default_rng(0)
    y = np.arange(24) % 3
    centres = rng.standard_normal((3, D))
    X = centres[y] + 0.3 * rng.standard_normal((24, D))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    codes = np.arange(6) % 3
    return X, y, TextPrototypes(["a", "b", "c"], centres, 2.0, centres[codes] + 0.1, codes)


def test_scores_of_a_linear_head_are_its_class_activation_map() -> None:
    rng = np.random.default_rng(0)
    weights, cells = rng.standard_normal((4, D)), rng.standard_normal((P, D))
    found = class_scores(lambda x: x @ weights.T + 3, cells.mean(axis=0), cells, unit=False)
    expected = (cells - cells.mean(axis=0)) @ (weights - weights.mean(axis=0)).T * P / (P - 1)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("info", ADAPTERS, ids=lambda info: info.name)
def test_every_adapter_has_scores_and_they_find_the_cell_of_its_class(info) -> None:
    X, y, text = clinic()
    free = {"X_unlabeled": X} if info.uses_unlabeled else {}
    local = info.features == "local"
    rng = np.random.default_rng(1)
    mean = X.mean(axis=0)
    cells = mean + 0.02 * rng.standard_normal((P, D))
    cells[4] += X[y == 2].mean(axis=0) - mean
    feature = cells.mean(axis=0)
    feature = feature / np.linalg.norm(feature)
    rows = np.concatenate(
        [X, np.repeat(X, P, axis=1).reshape(len(X), D, P).transpose(0, 2, 1).reshape(len(X), -1)], 1
    )
    adapter = create_adapter(info.name, text=text).fit(rows if local else X, y, **free)
    if local:
        found = local_class_scores(adapter.logits, np.concatenate([feature, cells.ravel()]), D)
    else:
        found = class_scores(adapter.logits, feature, cells, unit=True)
    assert found.shape == (P, 3)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-3)
    assert found[:, 2].argmax() == 4
    assert found[4, 2] > found[4, :2].max()


def test_scores_of_a_text_are_parts_of_its_cosine() -> None:
    rng = np.random.default_rng(0)
    cells, texts = rng.standard_normal((P, D)), rng.standard_normal((2, D))
    mean = cells.mean(axis=0)
    cosines = texts @ mean / np.linalg.norm(mean) / np.linalg.norm(texts, axis=1)
    np.testing.assert_allclose(text_scores(cells, texts).mean(axis=0), cosines, atol=1e-9)


def test_occlusion_finds_what_the_logits_look_at() -> None:
    canvas = np.random.default_rng(0).random((3, 64, 64)).astype(np.float32)
    canvas[:, 40:44, 8:12] = 9
    found = occlusion_scores(
        lambda x: np.stack([x.max(axis=(1, 2, 3)), 0 * x[:, 0, 0, 0]], axis=1), canvas, 8
    )
    assert found.shape == (8, 8, 2)
    assert np.unravel_index(found[..., 0].argmax(), (8, 8)) in [(4, 0), (4, 1), (5, 0), (5, 1)]


@pytest.mark.parametrize("tiles", ["1x1", "2x2", "3x2"])
def test_a_map_lies_over_the_photograph_as_the_canvas_does(tiles: str) -> None:
    rgb = np.full((90, 120, 3), 90, np.uint8)
    rgb[:, :20] = 0
    where, _, _ = view(rgb, ImagePreparation(image_size=64), Tiles.parse(tiles), canvases=False)
    # each cell holds the height at which its middle lies
    side, found = 32, []
    for top, _, tall, _ in where.tiles:
        rows = top + (np.arange(side) + 0.5) * tall / side
        found.append(np.repeat(rows[:, None], side, axis=1))
    values = on_photograph(np.stack(found), where)
    assert values.shape == (90, 120)
    assert np.isnan(values[:, :19]).all()
    inside = values[4:86, 24:]
    np.testing.assert_allclose(inside, np.repeat(np.arange(4, 86)[:, None] + 0.5, 96, axis=1), atol=0.05)
    small = on_photograph(np.stack(found), where.at(45, 60))
    np.testing.assert_allclose(small[20, 40], 41, atol=0.5)


def test_grey_levels_give_the_values_back() -> None:
    values = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    values[0] = np.nan
    levels, low, high = grey_levels(values)
    assert (levels[0] == 0).all()
    back = low + (levels[1:].astype(float) - 1) / 65_534 * (high - low)
    np.testing.assert_allclose(back, values[1:], atol=1e-4)
    assert grey_levels(np.full((2, 2), np.nan, np.float32))[0].max() == 0
    assert strength(-np.ones((2, 2), np.float32)).max() == 0
    rgb = np.full((7, 5, 3), 80, np.uint8)
    np.testing.assert_array_equal(overlay(rgb, np.zeros((7, 5), np.float32)), rgb)


def test_no_two_photographs_share_a_name(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "eye.jpg", tmp_path / "b" / "eye.jpg", tmp_path / "b" / "EYE.png"]
    assert map_names(paths, [""]) == ["eye", "b_eye", "b_EYE_2"]
    assert map_names([tmp_path / "a" / "eye_red.jpg"], [""], ["eye", "eye_red"]) == ["a_eye_red"]
    # a text's map counts as a name too
    assert map_names([tmp_path / "a" / "eye.jpg"], ["", "_red"], ["eye_red"]) == ["a_eye"]
    assert slug("Small red dots!") == "small-red-dots"


@pytest.fixture(scope="module")
def run(dr_clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapted(tmp_path_factory.mktemp("explained"), dr_clinic, ["ss-text", "logistic", "local-lse"])


@pytest.fixture
def eyes(dr_clinic: Path, tmp_path: Path) -> list[Path]:
    """Two real photographs in two folders under one name."""
    found = sorted((dr_clinic / "images").glob("*.jpg"))[300:302]
    files = [tmp_path / "left" / "eye.jpg", tmp_path / "right" / "eye.jpg"]
    for source, file in zip(found, files, strict=True):
        file.parent.mkdir()
        shutil.copy(source, file)
    return files


def call(*options: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(option) for option in options])
    if isinstance(done.exception, InputError):
        return 2, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_explain_writes_maps_of_the_photographs_size(run: Path, eyes: list[Path], tmp_path: Path) -> None:
    out, cache = tmp_path / "maps", run.parent / "cache"
    more = ["--query", "small red dots", "--tiles", "2x2", "--cache", cache]
    code, said = call("explain", run, *eyes, "--adapter", "ss-text", "--out", out, *more)
    assert code == 0, said
    assert "right_eye.png" in said
    names = {f"{base}{query}" for base in ("eye", "right_eye") for query in ("", "_small-red-dots")}
    files = {f"{name}{end}" for name in names for end in (".png", "_overlay.jpg")}
    assert {path.name for path in out.iterdir()} == files | {"explain.csv"}
    width, height = Image.open(eyes[0]).size
    levels = cv2.imread(str(out / "eye.png"), cv2.IMREAD_UNCHANGED)
    assert (levels.dtype, levels.shape) == (np.dtype(np.uint16), (height, width))
    assert levels.max() == 65_535
    assert Image.open(out / "eye_overlay.jpg").size == (width, height)
    table = pd.read_csv(out / "explain.csv")
    assert set(table["map"]) == names
    row = table[table["map"] == "eye"].iloc[0]
    assert (row["shown"], row["method"], row["tiles"]) == (row["predicted"], "cells", "2x2")
    assert row["low"] < 0 < row["high"]

    # another class, of one photograph: the other's maps stay, in the files and in the table
    kept = (out / "eye.png").read_bytes()
    code, _ = call(
        "explain", run, eyes[1], "--class", "mild", "--adapter", "logistic", "--out", out, *more[2:]
    )
    assert code == 0
    table = pd.read_csv(out / "explain.csv")
    assert (out / "eye.png").read_bytes() == kept
    assert table.set_index("map").loc["right_eye", "shown"] == "mild"
    assert set(table["path"]) == {str(path.resolve()) for path in eyes}


@pytest.mark.parametrize("name", ["local-lse", "logistic"])
def test_occlusion_is_there_for_all(run: Path, eyes: list[Path], name: str) -> None:
    how = Encoding(run.parent / "cache")
    model = SavedModel.open(run, name)
    encoder = model.encoder_now(None, None, how)
    path = str(eyes[0])
    plain = Explainer(model, encoder, how, Tiles(), "occlusion", places=4).see(path)
    assert plain.scores.shape == (1, 4, 4, 3)
    cells = Explainer(model, encoder, how, Tiles(), "cells", places=4)
    cells.encode([path])
    seen = cells.see(path)
    np.testing.assert_allclose(seen.logits, plain.logits, atol=0.02)  # cells are kept in half precision
    found = cells.agreement(path, 1, seen.map_of(1))
    both = seen.map_of(1), plain.map_of(1)
    inside = np.isfinite(both[0])
    assert found == pytest.approx(np.corrcoef(both[0][inside], both[1][inside])[0, 1])


@pytest.mark.slow
def test_explain_checks_itself_by_occlusion(run: Path, eyes: list[Path], tmp_path: Path) -> None:
    options = ["--check", "--tiles", "1x1", "--cache", run.parent / "cache", "--out", tmp_path / "o"]
    assert call("explain", run, eyes[0], *options)[0] == 0
    assert -1 <= pd.read_csv(tmp_path / "o" / "explain.csv").iloc[0]["agreement"] <= 1


def test_what_cannot_be_shown_is_said(run: Path, eyes: list[Path], tmp_path: Path) -> None:
    cache = ["--cache", run.parent / "cache"]
    code, said = call("explain", run, eyes[0], "--class", "mlid", "--out", tmp_path / "a", *cache)
    assert code == 2
    assert "did you mean 'mild'" in said
    code, said = call("explain", run, eyes[0], "--out", eyes[0].parent, *cache)
    assert code == 2
    assert "not empty" in said
    code, said = call("explain", run, eyes[0], "--method", "magic", "--out", tmp_path / "a", *cache)
    assert (code, "not one of auto" in said) == (2, True)
    code, said = call(
        "explain", run, eyes[0], "--query", "!", "--query", "?", "--out", tmp_path / "a", *cache
    )
    assert (code, "different names" in said) == (2, True)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photograph")
    code, said = call("explain", run, eyes[0], broken, "--tiles", "1x1", "--out", tmp_path / "b", *cache)
    assert code == 1
    assert "broken.jpg" in said
    table = pd.read_csv(tmp_path / "b" / "explain.csv", keep_default_na=False)
    assert table.loc[table["map"] == "", "note"].str.contains("cannot be read").all()
    assert len(table) == 2


def test_the_page_of_predict_has_small_maps(run: Path, eyes: list[Path], tmp_path: Path) -> None:
    page, options = tmp_path / "page.html", ["--out", tmp_path / "p.csv", "--cache", run.parent / "cache"]
    assert call("predict", run, *eyes, *options, "--html", page)[0] == 0
    content = page.read_text()
    assert content.count("<img") == 4
    assert "not that there is a lesion" in content
    assert call("predict", run, *eyes, *options, "--html", page, "--no-maps")[0] == 0
    assert page.read_text().count("<img") == 2


def test_the_report_shows_the_worst_mistakes_with_maps(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    how = Encoding(cache=run.parent / "cache")
    found = worst_mistakes(copy, how, most=3)
    record = RunRecord.read(copy)
    table = pd.read_csv(copy / "test_predictions.csv", keep_default_na=False)
    table = table[table["adapter"] == record.default_adapter]
    wrong = table[table["label"] != table["predicted"]]
    assert found.wrong == len(wrong) > 0
    assert found.tested == len(table)
    assert {each.image for each in found.shown} <= set(wrong["image"])
    assert all(each.path.is_file() and each.looked[:2] == b"\xff\xd8" for each in found.shown)
    sure = [(each.probability, each.of_label) for each in found.shown]
    assert all(first >= second for first, second in sure)  # the answer is the likeliest
    page = write_report(copy, mistakes=found).read_text(encoding="utf-8")
    section = page.split("most wrong about")[1].split("<h2>")[0]
    assert section.count("data:image/jpeg") == 2 * len(found.shown)
    assert "&lt;" in section
    assert section.count("<b>") == 2 * len(found.shown)  # labels are text, whatever they hold
    for few, said in [
        (1, f"answers 1 wrongly. This is the one. {found.said}"),
        (0, "answers none wrongly.</p>"),
    ]:
        some = replace(found, shown=found.shown[:few], wrong=few)
        assert said in write_report(copy, mistakes=some).read_text(encoding="utf-8")
    # where a photograph is gone, its name stays and the reader is told
    (copy / "splits.csv").unlink()
    gone = worst_mistakes(copy, how, most=3)
    assert all(each.path is None and not each.looked for each in gone.shown)
    assert "3 photographs are not where the run found them." in gone.said


def test_damaged_predictions_make_no_mistakes(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    path = copy / "test_predictions.csv"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(InputError, match=r"test_predictions.csv is damaged"):
        worst_mistakes(copy)
