"""Public data sets: the register, manifests of folders in the published layouts, the papers' draws and folds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from published_sets import SPLITS, lay, named

from fewshot_flair import EpisodeSampler, Manifest
from fewshot_flair.datasets import get_set, list_sets, prepare_set
from fewshot_flair.datasets.clone import fundus_prompts, prompts_in, write_prompts
from fewshot_flair.datasets.likeness import alike_pairs, fingerprint_of, fingerprints
from fewshot_flair.datasets.register import recognised
from fewshot_flair.episodes import create_scenario
from fewshot_flair.episodes.folds import flair_folds
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.text.prompts import described, read_prompts, unused

FIXTURE = SPLITS.parents[1] / "spec" / "flair_folds.npz"


@pytest.fixture(scope="module")
def splits() -> Path:
    if not SPLITS.is_dir():
        pytest.skip(f"the papers' split tables are not at {SPLITS}")
    return SPLITS


def test_the_register_is_whole():
    sets = list_sets()
    assert len({known.name for known in sets}) == len(sets) >= 40
    names = [name for known in sets for name in (known.name, *known.also)]
    assert len({name.casefold() for name in names}) >= len(names) - len(sets)  # a set may repeat its own name
    for known in sets:
        assert known.source.startswith("http")
        assert known.citation
        assert known.licence
        assert "flair" in known.pretrained
        assert recognised([known.name]) is known
    wanted = ["messidor", "fives", "refuge", "20x3", "odir200x3", "mmac", "mbrset", "idrid"]
    for name in [*wanted, "deepdrid", "acrima", "cgi-hrdc"]:
        assert get_set(name).classes
    with pytest.raises(InputError, match="did you mean 'messidor'"):
        get_set("mesidor")


def test_what_an_encoder_was_trained_on():
    assert get_set("messidor").trained_on("flair") == ""
    assert get_set("20x3").trained_on("flair") == ""
    assert "training" in get_set("idrid").trained_on("flair")
    assert get_set("eyepacs").trained_on("retfound") == "yes"
    assert "no photograph" in get_set("HEI-MED").trained_on("flair")


def test_every_published_split_table_is_read_as_it_is(splits):
    for table in sorted(splits.glob("*/*.csv")):
        manifest = Manifest.read(table, check_images=False, keep_repeats=True)
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(manifest) + len(manifest.skipped) == len(rows)
        assert (manifest.y >= 0).all()
    messidor = Manifest.read(splits / "sstext-u" / "MESSIDOR_train.csv", check_images=False)
    assert len(messidor) == 1393
    assert [row.reason for row in messidor.skipped] == [
        "is of none of the classes by its columns of the classes"
    ] * 4
    fives = Manifest.read(splits / "sstext-u" / "FIVES_test.csv", check_images=False)
    assert fives.classes == ["normal", "diabetic retinopathy", "glaucoma", "age related macular degeneration"]


def test_the_classes_of_the_task_choose_among_categories(splits):
    table = splits / "flair" / "02_MESSIDOR.csv"
    grades = Manifest.read(table, check_images=False)
    assert grades.ordinal
    assert len(grades.classes) == 5
    edema = ["no diabetic macular edema", "diabetic macular edema"]
    chosen = Manifest.read(table, check_images=False, classes=edema)
    assert chosen.classes == edema
    assert len(chosen) == 1744
    assert np.bincount(chosen.y).tolist() == [1593, 151]


def test_a_table_of_marks_that_are_no_classes_is_refused(tmp_path):
    table = tmp_path / "findings.csv"
    table.write_text("image,exudates,drusen\na.jpg,1,1\nb.jpg,1,1\nc.jpg,1,0\n")
    with pytest.raises(InputError, match="most rows are not of exactly one of them"):
        Manifest.read(table, check_images=False)
    table.write_text(
        "image,normal,glaucoma,age\na.jpg,1,0,61\nb.jpg,0,1,58\nc.jpg,0,1,7\nd.jpg,,,5\ne.jpg,1,1,9\n"
    )
    with pytest.raises(InputError, match=r"row 6: image 'e\.jpg' is of several classes"):
        Manifest.read(table, check_images=False)
    manifest = Manifest.read(table, check_images=False, skip_bad=True)
    assert manifest.frame["label"].tolist() == ["normal", "glaucoma", "glaucoma", ""]
    assert manifest.classes == ["normal", "glaucoma"]


def papers_draw(y: np.ndarray, n: int, share: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the semi-supervised paper's code takes and leaves, written out."""
    taken, left = [], []
    for c in np.unique(y):
        rows = np.flatnonzero(y == c)
        np.random.seed(seed)
        np.random.shuffle(rows)
        count = round(n * share[c])
        taken.append(rows[:count])
        left.append(rows[count:])
    return np.concatenate(taken), np.concatenate(left)


@pytest.mark.parametrize("name", ["MESSIDOR", "FIVES", "MMAC_A", "mBRSET"])
def test_draws_of_every_published_split_are_the_papers(splits, name):
    train, test = (
        Manifest.read(splits / "sstext-u" / f"{name}_{side}.csv", check_images=False)
        for side in ("train", "test")
    )
    n_classes, share = len(test.classes), np.bincount(test.y) / len(test)
    described_as = {"kind": "prevalence", "prevalence": "test", "trim": False}
    scenario = create_scenario(described_as, test.classes, test.y)
    for shots in (1, 2, 4, 8, 16):
        sampler = EpisodeSampler(shots, scenario, protocol="sstext-2025", allow_fewer=True)
        drawn = sampler.sample_many(
            train.y,
            range(20),
            classes=test.classes,
            unlabeled=24 * n_classes,
            prevalence=np.bincount(test.y),
        )
        assert drawn.unlabeled is not None
        for seed in range(20):
            support, left = papers_draw(train.y, shots * n_classes, share, seed)
            free = left[papers_draw(train.y[left], 24 * n_classes, share, seed)[0]]
            np.testing.assert_array_equal(drawn.indices[seed], support)
            np.testing.assert_array_equal(drawn.unlabeled[seed], free)


def test_folds_of_flairs_tables_index_for_index(splits):
    if not FIXTURE.is_file():
        pytest.skip(f"the folds' fixture is not at {FIXTURE}")
    names = {
        "38_MMAC23A_train": [f"myopic maculopathy grade {n}" for n in ["cero", "one", "two", "three", "four"]]
    }
    with np.load(FIXTURE) as published:
        tables = sorted({key.split("|")[1] for key in published})
        assert len(tables) == 6
        for table in tables:
            known = recognised([table])
            classes = names.get(table, known.classes)
            read = Manifest.read(
                splits / "flair" / f"{table}.csv", check_images=False, classes=classes, keep_repeats=True
            )
            np.testing.assert_array_equal(read.y, published[f"label|{table}"])
            for fold, (train, test) in enumerate(flair_folds(read.y)):
                np.testing.assert_array_equal(train, published[f"train|{table}|{fold}"])
                np.testing.assert_array_equal(test, published[f"test|{table}|{fold}"])


@pytest.mark.parametrize("below", ["", "25_REFUGE", "25_REFUGE/train"])
def test_a_folder_with_and_without_the_tables_leading_folder(splits, tmp_path, below):
    table = splits / "flair" / "25_REFUGE.csv"
    names = named(table)[30:50]
    lay(tmp_path / "photographs", names)
    cut = tmp_path / "cut.csv"
    rows = pd.read_csv(table, dtype=str)
    rows[rows["image"].isin(names)].to_csv(cut, index=False)
    made = prepare_set("REFUGE", tmp_path / "photographs" / below, tmp_path / "refuge.csv", split=cut)
    assert not made.missing
    assert made.counts == {"no glaucoma": {"": 12}, "glaucoma": {"": 8}}
    written = pd.read_csv(tmp_path / "refuge.csv", dtype=str, keep_default_na=False)
    assert written.columns.tolist() == ["image", "label", "split", "patient_id"]
    assert all((tmp_path / "photographs" / below / image).is_file() for image in written["image"])
    # the card says where the photographs are, also of a manifest that was renamed
    (tmp_path / "refuge.csv").rename(tmp_path / "ours.csv")
    again = Manifest.read(tmp_path / "ours.csv")
    assert again.classes == ["no glaucoma", "glaucoma"]
    assert len(again) == 20
    assert any("counts differ" in said for said in made.remarks)


def test_another_suffix_bare_names_and_two_tables(splits, tmp_path):
    names = {side: named(splits / "sstext-u" / f"MESSIDOR_{side}.csv")[:12] for side in ("train", "test")}
    for side, some in names.items():
        lay(tmp_path / "m", [str(Path(name).with_suffix(".tif")) for name in some[:11]])
        rows = pd.read_csv(splits / "sstext-u" / f"MESSIDOR_{side}.csv", dtype=str)
        rows[rows["Path"].isin(some)].to_csv(tmp_path / f"{side}.csv", index=False)
    made = prepare_set(
        "messidor",
        tmp_path / "m",
        tmp_path / "m.csv",
        split=tmp_path / "train.csv",
        test_split=tmp_path / "test.csv",
    )
    assert len(made.missing) == 2
    assert made.named == 24
    written = pd.read_csv(tmp_path / "m.csv", dtype=str, keep_default_na=False)
    assert written["split"].value_counts().to_dict() == {"train": 11, "test": 11}
    assert written["image"].str.endswith(".tif").all()


def test_a_file_found_for_two_names_is_neithers(tmp_path):
    lay(tmp_path / "photographs" / "Original", ["1_A.png", "2_N.png"])
    table = tmp_path / "fives.csv"
    table.write_text(
        "image,categories\n13_FIVES/train/Original/1_A.png,['glaucoma']\n13_FIVES/test/Original/1_A.png,['normal']\n"
        "13_FIVES/train/Original/2_N.png,['normal']\n"
    )
    made = prepare_set("fives", tmp_path / "photographs", tmp_path / "f.csv", split=table)
    assert len(made.missing) == 2
    assert made.counts["normal"] == {"": 1}


def test_published_layouts_without_a_table(tmp_path):
    lay(
        tmp_path / "fives",
        ["train/Original/1_A.png", "train/Original/2_N.png", "test/Original/1_D.png", "test/x.png"],
    )
    made = prepare_set("fives", tmp_path / "fives", tmp_path / "fives.csv")
    assert made.counts["diabetic retinopathy"] == {"test": 1}
    assert made.counts["normal"] == {"train": 1}

    inner = "B.%20Disease%20Grading/B. Disease Grading"
    lay(
        tmp_path / "idrid" / inner,
        [f"1. Original Images/a. Training Set/IDRiD_{i:03}.jpg" for i in (1, 2, 3)],
    )
    labels = tmp_path / "idrid" / inner / "2. Groundtruths" / "a. IDRiD_Disease Grading_Training Labels.csv"
    labels.parent.mkdir()
    labels.write_text(
        "Image name,Retinopathy grade,Risk of macular edema ,,\nIDRiD_001,3,2,,\nIDRiD_002,0,0,,\nIDRiD_009,1,0,,\n"
    )
    made = prepare_set("idrid", tmp_path / "idrid", tmp_path / "idrid.csv")
    assert made.counts["severe diabetic retinopathy"] == {"train": 1}
    assert made.missing == ["IDRiD_009"]
    assert any("1 photograph left out that no table" in said for said in made.remarks)

    deep = "regular_fundus_images/regular-fundus-training"
    lay(tmp_path / "DeepDRiD" / deep, ["Images/1/1_l1.jpg", "Images/1/1_r1.jpg"])
    (tmp_path / "DeepDRiD" / deep / "regular-fundus-training.csv").write_text(
        "patient_id,image_id,image_path,left_eye_DR_Level,right_eye_DR_Level\n"
        "1,1_l1,\\regular-fundus-training\\1\\1_l1.jpg,2.0,\n1,1_r1,\\regular-fundus-training\\1\\1_r1.jpg,,0.0\n"
    )
    made = prepare_set("deepdrid", tmp_path / "DeepDRiD", tmp_path / "d.csv")
    written = pd.read_csv(tmp_path / "d.csv", dtype=str)
    assert dict(zip(written["label"], written["patient_id"], strict=True)) == {
        "moderate diabetic retinopathy": "1",
        "no diabetic retinopathy": "1",
    }

    with pytest.raises(InputError, match="not the published layout of REFUGE"):
        prepare_set("refuge", tmp_path / "fives", tmp_path / "r.csv")
    with pytest.raises(InputError, match="give a table"):
        prepare_set("stare", tmp_path / "fives", tmp_path / "s.csv")


@pytest.mark.parametrize("name", [known.name for known in list_sets() if known.parts])
def test_every_layout_of_the_register_gives_rows(name, tmp_path):
    known = get_set(name)
    wanted = set()
    for k, part in enumerate(known.parts):
        stem = f"{k}_{''.join(part.values)[:1] or 'x'}"
        entry = next(iter(part.values), "")
        if part.label_pattern:
            stem = {"refuge": f"{entry}000{k}", "hrf": f"0{k}_{entry}"}.get(name, f"{k}_{entry}")
        image = part.images.replace("**/", "some/").replace("*Color*", f"{stem}_Color").replace("*", stem)
        image = f"{image}.png" if not image.endswith((".png", ".jpg")) else image
        lay(tmp_path / "set", [image])
        if part.table:
            label = part.label if isinstance(part.label, str) else part.label[0]
            head = {part.image: Path(image).stem, label: entry, **part.where}
            head |= {part.patient: "p1"} if part.patient else {}
            file = tmp_path / "set" / part.table.replace("*", " x ")
            file.parent.mkdir(parents=True, exist_ok=True)
            columns = ",".join(head) + "\n" if part.header else ""
            file.write_text(columns + (" " if not part.header else ",").join(head.values()) + "\n")
        wanted.add((part.values[entry] if part.values else str(part.label), part.split))
    made = prepare_set(name, tmp_path / "set", tmp_path / "m.csv", near=False)
    written = pd.read_csv(tmp_path / "m.csv", dtype=str, keep_default_na=False)
    assert {*zip(written["label"], written["split"], strict=True)} == wanted
    assert not made.missing


def test_photographs_that_are_nearly_the_same_are_found_on_real_ones(dr_clinic):
    idrid = dr_clinic.parent / "idrid"
    same = ("images/IDRiD_366.jpg", "lesions/IDRiD_02.jpg", "images/IDRiD_013.jpg", "images/IDRiD_397.jpg")
    other = [f"images/IDRiD_{i:03}.jpg" for i in range(20, 60)]
    prints = fingerprints([idrid / name for name in (*same, *other)])
    pairs = {(i, j) for i, j, _ in alike_pairs(prints)}
    assert {(0, 1), (2, 3)} <= pairs
    assert {pair for pair in pairs if max(pair) < 4} == {(0, 1), (2, 3)}
    full = sorted((dr_clinic / "fullres").iterdir())[0]
    small = dr_clinic / "images" / full.name
    if small.is_file():
        one, two = fingerprint_of(full), fingerprint_of(small)
        assert one @ two > 0.99
    assert fingerprint_of(idrid / "README.md") is None


def test_idrid_is_prepared_and_its_twins_are_told(dr_clinic, tmp_path):
    made = prepare_set("idrid", dr_clinic.parent / "idrid", tmp_path / "idrid.csv", near=False)
    assert sum(sum(sides.values()) for sides in made.counts.values()) == 413
    assert int(made.pairs["same_bytes"].sum()) == 5
    assert int(made.pairs["labels_differ"].sum()) == 2
    assert not any("counts differ" in said for said in made.remarks)
    assert json.loads((tmp_path / "idrid.json").read_text())["set"] == "idrid"
    (tmp_path / "idrid.csv").write_text((tmp_path / "idrid.csv").read_text() + "nowhere.jpg,mild,,\n")
    changed = Manifest.read(tmp_path / "idrid.csv", skip_bad=True)
    assert any("changed by hand" in said for said in changed.remarks)


def test_prompts_of_a_clone_are_read_without_running_it(tmp_path):
    code = tmp_path / "clone" / "prompts" / "fundus.py"
    code.parent.mkdir(parents=True)
    code.write_text(
        "import nowhere\nraise SystemExit('run')\n"
        "def prompts(categories):\n    caption = 'A fundus photograph of [CLS]'\n"
        "    said = {'no dr': ['no \"red\" dots', 'normal'], 'Grade é': ['many']}\n    return said\n"
        "def lungs():\n    caption = 'An x-ray of [CLS]'\n    return {'a': ['b'], 'c': ['d']}\n"
    )
    (tmp_path / "clone" / "old.py").write_text("print 'python 2'\n")
    assert len(prompts_in(tmp_path / "clone")) == 2
    found = fundus_prompts(tmp_path / "clone")
    assert found.template == "A fundus photograph of [CLS]"
    for name in ("p.toml", "p.json"):
        write_prompts(found, tmp_path / name, tmp_path / "clone")
        assert read_prompts(name, tmp_path) == {"no dr": ['no "red" dots', "normal"], "Grade é": ["many"]}
    assert described(["No DR", "Grade é"], found.descriptions)["No DR"][1] == "normal"
    with pytest.raises(InputError, match=r"no description of class 'pdr'.*'no dr'"):
        described(["no dr", "pdr"], found.descriptions)
    with pytest.raises(InputError, match="no descriptions"):
        fundus_prompts(tmp_path / "clone", "old.py")
    with pytest.raises(MissingFileError, match="clone"):
        fundus_prompts(tmp_path / "nowhere")
    (tmp_path / "clone" / "two.py").write_text(
        "def other():\n    c = 'A fundus photograph of [CLS]'\n    return {'no dr': ['x'], 'b': ['y']}\n"
    )
    with pytest.raises(InputError, match=r"several dictionaries.*two\.py"):
        fundus_prompts(tmp_path / "clone")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": ["x"], "a": ["y"]}', "'a' is there twice"),
        ('{"a": ["x"], "A": ["y"]}', "'a' and 'A' read alike"),
        ('{"a": ["\\ud800"]}', "a character that cannot be shown"),
        ('{"a": ["\\u001b[2J"]}', "a character that cannot be shown"),
        ('{"a": [" "]}', "one or more descriptions"),
    ],
)
def test_doubtful_descriptions_are_refused(tmp_path, text, said):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_prompts("p.json", tmp_path)


def test_descriptions_of_no_class_are_named():
    assert unused(["mild dr"], {"Mild DR": ["a"], "glaucoma": ["b"]}) == ["glaucoma"]
    assert unused(["mild dr"], "expert") == []


def test_split_tables_go_straight_into_adapt(splits, tmp_path, demo_cache):
    from fewshot_flair import Study, run_study
    from fewshot_flair.report import write_report

    for side in ("train", "test"):
        rows = pd.read_csv(splits / "sstext-u" / f"FIVES_{side}.csv", dtype=str)
        kept = rows.groupby(list(rows.columns[2:]), sort=False).head(3)
        assert len(kept) == 12
        kept.to_csv(tmp_path / f"{side}.csv", index=False)
        lay(tmp_path / "photographs", [name.removeprefix("13_FIVES/") for name in kept["Path"]])
    data = {
        "name": "FIVES",
        "manifest": str(tmp_path / "train.csv"),
        "test_on": str(tmp_path / "test.csv"),
        "images": str(tmp_path / "photographs"),
        "source": "https://example.org/fives",
        "licence": "CC BY 4.0",
    }
    study = Study.from_dict(
        {"name": "s", "adapters": ["zero-shot"], "shots": [1], "seeds": 1, "data": [data]}
    )
    results = run_study(study, tmp_path / "out", cache=demo_cache)
    told = results.record.clinics[0]
    assert list(told.train.counts) == [
        "normal",
        "diabetic retinopathy",
        "glaucoma",
        "age related macular degeneration",
    ]
    assert (told.train.images, told.test.images) == (12, 12)
    assert told.known_set == "fives"
    assert told.terms == ["FIVES: source: https://example.org/fives; licence: CC BY 4.0"]
    assert "licence: CC BY 4.0" in write_report(results, folder=tmp_path / "out").read_text()


def test_what_prepare_will_not_do(splits, tmp_path):
    lay(tmp_path / "p", [f"train/Images/{letter}000{i}.jpg" for i in (1, 2) for letter in "gn"])
    table = tmp_path / "table.csv"
    rows = [f"25_REFUGE/train/Images/{'gn'[i % 2]}000{1 + i // 2}.jpg" for i in range(4)]
    labels = ["['glaucoma']", "['no glaucoma']"] * 2
    table.write_text("\n".join(["image,categories", *map(",".join, zip(rows, labels, strict=True))]))
    before = table.read_bytes()
    with pytest.raises(InputError, match="this is the split table"):
        prepare_set("refuge", tmp_path / "p", table, split=table)
    (tmp_path / "mine.csv").write_text("image,label\n")
    with pytest.raises(InputError, match="was not written by data prepare"):
        prepare_set("refuge", tmp_path / "p", tmp_path / "mine.csv", split=table)
    with pytest.raises(InputError, match=r"4 photographs of table\.csv are in table\.csv too"):
        prepare_set("refuge", tmp_path / "p", tmp_path / "out.csv", split=table, test_split=table)
    with pytest.raises(InputError, match=r"13_FIVES\.csv is a split table of FIVES, not of REFUGE"):
        prepare_set("refuge", tmp_path / "p", tmp_path / "out.csv", split=splits / "flair" / "13_FIVES.csv")
    with pytest.raises(InputError, match=r"no usable row is left of 4; .*give the folder that holds"):
        prepare_set("refuge", tmp_path, tmp_path / "out.csv", split=_moved(table, tmp_path))
    with pytest.raises(InputError, match=r"no usable row is left of 4; .*the classes of FIVES are normal"):
        prepare_set("fives", tmp_path / "p", tmp_path / "out.csv", split=_renamed(table, tmp_path))
    with pytest.raises(InputError, match="there is no such folder"):
        prepare_set("refuge", tmp_path / "nowhere", tmp_path / "out.csv")
    assert table.read_bytes() == before
    assert not (tmp_path / "out.csv").exists()


def _moved(table: Path, folder: Path) -> Path:
    moved = folder / "moved.csv"
    moved.write_text(table.read_text().replace("000", "111"))
    return moved


def _renamed(table: Path, folder: Path) -> Path:
    renamed = folder / "renamed.csv"
    renamed.write_text(table.read_text().replace("glaucoma", "cataract"))
    return renamed


def test_what_prepare_tells(tmp_path):
    lay(tmp_path / "p", [f"train/Images/{letter}000{i}.jpg" for i in (1, 2) for letter in "gn"])
    folder = tmp_path / "p" / "train" / "Images"
    whole = (folder / "g0001.jpg").read_bytes()
    (folder / "g0003.jpg").write_bytes(whole[:900])
    (folder / "g0004.jpg").write_bytes(b"")
    made = prepare_set("refuge", tmp_path / "p", tmp_path / "r.csv")
    said = "\n".join(made.remarks)
    assert made.missing == ["train/Images/g0004.jpg"]
    assert (
        "1 photograph not to be looked at (damaged, or of one colour), the first train/Images/g0003.jpg"
        in said
    )
    assert "counts differ from FLAIR's split table" in said
    again = prepare_set("refuge", tmp_path / "p", tmp_path / "r.csv")  # its own manifest is written anew
    assert again.counts == made.counts
    for path in folder.glob("n*"):
        path.unlink()
    one = prepare_set("refuge", tmp_path / "p", tmp_path / "r.csv")
    assert "there is only one class, glaucoma: adapters need two" in one.remarks
