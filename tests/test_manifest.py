"""Manifests: tables and folders, class order, bad rows, patients and splits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fewshot_flair.bank.keys import image_key
from fewshot_flair.data import BadRowsError, Manifest
from fewshot_flair.data.grades import DR_GRADES
from fewshot_flair.data.splits import patient_split
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.images.preparation import read_image


def photograph(path: Path, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade, 40, 10)).save(path)
    return path


def clinic(folder: Path, text: str, names: str = "a b c d", encoding: str = "utf-8") -> Path:
    for shade, name in enumerate(names.split()):
        photograph(folder / f"{name}.png", shade)
    path = folder / "clinic.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_reads_columns_and_row_numbers(tmp_path: Path):
    path = clinic(
        tmp_path,
        "image,label,patient_id,eye,split,clinic,extra\n"
        "a.png,healthy,p1,L,train,north,x\n"
        "\n"
        "b.png,diseased,p2,R,Test,south,y\n",
    )
    manifest = Manifest.read(path)
    assert list(manifest.frame.columns) == [
        "image", "path", "label", "patient_id", "eye", "split", "clinic", "row",
    ]  # fmt: skip
    assert manifest.frame["row"].tolist() == [2, 4]
    assert manifest.classes == ["diseased", "healthy"]
    assert not manifest.ordinal
    assert manifest.y.tolist() == [1, 0]
    assert manifest.frame["split"].tolist() == ["train", "test"]
    assert manifest.paths == [tmp_path / "a.png", tmp_path / "b.png"]
    assert manifest.split("test").frame["image"].tolist() == ["b.png"]
    assert manifest.split("test").classes == manifest.classes


@pytest.mark.parametrize(
    ("separator", "encoding"),
    [(",", "utf-8-sig"), (";", "utf-8-sig"), ("\t", "utf-16"), ("|", "utf-8"), (";", "utf-8")],
)
def test_separators_and_encodings_that_spreadsheets_write(tmp_path: Path, separator: str, encoding: str):
    text = "image,label\r\na.png,rétinopathie\r\nb.png,sain\r\n".replace(",", separator)
    manifest = Manifest.read(clinic(tmp_path, text, encoding=encoding))
    assert manifest.classes == ["rétinopathie", "sain"]


def test_quoted_fields_and_the_separator_hint(tmp_path: Path):
    path = clinic(tmp_path, 'sep=;\nimage;label\na.png;"mild; early"\nb.png;none\n')
    manifest = Manifest.read(path, classes=["mild; early", "none"])
    assert manifest.y.tolist() == [0, 1]
    assert manifest.frame["row"].tolist() == [3, 4]


@pytest.mark.parametrize("blank", ["\n", "\r\n\r\n", "  \n", ";;\n\n", '"";""\n'])
@pytest.mark.parametrize("hint", ["", "sep=;\n"])
def test_blank_lines_before_the_header_count_as_rows_only(tmp_path: Path, blank: str, hint: str):
    text = hint + blank + "image;label;note\na.png;x;u\nb.png;y;v\n"
    manifest = Manifest.read(clinic(tmp_path, text))
    header = 1 + bool(hint) + blank.count("\n")
    assert manifest.frame["row"].tolist() == [header + 1, header + 2]
    with pytest.raises(BadRowsError, match=rf"row {header + 2}: image 'gone.png' is not there"):
        Manifest.read(clinic(tmp_path, text.replace("b.png", "gone.png")))


@pytest.mark.parametrize("text", ["", "\n\n", ";;\n", "sep=;\n\n", '"",""\n'])
def test_a_table_of_nothing_is_empty(tmp_path: Path, text: str):
    with pytest.raises(InputError, match=r"clinic\.csv is empty; its first row must name the columns"):
        Manifest.read(clinic(tmp_path, text))


def test_file_names_that_are_not_utf_8_are_read_and_fingerprinted(tmp_path: Path):
    photograph(tmp_path / "x" / "a.png")
    name = os.fsencode(tmp_path / "x") + b"/M\xfcller.png"
    try:
        (tmp_path / "x" / "a.png").rename(os.fsdecode(name))
    except OSError:
        pytest.skip("file names are Unicode here")
    manifest = Manifest.read(tmp_path)
    assert manifest.frame["image"].tolist() == [os.fsdecode(b"x/M\xfcller.png")]
    assert manifest.fingerprint == Manifest.read(tmp_path).fingerprint
    Path(os.fsdecode(name)).rename(os.fsdecode(name.replace(b"\xfc", b"\xe4")))
    assert manifest.fingerprint != Manifest.read(tmp_path).fingerprint


@pytest.mark.parametrize("check_images", [True, False])
def test_a_nul_character_in_a_path_makes_the_row_bad(tmp_path: Path, check_images: bool):
    path = clinic(tmp_path, "image,label\na.png,x\nb\0.png,x\nd\\b\0.png,x\n")
    with pytest.raises(BadRowsError, match=r"row 3: image 'b\\x00.png' holds a NUL character"):
        Manifest.read(path, check_images=check_images)
    manifest = Manifest.read(path, skip_bad=True, check_images=check_images)
    assert manifest.frame["image"].tolist() == ["a.png"]
    with pytest.raises(MissingFileError, match="no image"):
        read_image(tmp_path / "b\0.png")


def test_other_encodings_are_refused_with_the_mend_and_read_when_named(tmp_path: Path):
    path = clinic(tmp_path, "image,label\na.png,sain\nb.png,rétinopathie\n", encoding="cp1252")
    with pytest.raises(InputError, match=r"clinic.csv, line 3: byte 0xe9 is not UTF-8; save the file as"):
        Manifest.read(path)
    assert Manifest.read(path, encoding="cp1252").classes == ["rétinopathie", "sain"]


def test_parquet_with_numbers_and_gaps(tmp_path: Path):
    for name in "abc":
        photograph(tmp_path / f"{name}.png")
    path = tmp_path / "clinic.parquet"
    pd.DataFrame({"image": ["a.png", "b.png", "c.png"], "grade": [10.0, 2.0, None]}).to_parquet(path)
    manifest = Manifest.read(path, label_column="grade")
    assert manifest.classes == ["2", "10"]
    assert manifest.ordinal
    assert manifest.y.tolist() == [1, 0, -1]


def test_folder_of_classes_with_and_without_sides(tmp_path: Path):
    for i, name in enumerate(["x/one.png", "x/deep/two.png", "y/three.JPG", "y/.hidden.png"]):
        photograph(tmp_path / "plain" / name.replace("JPG", "jpg"), i)
        photograph(tmp_path / "sides" / ("train" if i % 2 else "Testing") / name.replace("JPG", "jpg"), i)
    (tmp_path / "plain" / "x" / "Thumbs.db").write_bytes(b"nothing")
    plain = Manifest.read(tmp_path / "plain")
    assert plain.frame["image"].tolist() == ["x/deep/two.png", "x/one.png", "y/three.jpg"]
    assert plain.frame["label"].tolist() == ["x", "x", "y"]
    assert not plain.has_split
    sides = Manifest.read(tmp_path / "sides")
    assert dict(zip(sides.frame["image"], sides.frame["split"], strict=True)) == {
        "Testing/x/one.png": "test",
        "Testing/y/three.jpg": "test",
        "train/x/deep/two.png": "train",
    }


@pytest.mark.parametrize(
    ("labels", "classes", "ordinal"),
    [
        (["10", "9", "2"], ["2", "9", "10"], True),
        (
            ["severe diabetic retinopathy", "mild diabetic retinopathy", "no diabetic retinopathy"],
            ["no diabetic retinopathy", "mild diabetic retinopathy", "severe diabetic retinopathy"],
            True,
        ),
        (["Moderate", "None", "Mild"], ["None", "Mild", "Moderate"], True),
        (["no DR", "glaucoma", "mild"], ["glaucoma", "mild", "no DR"], False),
        (["mild", "mild npdr", "severe"], ["mild", "mild npdr", "severe"], False),
    ],
)
def test_class_order(tmp_path: Path, labels: list[str], classes: list[str], ordinal: bool):
    rows = "".join(f"{name}.png,{label}\n" for name, label in zip("abc", labels, strict=True))
    manifest = Manifest.read(clinic(tmp_path, "image,label\n" + rows))
    assert (manifest.classes, manifest.ordinal) == (classes, ordinal)


def test_a_flat_folder_will_do_where_labels_are_not_needed(tmp_path: Path):
    for name in ("b", "a"):
        photograph(tmp_path / f"{name}.png")
    (tmp_path / "._a.png").write_bytes(b"")
    with pytest.raises(InputError, match="one sub-folder a class"):
        Manifest.read(tmp_path)
    manifest = Manifest.read(tmp_path, labels_required=False)
    assert manifest.frame["image"].tolist() == ["a.png", "b.png"]
    assert manifest.y.tolist() == [-1, -1]


def test_nothing_in_a_folder_of_classes_is_passed_over_in_silence(tmp_path: Path):
    for name in ("mild/a", "severe/b", "loose", "mild/.thumbs/c"):
        photograph(tmp_path / f"{name}.png")
    with pytest.raises(BadRowsError, match=r"'loose\.png' lies in no sub-folder that would be its class"):
        Manifest.read(tmp_path)
    kept = Manifest.read(tmp_path, skip_bad=True)
    assert kept.frame["image"].tolist() == ["mild/a.png", "severe/b.png"]
    whole = Manifest.read(tmp_path, labels_required=False)
    assert whole.frame["image"].tolist() == ["loose.png", "mild/a.png", "severe/b.png"]
    assert whole.frame["label"].tolist() == ["", "mild", "severe"]


def test_a_link_to_a_folder_above_is_not_gone_through(tmp_path: Path):
    for name in ("set/mild/a", "set/severe/b", "other/c"):
        photograph(tmp_path / f"{name}.png")
    (tmp_path / "set" / "mild" / "up").symlink_to(tmp_path, target_is_directory=True)
    found = Manifest.read(tmp_path / "set")
    assert found.frame["image"].tolist() == ["mild/a.png", "severe/b.png"]
    assert any("folder linked twice (1)" in said for said in found.remarks)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_or_a_device_is_a_bad_row_and_never_waited_for(tmp_path: Path):
    photograph(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    path = tmp_path / "m.csv"
    path.write_text("image,label\na.png,x\nb.png,y\n/dev/zero,y\n")
    with pytest.raises(BadRowsError) as caught:
        Manifest.read(path)
    assert [row.reason for row in caught.value.rows] == [
        "cannot be read (it is a pipe, a device or a socket and no file)"
    ] * 2
    with pytest.raises(OSError, match="a pipe, a device or a socket"):
        image_key(tmp_path / "b.png")


def test_class_order_given_and_stated(tmp_path: Path):
    path = clinic(tmp_path, "image,label,stage\na.png,late,2\nb.png,early,1\nc.png,late,2\n")
    given = Manifest.read(path, classes=["late", "early", "cured"])
    assert (given.classes, given.ordinal, given.y.tolist()) == (["late", "early", "cured"], False, [0, 1, 0])
    assert Manifest.read(path, classes=["late", "early"], ordered=True).ordinal
    with pytest.raises(InputError, match="the order of early, late is not known; name the classes in theirs"):
        Manifest.read(path, ordered=True)
    grades = clinic(tmp_path, "image,label\na.png,mild\nb.png,severe\n")
    assert Manifest.read(grades, classes=["mild", "moderate", "severe"]).ordinal
    assert not Manifest.read(grades, classes=["severe", "mild"]).ordinal
    path = clinic(tmp_path, "image,label,stage\na.png,late,2\nb.png,early,1\nc.png,late,2\n")
    stated = Manifest.read(path, order_column="stage")
    assert (stated.classes, stated.ordinal) == (["early", "late"], True)
    with pytest.raises(InputError, match="gives 'late' both 1 and 2"):
        Manifest.read(
            clinic(tmp_path, "image,label,stage\na.png,late,1\nb.png,late,2\n"), order_column="stage"
        )


BAD = """image,label,split
a.png,mild,train
gone.png,mild,train
broken.jpg,mild,test
b.png,,test
a.png,severe,test
c.png,unheard of,test
d.png,mild,sideways
c.png,mild,train,surplus
empty.png,mild,train
,mild,train
e.png,severe,train
"""


def test_a_number_among_grades_by_name_is_asked_about(tmp_path: Path):
    path = clinic(tmp_path, "image,label\na.png,3\n", "a")
    with pytest.raises(BadRowsError, match=r"is it the grade 'severe diabetic retinopathy'\? .*--scale dr"):
        Manifest.read(path, classes=DR_GRADES)


def test_all_bad_rows_at_once(tmp_path: Path):
    path = clinic(tmp_path, BAD, "a b c d e")
    (tmp_path / "broken.jpg").write_text("not a photograph")
    (tmp_path / "empty.png").touch()
    with pytest.raises(BadRowsError) as caught:
        Manifest.read(path, classes=["mild", "severe"])
    assert str(caught.value).splitlines() == [
        "clinic.csv: 9 bad rows; mend them, or go on without them (--skip-bad)",
        "  clinic.csv, row 2: image 'a.png' is in row 6 too, with label 'severe' there and 'mild' here",
        "  clinic.csv, row 3: image 'gone.png' is not there; paths are relative to the manifest "
        "(use --images DIR)",
        "  clinic.csv, row 4: image 'broken.jpg' is not an image file of a known format "
        "(JPEG, PNG, TIFF, BMP, GIF, WebP, AVIF, HEIF, PNM, JPEG 2000, DICOM)",
        "  clinic.csv, row 6: image 'a.png' is already in row 2, with label 'mild' there and 'severe' here",
        "  clinic.csv, row 7: image 'c.png' has the unknown label 'unheard of'; the classes are mild, severe",
        "  clinic.csv, row 8: image 'd.png' has split 'sideways'; write train, test or val",
        "  clinic.csv, row 9: image 'c.png' has 4 fields where the header has 3; "
        "put fields that hold a ',' in quotes",
        "  clinic.csv, row 10: image 'empty.png' is an empty file",
        "  clinic.csv, row 11: names no image",
    ]
    manifest = Manifest.read(path, classes=["mild", "severe"], skip_bad=True)
    assert manifest.frame["image"].tolist() == ["e.png"]
    assert [row.row for row in manifest.skipped] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert manifest.remarks == ["1 row of the test or val side left out, for want of a label"]


def test_only_twenty_bad_rows_are_shown_and_one_reads_as_a_sentence(tmp_path: Path):
    rows = "".join(f"gone{i}.png,x\n" for i in range(30))
    with pytest.raises(BadRowsError) as caught:
        Manifest.read(clinic(tmp_path, "image,label\na.png,x\n" + rows))
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  and 10 more"
    assert len(caught.value.rows) == 30
    with pytest.raises(BadRowsError) as caught:
        Manifest.read(clinic(tmp_path, "image,label\na.png,x\ngone.png,x\n"))
    assert str(caught.value) == (
        "clinic.csv, row 3: image 'gone.png' is not there; paths are relative to the manifest "
        "(use --images DIR) (or go on without it: --skip-bad)"
    )


def test_images_from_another_folder_and_with_backslashes(tmp_path: Path):
    photograph(tmp_path / "photos" / "left" / "a.png")
    path = tmp_path / "tables" / "clinic.csv"
    path.parent.mkdir()
    path.write_text("image,label\nleft\\a.png,x\n")
    manifest = Manifest.read(path, images=tmp_path / "photos")
    assert manifest.paths == [tmp_path / "photos" / "left" / "a.png"]
    assert manifest.frame["image"].tolist() == ["left\\a.png"]


def test_missing_things_are_named(tmp_path: Path):
    with pytest.raises(MissingFileError, match=r"no\.csv: there is no such file or folder"):
        Manifest.read(tmp_path / "no.csv")
    path = clinic(tmp_path, "photo,label\na.png,x\n")
    with pytest.raises(
        InputError, match=r"no column 'image'; its columns are 'photo', 'label' \(use --image-col"
    ):
        Manifest.read(path)
    with pytest.raises(InputError, match="no column 'eyeside'"):
        Manifest.read(path, image_column="photo", eye_column="eyeside")
    assert len(Manifest.read(path, image_column="Photo")) == 1
    with pytest.raises(InputError, match="read alike"):
        Manifest.read(clinic(tmp_path, "image,label\na.png,Mild\nb.png,mild\n"))


def test_labels_may_be_missing_where_they_are_not_needed(tmp_path: Path):
    path = clinic(tmp_path, "image\na.png\nb.png\n")
    with pytest.raises(InputError, match="no column 'label'"):
        Manifest.read(path)
    manifest = Manifest.read(path, labels_required=False)
    assert manifest.y.tolist() == [-1, -1]


def test_a_patient_on_both_sides_is_an_error_that_names_them(tmp_path: Path):
    text = "image,label,patient_id,split\na.png,x,ann,train\nb.png,x,bob,test\nc.png,x,ann,test\n"
    with pytest.raises(InputError, match=r"more than one side of the split: ann \(test, train\)"):
        Manifest.read(clinic(tmp_path, text))
    # Images without a patient are patients of their own: nothing is parted.
    assert len(Manifest.read(clinic(tmp_path, text.replace("ann", "")))) == 3


def test_drawn_split_keeps_patients_together_and_classes_in_proportion():
    rng = np.random.default_rng(5)
    grade = rng.choice(5, size=400, p=[0.5, 0.2, 0.2, 0.07, 0.03])
    y, groups = np.repeat(grade, 2), np.repeat(np.arange(400), 2)
    test = patient_split(y, groups, 0.4, seed=1)
    assert (test[0::2] == test[1::2]).all()
    for c in range(5):
        assert abs(test[y == c].mean() - 0.4) <= 2 / (y == c).sum() + 1e-9
    assert (patient_split(y, groups, 0.4, seed=1) == test).all()
    assert (patient_split(y, groups, 0.4, seed=2) != test).any()
    with pytest.raises(InputError, match="at least two patients"):
        patient_split(y[:2], groups[:2], 0.4, seed=1)


def test_manifest_without_split_draws_one(tmp_path: Path):
    names = " ".join(f"i{n}" for n in range(40))
    rows = "".join(f"i{n}.png,{n // 2 % 2},p{n // 2}\n" for n in range(40))
    manifest = Manifest.read(clinic(tmp_path, "image,label,patient_id\n" + rows, names))
    train, test = manifest.split("train"), manifest.split("test")
    assert len(train) + len(test) == 40
    assert not set(train.frame["patient_id"]) & set(test.frame["patient_id"])
    assert len(manifest.with_split(0.2, seed=3).split("test")) == 8
    assert manifest.fingerprint == Manifest.read(manifest.path).fingerprint
    assert manifest.fingerprint != manifest.with_split().fingerprint


def test_the_real_clinic(dr_clinic: Path):
    manifest = Manifest.read(dr_clinic)
    assert manifest.ordinal
    assert manifest.classes[0] == "no diabetic retinopathy"
    assert manifest.classes[-1] == "proliferative diabetic retinopathy"
    assert np.bincount(manifest.split("train").y).tolist() == [167, 56, 101, 20, 14]
    assert np.bincount(manifest.split("test").y).tolist() == [109, 43, 67, 14, 9]
    assert len(set(manifest.groups)) == 300
