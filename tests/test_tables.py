"""Tables as people really keep them: pools, spellings, guessed columns, workbooks, embedded images, twins."""

from __future__ import annotations

import hashlib
import unicodedata
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from properties import examples

from fewshot_flair.data import BadRowsError, Manifest
from fewshot_flair.data.grades import DR_GRADES, may_be_dr_grades
from fewshot_flair.data.labels import misspelling_hints, slips
from fewshot_flair.data.twins import differently_labelled, on_both_sides, twins, twins_message
from fewshot_flair.errors import FewshotFlairError, InputError


@pytest.fixture
def write(tmp_path: Path):
    """Write photographs a.png to h.png, and a table beside them."""
    for shade, name in enumerate("abcdefgh"):
        Image.new("RGB", (8, 6), (shade, 40, 10)).save(tmp_path / f"{name}.png")

    def table(text: str) -> Path:
        (tmp_path / "clinic.csv").write_text(text, encoding="utf-8")
        return tmp_path / "clinic.csv"

    return table


def labelled(*labels: str) -> str:
    rows = (f'{name}.png,"{label}"\n' for name, label in zip("abcdefgh", labels, strict=False))
    return "image,label\n" + "".join(rows)


POOL = """image,label,patient,split
a.png,x,p1,train
b.png,y,p2,train
c.png,x,p3,test
d.png,,p4,
e.png,,p5,train
f.png,,p3,pool
g.png,,p6,test
"""


def test_rows_without_a_label_are_the_pool(write):
    manifest = Manifest.read(write(POOL))
    assert manifest.split("train").frame["image"].tolist() == ["a.png", "b.png"]
    assert manifest.split("test").frame["image"].tolist() == ["c.png"]
    assert manifest.split("pool").frame["image"].tolist() == ["d.png", "e.png"]
    assert manifest.pool_left_out == 1  # f is of a patient to test on
    assert [(row.row, row.image) for row in manifest.skipped] == [(8, "g.png")]
    assert manifest.remarks == [
        "column 'patient' is taken for the patient",
        "1 row of the test or val side left out, for want of a label",
    ]
    assert len(Manifest.read(manifest.path, labels_required=False)) == 7


def test_a_drawn_split_is_of_labelled_rows_and_the_pool_has_no_patient_to_test_on(write):
    text = "image,label,patient\n" + "".join(f"{n}.png,{'xy'[i % 2]},p{i}\n" for i, n in enumerate("abcdef"))
    manifest = Manifest.read(write(text + "g.png,,p0\nh.png,,p1\n"))
    drawn = manifest.with_split(0.5, seed=1)
    assert len(drawn.split("train")) + len(drawn.split("test")) == 6
    tested = set(drawn.split("test").frame["patient_id"])
    assert set(drawn.split("pool").frame["patient_id"]) == {"p0", "p1"} - tested
    assert drawn.pool_left_out == len({"p0", "p1"} & tested)


def test_a_table_without_any_label_is_refused_where_labels_are_needed(write):
    path = write("image,label\na.png,\nb.png,\n")
    with pytest.raises(InputError, match="no row has a label in column 'label'"):
        Manifest.read(path)
    assert len(Manifest.read(path, labels_required=False)) == 2


def test_all_missing_columns_are_named(write):
    with pytest.raises(InputError, match="no columns 'image' and 'label'; its columns are 'foo', 'bar'"):
        Manifest.read(write("foo,bar\na.png,x\n"))


@pytest.mark.parametrize(
    "header", ["Image,Diagnosis,Patient ID", "filename,class,PatientID", "IMG,Label,patient"]
)
def test_usual_columns_are_found_and_said(write, header: str):
    manifest = Manifest.read(write(f"{header}\na.png,x,p1\nb.png,y,p1\n"))
    assert manifest.y.tolist() == [0, 1]
    assert manifest.groups.tolist() == [0, 0]
    assert any("is taken for the patient" in remark for remark in manifest.remarks)


def test_two_columns_that_may_be_the_label_are_not_guessed_between(write):
    with pytest.raises(InputError, match="'diagnosis' or 'grade' may be the label: say which"):
        Manifest.read(write("image,diagnosis,grade\na.png,x,1\n"))


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "é"),
        ("mild dr", "mild\u00a0dr", "mild dr"),
        ("mild dr", "mild  dr\u200b", "mild dr"),
        ("1", "1.0", "1"),
        ("01", "1", "1"),
    ],
)
def test_spellings_that_cannot_mean_two_things_are_one_class(write, one: str, other: str, name: str):
    manifest = Manifest.read(write(labelled(one, other, "zzz")))
    assert set(manifest.classes) == {name, "zzz"}
    assert [remark for remark in manifest.remarks if f"are one class, {name!r}" in remark]


@pytest.mark.parametrize("other", ["Mild DR", "mild_dr", "MILD_DR", "mild-dr", "mild \uff44\uff52"])
def test_case_and_hyphens_are_for_the_owner_to_decide(write, other: str):
    with pytest.raises(InputError, match="read alike"):
        Manifest.read(write(labelled("mild dr", other, "zzz")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1,0"), ("1", "1e0"), ("1", "\u0661"), ("Grade 1", "Grade 01"), ("DR1", "DR 1"), ("50%", "50 %"),
        ("Coats' disease", "Coats\u2019 disease"), ("mild - dr", "mild \u2013 dr"), ("mild dr", "mild dr."),
        ("mild", "m\u0456ld"), ("AMD", "\u0391MD"), ("Iris", "\u0130ris"), ("dr/dme", "dr / dme"),
    ],
)  # fmt: skip
def test_labels_that_read_alike_are_for_the_owner_to_decide(write, one: str, other: str):
    path = write(labelled(one, other, "zzz"))
    with pytest.raises(InputError, match="read alike"):
        Manifest.read(path)
    assert Manifest.read(path, classes=[one, other, "zzz"]).y.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("one", "other"),
    [("1-2", "12"), ("1.05", "1.5"), ("1", "-1"), ("DR+", "DR"), ("no dr", "dr"), ("2b", "2a")],
)
def test_labels_that_say_different_things_are_two_classes(write, one: str, other: str):
    assert set(Manifest.read(write(labelled(one, other, "zzz"))).classes) == {one, other, "zzz"}


@pytest.mark.parametrize("hidden", ["\ufe0f", "\u034f", "\u3164", "\u2800", "\u202a", "\u2066"])
def test_what_shows_nothing_makes_no_class(write, hidden: str):
    assert Manifest.read(write(labelled("mild dr", f"mild{hidden} dr", "zzz"))).classes == ["mild dr", "zzz"]


@pytest.mark.parametrize("other", ["007", "7\u200b", "P 7", "p_7", "\uff17"])
def test_patients_that_read_alike_are_for_the_owner_to_decide(write, other: str):
    one = "P7" if other[0] in "Pp" else "7"
    path = write(f"image,label,patient_id\na.png,x,{one}\nb.png,y,{other}\nc.png,x,17\n")
    if other == "7\u200b":
        assert Manifest.read(path).groups.tolist() == [0, 0, 1]
        return
    with pytest.raises(InputError, match=f"patients '{one}' and '{other}' read alike"):
        Manifest.read(path)


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("#REF!", "reads like none"),
        ("\u2013", "reads like none"),
        ("DR;glaucoma", "several in one cell"),
        ("2021-03-04", "a date"),
        ("nan", "reads like none"),
    ],
)
def test_doubtful_labels_are_refused_unless_they_are_named(write, label: str, why: str):
    path = write(labelled("x", label))
    with pytest.raises(BadRowsError, match=f"row 3: image 'b.png' has the label .*{why}.*--classes"):
        Manifest.read(path)
    assert Manifest.read(path, classes=["x", label]).y.tolist() == [0, 1]


def test_a_label_with_an_escape_is_refused(write):
    path = write(labelled("x", "x\x1b[31m"))
    with pytest.raises(BadRowsError, match=r"row 3: .*a character that cannot be shown"):
        Manifest.read(path)
    with pytest.raises(InputError, match=r"class 'x\\x1b\[31m' has a name that cannot be shown"):
        Manifest.read(path, classes=["x", "x\x1b[31m"])


def test_a_patient_called_unknown_is_no_patient(write):
    named = zip("abcde", "xyxyx", ["NA", "nan", "unknown", "7", "7.0"], strict=True)
    rows = "".join(f"{name}.png,{label},{patient}\n" for name, label, patient in named)
    manifest = Manifest.read(write("image,label,patient_id\n" + rows))
    assert manifest.groups.tolist() == [0, 1, 2, 3, 3]
    assert "in 3 rows: that is no patient" in manifest.remarks[0]


@pytest.mark.parametrize("row", ['b.png,y,"blurred', 'b.png,y,"blurred\n"c.png,x,ok"', '"b.png,y,ok'])
def test_a_stray_quote_is_refused_by_its_row(write, row: str):
    later = "".join(f"{name}.png,x,ok\n" for name in "cdefgh")
    with pytest.raises(InputError, match=r"row 3: .*(quote|bad)"):
        Manifest.read(write(f"image,label,note\na.png,x,ok\n{row}\n{later}"))


def test_a_note_of_several_lines_is_no_stray_quote(write):
    manifest = Manifest.read(write('image,label,note\na.png,x,"first\nsecond"\nb.png,y,"a ""word"""\n'))
    assert manifest.y.tolist() == [0, 1]


def test_grades_get_their_names_where_the_scale_is_stated(write):
    manifest = Manifest.read(write(labelled("4", "0", "No DR", "2.0")), scale="dr")
    assert manifest.classes == [DR_GRADES[0], DR_GRADES[2], DR_GRADES[4]]
    assert manifest.ordinal
    with pytest.raises(InputError, match="'7', 'odd': no grade of the scale"):
        Manifest.read(write(labelled("1", "7", "odd")), scale="dr")
    assert may_be_dr_grades(["0", "2", "4", ""])
    assert not may_be_dr_grades(["0", "1"])
    assert not may_be_dr_grades(["0", "1", "2", "9"])


def test_a_rare_class_may_be_a_common_one_misspelt():
    assert misspelling_hints({"glaucoma": 40, "glaucom": 1, "normal": 30}) == [
        "class 'glaucom' has 1 image; is it 'glaucoma', misspelt?"
    ]
    assert misspelling_hints({"glaucoma": 4, "glaucom": 3}) == []


@pytest.mark.parametrize(
    ("rare", "common", "slip"),
    [
        *(("moderat DR", "moderate DR", True), ("moderatee DR", "moderate DR", True)),
        *(("modreate DR", "moderate DR", True), ("Moderste_DR", "moderate DR", True)),
        *(("glau coma", "glaucoma", True), ("healthy", "mild DR", False), ("mild", "moderate", False)),
        *(("grade 1", "grade 2", False), ("stage I", "stage II", False), ("CRVO", "BRVO", False)),
        *(
            ("hypotensive", "hypertensive", False),
            ("type a", "type b", False),
            ("no DR", "moderate DR", False),
        ),
    ],
)
def test_one_letter_beside_a_common_label_is_a_slip(rare: str, common: str, slip: bool):
    expected = {rare: common} if slip else {}
    assert slips([rare, *[common] * 10, *["other"] * 30]) == expected
    assert slips([rare, rare, *[common] * 20]) == expected
    assert slips([rare, *[common] * 9]) == {}
    assert slips([rare] * 3 + [common] * 300) == {}


def test_a_misspelt_label_is_a_bad_row_until_somebody_says_what_it_is(write, tmp_path: Path):
    for i in range(40):
        Image.new("RGB", (8, 6), (i, 90, 10)).save(tmp_path / f"{i}.png")
    rows = "".join(f"{i}.png,{'moderate DR' if i % 2 else 'no DR'}\n" for i in range(40))
    path = write(f"image,label\n{rows}a.png,moderat DR\n")
    with pytest.raises(BadRowsError) as caught:
        Manifest.read(path)
    (row,) = caught.value.rows
    assert (row.row, row.image) == (42, "a.png")
    assert row.reason == (
        "has the label 'moderat DR' (1 row); is it 'moderate DR' (20 rows), misspelt? Mend it; or, if it is a class "
        "of its own, name all classes (--classes)"
    )
    assert len(Manifest.read(path, skip_bad=True)) == 40
    meant = Manifest.read(path, classes=["no DR", "moderat DR", "moderate DR"])
    assert meant.frame["label"].value_counts()["moderat DR"] == 1
    assert len(Manifest.read(path, labels_required=False)) == 41


def test_files_are_found_by_a_name_that_is_nearly_theirs(write, tmp_path: Path):
    Image.new("RGB", (8, 6)).save(tmp_path / "00000003.jpg")
    nfd = unicodedata.normalize("NFD", "müller.png")
    (tmp_path / "a.png").rename(tmp_path / nfd)
    path = write("image,label\nB,x\nC.PNG,y\nmüller.png,x\n3.jpg,y\ngone.png,x\n")
    with pytest.raises(BadRowsError) as caught:
        Manifest.read(path, images=tmp_path)
    assert [row.reason for row in caught.value.rows] == [
        "is not there; did you mean 00000003.jpg?",
        "is not there below the folder that --images names",
    ]
    manifest = Manifest.read(path, skip_bad=True)
    assert [found.name for found in manifest.paths] == ["b.png", "c.png", nfd]
    assert manifest.remarks == ["3 images found under another name, the first 'B' as 'b.png'"]


@pytest.mark.parametrize(
    "name", ["D:\\Studies\\" + "a" * 300 + "\\x.png", "a" * 5000 + ".png", "a.png/x.png"]
)
def test_a_path_that_no_file_can_have_is_one_bad_row(write, name: str):
    manifest = Manifest.read(write(f"image,label\na.png,x\n{name},x\n"), skip_bad=True)
    assert [row.row for row in manifest.skipped] == [3]
    assert len(str(BadRowsError("clinic.csv", manifest.skipped))) < 600


def test_a_folder_beside_train_and_test_is_refused(tmp_path: Path):
    for name in ("train/x/a", "test/x/b", "pool/c", "extra/x/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match="folder 'extra' stands beside pool, test, train"):
        Manifest.read(tmp_path)
    (tmp_path / "extra" / "x" / "d.png").rename(tmp_path / "extra" / "notes.txt")
    manifest = Manifest.read(tmp_path)
    assert manifest.frame["split"].tolist() == ["pool", "test", "train"]
    assert manifest.remarks == ["passed over, as they are no images: .txt (1)"]


def workbook(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
    """A workbook of text and numbers, as small as Excel accepts."""
    space = "http://schemas.openxmlformats.org/"
    names = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(sheets, 1))
    links = "".join(
        f'<Relationship Id="r{i}" Type="{space}officeDocument/2006/relationships/worksheet" '
        f'Target="worksheets/{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("[Content_Types].xml", f'<Types xmlns="{space}package/2006/content-types"/>')
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{space}package/2006/relationships"><Relationship Id="r0" '
            f'Type="{space}officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>",
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{space}spreadsheetml/2006/main" '
            f'xmlns:r="{space}officeDocument/2006/relationships"><sheets>{names}</sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{space}package/2006/relationships">{links}</Relationships>',
        )
        for i, rows in enumerate(sheets.values(), 1):
            body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            book.writestr(
                f"xl/worksheets/{i}.xml",
                f'<worksheet xmlns="{space}spreadsheetml/2006/main"><sheetData>{body}</sheetData></worksheet>',
            )
    return path


def cell(value: object) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f"<c><v>{value}</v></c>"


def test_workbooks_are_read_and_a_sheet_can_be_named(write, tmp_path: Path):
    write("")
    rows: list[list[object]] = [["image", "label"], ["a.png", 1], ["b.png", 0.0]]
    path = workbook(tmp_path / "c.xlsx", {"about": [["made in 2026"]], "first": rows})
    assert Manifest.read(path).y.tolist() == [1, 0]
    path = workbook(tmp_path / "c.xlsx", {"first": rows, "second": [rows[0], ["c.png", 7]]})
    with pytest.raises(InputError, match="'first', 'second'; say which \\(--sheet\\)"):
        Manifest.read(path)
    assert Manifest.read(path, sheet="second").frame["image"].tolist() == ["c.png"]
    with pytest.raises(InputError, match="no sheet 'third'; its sheets are 'first', 'second'"):
        Manifest.read(path, sheet="third")


def test_an_archive_or_damage_is_not_called_a_workbook(tmp_path: Path):
    path = tmp_path / "clinic.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("clinic/manifest.csv", "image,label\n")
    with pytest.raises(InputError, match="is a ZIP archive; unpack it"):
        Manifest.read(path)
    path.write_bytes(b"PK\x03\x04" + bytes(40))
    with pytest.raises(InputError, match="damaged ZIP archive or workbook"):
        Manifest.read(path)


def test_parquet_may_hold_the_photographs(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEWSHOT_FLAIR_CACHE", str(tmp_path / "cache"))
    write("")
    held = [{"bytes": (tmp_path / f"{name}.png").read_bytes(), "path": f"{name}.png"} for name in "ab"]
    pd.DataFrame({"image": held, "label": [1, 0]}).to_parquet(tmp_path / "hub.parquet")
    manifest = Manifest.read(tmp_path / "hub.parquet")
    assert manifest.frame["image"].tolist() == ["a.png", "b.png"]
    assert [path.read_bytes() for path in manifest.paths] == [image["bytes"] for image in held]


def test_one_photograph_under_two_names(write, tmp_path: Path):
    for name in "efgh":
        (tmp_path / f"{name}.png").write_bytes((tmp_path / f"{chr(ord(name) - 4)}.png").read_bytes())
    manifest = Manifest.read(write(labelled(*"xyxyyyxy")))
    keys = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in manifest.frame["path"]}
    for seed in range(10):
        drawn = manifest.with_split(0.5, seed=seed, keys=keys)
        sides = {side: drawn.split(side) for side in ("train", "test")}
        assert on_both_sides(twins(sides, keys)) == []
    groups = twins({"train": manifest.take(np.arange(4)), "test": manifest.take(np.arange(4, 8))}, keys)
    assert [[twin.row for twin in group] for group in on_both_sides(groups)] == [
        [2, 6],
        [3, 7],
        [4, 8],
        [5, 9],
    ]
    said = twins_message(differently_labelled(groups), "under two labels")
    assert said.startswith("1 photograph is there twice, under two labels\n")
    assert "'a.png' (clinic.csv, row 2, label 'x'" in said


CELLS = st.one_of(
    st.sampled_from(
        ["a.png", "b", "C.PNG", "x", "1", "1.0", "", "NA", "train", "test", "p1", "x;y", "\\a.png"]
    ),
    st.text(max_size=12),
)
HEADERS = st.lists(
    st.one_of(
        st.sampled_from(["image", "label", "Patient ID", "split", "eye", "diagnosis"]), st.text(max_size=8)
    ),
    max_size=6,
)
TABLES = st.tuples(HEADERS, st.lists(st.lists(CELLS, max_size=6), max_size=8), st.sampled_from(',;\t"'))


def text_of(table: tuple[list[str], list[list[str]], str]) -> bytes:
    header, rows, separator = table
    return "\n".join(separator.join(row) for row in [header, *rows]).encode(errors="surrogatepass")


@examples()
@given(
    st.one_of(st.binary(max_size=200), TABLES.map(text_of)),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "dr"]),
)
def test_whatever_a_table_holds_it_is_read_or_refused_in_our_words(
    write, raw: bytes, labels_required: bool, skip_bad: bool, scale: str | None
):
    path = write("")
    path.write_bytes(raw)
    try:
        manifest = Manifest.read(path, labels_required=labels_required, skip_bad=skip_bad, scale=scale)
        pool = len(manifest.split("pool")) + manifest.pool_left_out
    except FewshotFlairError:
        return
    assert len(manifest) == len(manifest.y) == len(manifest.groups)
    assert set(manifest.frame["label"]) <= {*manifest.classes, ""}
    assert pool == (manifest.frame["split"] == "pool").sum()
