"""Is it a retina, is it fit to grade: kinds of pictures, real photographs, and the command line."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from fewshot_flair import Quality, assess_quality, read_image
from fewshot_flair.bank import qualities
from fewshot_flair.bank.qualities import assess_files
from fewshot_flair.cli import app, show, terminal
from fewshot_flair.errors import InputError
from fewshot_flair.images.quality.assessment import DOUBTFUL, LIMITS
from fewshot_flair.images.quality.compression import blockiness
from fewshot_flair.images.quality.field import find_field
from fewshot_flair.images.quality.measures import measure
from fewshot_flair.images.quality.scorecard import points
from fewshot_flair.models.qualities import note_of, quality_table, word_of
from fewshot_flair.rendering import render_patient

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes" / "quality"))
from drawn import KINDS, drawn
from retinas import SPOILT, VARIANTS

SKIMAGE = Path(pytest.importorskip("skimage").__file__).parent / "data"


@pytest.fixture(scope="module")
def retinas() -> list[np.ndarray]:
    return [render_patient(np.random.default_rng([31, patient]))[0].image for patient in range(4)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_retina_is_flagged(kind):
    found = [assess_quality(drawn(np.random.default_rng([77, i]), kind)) for i in range(6)]
    assert sum(one.gradable for one in found) <= 1  # a share: docs/quality.md has the figures
    assert all(one.reasons for one in found if not one.gradable)


@pytest.mark.parametrize(
    "name",
    [
        "astronaut.png",
        "coffee.png",
        "chelsea.png",
        "moon.png",
        "page.png",
        "text.png",
        "ihc.png",
        "rocket.jpg",
    ],
)
def test_photographs_of_other_things_are_flagged(name):
    found = assess_quality(SKIMAGE / name)
    assert not found.gradable


def test_rendered_retinas_are_retinas(retinas):
    assert [assess_quality(picture).retina for picture in retinas] == [True] * len(retinas)


@pytest.mark.parametrize("folder", ["dr-clinic", "idrid"])
def test_few_real_retinas_are_flagged(dr_clinic, folder):
    paths = sorted((dr_clinic.parent / folder / "images").glob("*.jpg"))[::20]
    found = [assess_quality(path) for path in paths]
    assert sum(not one.gradable for one in found) <= 2  # of 21 or 30: docs/quality.md has the share of all


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_cameras_still_show_retinas(retinas, variant):
    found = [assess_quality(VARIANTS[variant](np.random.default_rng(1), picture)) for picture in retinas]
    assert sum(one.retina for one in found) >= 3


@pytest.mark.parametrize(
    ("spoilt", "word"),
    [
        ("dark, 0.06 of the light", "too dark"),
        ("bright, 4 times the light", "bright"),
        ("blurred, sigma 1.6% of the field", "blurred"),
        ("covered to 70%", "field of view"),
        ("50 pixels wide", "too small"),
        ("JPEG of quality 3", "compressed"),
        ("noise of 60 levels", "noisy"),
    ],
)
def test_spoilt_retinas_are_flagged_with_the_reason(retinas, spoilt, word):
    for picture in retinas[:2]:
        found = assess_quality(SPOILT[spoilt](np.random.default_rng(2), picture))
        assert not found.gradable
        assert any(word in reason for reason in found.reasons), found.reasons


def test_a_green_cast_is_flagged_and_a_grey_photograph_is_not_taken_for_one(retinas):
    whole = [picture for picture in retinas if assess_quality(picture).measures["redness"] < 0.9]
    assert whole
    for picture in whole:
        green = assess_quality(SPOILT["green cast"](np.random.default_rng(0), picture))
        grey = assess_quality(np.repeat(picture[..., 1:2], 3, 2))
        assert any("cast" in reason for reason in green.reasons)
        assert not any("cast" in reason for reason in grey.reasons)


def test_blocks_are_seen_wherever_the_grid_lies():
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.integers(60, 200, (90, 160, 3)).astype(np.uint8), (0, 0), 3)
    squares = smooth.copy()
    squares += np.uint8(25) * ((np.arange(160) + 3) // 8 % 2).astype(np.uint8)[None, :, None]
    assert blockiness(smooth) < 1.5
    assert blockiness(squares) > 4
    assert blockiness(squares[:, 5:]) > 4
    assert blockiness(squares[:, :20]) == 1


def test_turning_changes_little(retinas):
    for picture in retinas:
        turned = [assess_quality(np.rot90(picture, k)).score for k in range(4)]
        assert np.ptp(turned) < 0.05


def test_twelve_bits_in_sixteen_are_as_eight(tmp_path, retinas):
    levels = ((retinas[0][..., 1].astype(np.uint32) * 4095 + 127) // 255).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "twelve.png")
    eight = assess_quality(retinas[0][..., 1])
    twelve = assess_quality(tmp_path / "twelve.png")
    assert twelve.gradable == eight.gradable
    assert twelve.score == pytest.approx(eight.score, abs=1e-3)


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 3), (1, 5000, 3), (60000, 1, 3), (2, 2, 3), (300, 3, 3), (40, 50), (40, 50, 4), (40, 50, 1)],
)
def test_any_shape_has_an_answer(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = assess_quality(picture)
    assert not found.gradable
    assert all(np.isfinite(value) for value in found.measures.values())


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_one_colour_is_no_retina(level):
    found = assess_quality(np.full((300, 400, 3), level, np.uint8))
    assert (found.retina, found.gradable) == (False, False)


def test_points_add_up_to_the_score(retinas):
    found = assess_quality(retinas[0])
    logit = sum(points(found.measures).values())
    assert found.score == pytest.approx(1 / (1 + np.exp(-logit)))
    assert found.retina == (found.score >= DOUBTFUL)


def test_the_field_is_found():
    picture = np.zeros((300, 400, 3), np.uint8)
    cv2.circle(picture, (200, 150), 120, (180, 90, 40), -1)
    field = find_field(picture)
    assert field.framed
    assert field.diameter == pytest.approx(241, abs=4)
    assert field.fill == pytest.approx(np.pi / 4, abs=0.02)
    assert field.roundness > 0.97
    assert field.seen > 0.95
    assert field.share == pytest.approx(np.pi * 120**2 / 120_000, abs=0.02)
    half = picture.copy()
    half[:150] = 0
    assert find_field(half).seen == pytest.approx(0.5, abs=0.03)


def test_measures_are_of_the_field_and_not_of_the_black_around_it(retinas):
    wide = cv2.copyMakeBorder(retinas[0], 150, 150, 200, 200, cv2.BORDER_CONSTANT)
    near, far = (measure(find_field(picture)) for picture in (retinas[0], wide))
    for name in ("level", "redness", "contrast", "lines_dark"):
        assert far[name] == pytest.approx(near[name], abs=0.1 * max(1, abs(near[name])))


@pytest.fixture
def folder(tmp_path, retinas) -> Path:
    where = tmp_path / "photographs"
    where.mkdir()
    Image.fromarray(retinas[0]).save(where / "good.png")
    Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).save(where / "=flat.png")
    (where / "empty.jpg").write_bytes(b"")
    (where / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (where / "notes.docx").write_bytes(b"notes")
    return where


def read_table(path: Path) -> pd.DataFrame:
    readers = {
        ".csv": pd.read_csv,
        ".tsv": lambda p: pd.read_csv(p, sep="\t"),
        ".parquet": pd.read_parquet,
        ".xlsx": lambda p: pd.read_excel(p, engine="calamine"),
    }
    return readers[path.suffix](path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".xlsx"])
def test_the_command_writes_a_row_for_every_file(tmp_path, folder, suffix):
    out = tmp_path / f"new/quality{suffix}"
    command = [
        "quality",
        str(folder),
        str(tmp_path / "gone.jpg"),
        "--out",
        str(out),
        "--cache",
        str(tmp_path / "c"),
    ]
    for _ in range(2):  # the second replaces the first's table
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    table = read_table(out).set_index("image")
    names = {str(folder / name) for name in ("good.png", "=flat.png", "empty.jpg", "torn.jpg")}
    assert set(table.index) == names | {str(tmp_path / "gone.jpg"), "*.docx"}
    assert table.loc["*.docx", "reasons"] == "passed over, 1 file: no image by the name"
    assert not set(table.loc["*.docx", ["retina", "gradable"]]) & {"yes", "no"}
    assert list(table.columns[:3]) == ["retina", "gradable", "reasons"]
    assert table.loc[str(folder / "good.png"), "retina"] == "yes"
    assert "0 bytes" in table.loc[str(folder / "empty.jpg"), "reasons"]
    assert set(table.loc[str(folder / "=flat.png"), ["retina", "gradable"]]) == {"no"}
    assert "no image by its name: 1 .docx" in done.output
    assert f"unreadable: {folder / 'empty.jpg'}: " in done.output
    assert f"no retina: {folder / '=flat.png'}: looks like no retina" in done.output


@pytest.mark.parametrize("bad", ["empty folder", "nothing", "suffix", "other table"])
def test_mistakes_are_named(tmp_path, folder, bad):
    (tmp_path / "none").mkdir()
    given = {"empty folder": tmp_path / "none", "nothing": tmp_path / "gone"}.get(bad, folder)
    out = tmp_path / ("q.json" if bad == "suffix" else "q.csv")
    if bad == "other table":
        out.write_text("mine,yours\n1,2\n")
    done = CliRunner().invoke(app, ["quality", str(given), "--out", str(out)])
    assert done.exit_code != 0
    assert done.exception is not None
    assert str(given if bad in ("empty folder", "nothing") else out) in str(done.exception)
    if bad == "other table":
        assert out.read_text() == "mine,yours\n1,2\n"


def test_a_workbook_keeps_no_formula(tmp_path):
    from fewshot_flair.files import write_table

    write_table(
        pd.DataFrame({"image": ["=1+1.jpg", "a\x1bb.jpg", "ä.jpg"], "n": [1, 2, 3]}), tmp_path / "t.xlsx"
    )
    table = pd.read_excel(tmp_path / "t.xlsx", engine="calamine")
    assert table["image"].tolist() == ["'=1+1.jpg", "a\\x1bb.jpg", "ä.jpg"]
    assert table["n"].tolist() == [1, 2, 3]


def test_a_workbook_can_be_read_as_it_opens(tmp_path):
    from openpyxl import load_workbook

    from fewshot_flair.files import write_table

    table = pd.DataFrame(
        {"image": ["a" * 30, "b" * 300], "p": [1 / 3, float("nan")], "a long name": ["x", None]}
    )
    write_table(table, tmp_path / "t.xlsx", sheet="predictions")
    (sheet,) = load_workbook(tmp_path / "t.xlsx").worksheets
    assert (sheet.title, sheet.freeze_panes, sheet.auto_filter.ref) == ("predictions", "B2", "A1:C3")
    widths = [sheet.column_dimensions[name].width for name in "ABC"]
    assert widths == [60, 10, 15]
    write_table(table[:0], tmp_path / "empty.xlsx")
    assert list(pd.read_excel(tmp_path / "empty.xlsx", engine="calamine").columns) == list(table.columns)


def test_known_photographs_are_not_decoded_again(tmp_path, folder, monkeypatch):
    paths = [folder / "good.png", folder / "=flat.png", folder / "torn.jpg"]
    first = assess_files(paths, tmp_path / "cache")
    copy = tmp_path / "copy.png"
    copy.write_bytes(paths[0].read_bytes())
    decoded = []
    monkeypatch.setattr(
        qualities, "assess_quality", lambda path: decoded.append(path) or assess_quality(path)
    )
    assert assess_files([*paths[:2], copy], tmp_path / "cache") == [first[0], first[1], first[0]]
    assert decoded == []
    monkeypatch.setattr(qualities, "VERSION", qualities.VERSION + 1)
    assert assess_files(paths[:1], tmp_path / "cache") == first[:1]
    assert decoded == paths[:1]


def test_a_damaged_memo_is_no_obstacle(tmp_path, folder):
    (tmp_path / "quality.sqlite").write_bytes(b"no database" * 100)
    assert [word_of(one) for one in assess_files([folder / "torn.jpg", folder / "=flat.png"], tmp_path)] == [
        "unreadable",
        "no retina",
    ]


def test_an_answer_that_is_not_as_it_was_kept_is_measured_again(tmp_path, folder):
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".png")
    sound = assess_files(paths, tmp_path)
    with closing(sqlite3.connect(tmp_path / "quality.sqlite")) as database, database:
        database.execute("UPDATE quality SET answer = replace(answer, '1', '7')")
    assert assess_files(paths, tmp_path) == sound
    with closing(sqlite3.connect(tmp_path / "quality.sqlite")) as database, database:
        database.execute("UPDATE quality SET answer = replace(answer, 'reasons', 'seasons')")
    assert assess_files(paths, tmp_path) == sound


def test_the_table_has_the_measures_with_a_limit_and_on_request_all(folder, tmp_path):
    found = assess_files([folder / "good.png", folder / "torn.jpg"], tmp_path)
    paths = [folder / "good.png", folder / "torn.jpg"]
    table = quality_table(paths, found, {".docx": 2, "no suffix": 1})
    limited = [name for name, *_ in LIMITS]
    assert list(table.columns) == ["image", "retina", "gradable", "reasons", "score", *limited]
    assert table["image"].tolist()[2:] == ["*.docx", "*no suffix"]
    assert table["reasons"].tolist()[2:] == [
        "passed over, 2 files: no image by the name",
        "passed over, 1 file: no image by the name",
    ]
    assert set(table["retina"].tolist()[2:]) == {""}
    every = quality_table(paths, found, {".docx": 2}, every=True)
    assert list(every.columns[: len(table.columns)]) == list(table.columns)
    assert set(every.columns[5:]) == set(found[0].measures)
    assert table.loc[0, "diameter"] == every.loc[0, "diameter"] == found[0].measures["diameter"]


def test_bad_photographs_are_named_on_the_screen_the_worst_first_and_not_all(capsys):
    poor = Quality(True, False, ("too dark (3; at least 60)",), 0.9, {})
    none = Quality(False, False, ("looks like no retina (score 0.01; at least 0.5)",), 0.01, {})
    good = Quality(True, True, (), 0.99, {})
    paths = [Path(f"{i}.jpg") for i in range(25)]
    show.quality(terminal.console(), paths, [good, poor, none, "is empty", *[poor] * 21])
    lines = capsys.readouterr().out.splitlines()
    named = [line for line in lines if ".jpg" in line]
    assert named[:3] == [
        "unreadable: 3.jpg: is empty",
        "no retina: 2.jpg: looks like no retina (score 0.01; at least 0.5)",
        "poor: 1.jpg: too dark (3; at least 60)",
    ]
    assert len(named) == 20
    assert lines[-1] == "and 4 more; the table has all"


def test_words_and_notes():
    poor = Quality(True, False, ("too dark (3; at least 60)",), 0.9, {})
    assert [word_of(one) for one in (poor, "is empty")] == ["poor", "unreadable"]
    assert [note_of(one) for one in (poor, "is empty")] == ["too dark (3; at least 60)", "is empty"]
    assert quality_table([Path("a.jpg")], ["is empty"])["gradable"].tolist() == ["no"]


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "t.png").write_bytes(b"")
    with pytest.raises(InputError, match="0 bytes"):
        assess_quality(tmp_path / "t.png")


def test_an_array_is_as_its_file(retinas, tmp_path):
    Image.fromarray(retinas[1]).save(tmp_path / "a.png")
    assert assess_quality(tmp_path / "a.png") == assess_quality(read_image(tmp_path / "a.png"))
