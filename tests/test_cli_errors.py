"""What a user gets wrong on the command line: said in one sentence, before anything is encoded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_cli import run
from typer.testing import CliRunner

from fewshot_flair.cli import app
from fewshot_flair.cli.parsing import split_names
from fewshot_flair.disk import writing_to
from fewshot_flair.errors import InputError
from fewshot_flair.files import read_toml
from fewshot_flair.report.files import free_name, replace_files


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """Twelve small photographs of two classes, with a split."""
    rng = np.random.default_rng(0)
    lines = ["image,label,patient_id,split"]
    for i in range(12):
        pixels = rng.integers(0, 255, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        label = ["keine", "schwere Retinopathie, NPDR"][i % 2]
        lines.append(f'{i}.png,"{label}",P{i},{"train" if i < 8 else "test"}')
    path = tmp_path / "clinic.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def refused(*words: object, **environment: str) -> str:
    done = run(*words, ok=False, **environment)
    assert "encoding with" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--adapter", "lpp"], "no adapter 'lpp': did you mean"),
        (["--adapter", "lp:foo=2"], "adapter 'lp' has no parameter 'foo'"),
        (["--shots", "9"], "too few images for 9 shots"),
        (["--shots", "9"], "use at most 4 shots"),
        (["--adapter", "coop:tower=3"], "tower comes from the encoder; leave tower= out"),
        (["--scenario", "reelistic"], "reelistic"),
        (["--classes", "keine"], "unknown label"),
        (["--adapter", "lp,zero-shot"], "'lp,zero-shot' is not one adapter but 2; give each by itself"),
        (["--cache", ""], "--cache is given nothing; is it a variable that is not set?"),
        (["--images="], "--images is given nothing"),
        (["--batch-size", "1000000000000"], "Invalid value for '--batch-size'"),
    ],
)
def test_typing_errors_cost_no_encoding(clinic: Path, tmp_path: Path, options: list[str], said: str) -> None:
    cache = tmp_path / "cache"
    told = refused(
        "adapt", "--data", clinic, "--shots", 1, *options, "--out", tmp_path / "o", "--cache", cache
    )
    assert said in told
    assert not list(cache.rglob("*.safetensors"))


def test_one_class_is_nothing_to_tell_apart(clinic: Path, tmp_path: Path) -> None:
    clinic.write_text(clinic.read_text().replace('"schwere Retinopathie, NPDR"', '"keine"'))
    told = refused(
        "adapt", "--data", clinic, "--shots", 1, "--out", tmp_path / "o", "--cache", tmp_path / "c"
    )
    assert "there is only one class, keine" in told


def test_class_names_with_a_comma_stand_in_quotes() -> None:
    assert split_names('keine, "schwere Retinopathie, NPDR",proliferativ') == [
        "keine",
        "schwere Retinopathie, NPDR",
        "proliferativ",
    ]
    assert split_names(None) is None


@pytest.mark.parametrize("text", ['"keine, schwere', "keine\nschwere", "keine,,schwere", "keine,"])
def test_names_that_nobody_can_mean_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"cannot be read as names|an empty name"):
        split_names(text)


def test_a_table_from_excel_in_western_europe(clinic: Path, tmp_path: Path) -> None:
    text = clinic.read_text(encoding="utf-8").replace("keine", "mäßig")
    clinic.write_bytes(text.encode("cp1252"))
    asked = [
        "adapt",
        "--data",
        clinic,
        "--shots",
        1,
        "--seeds",
        2,
        "--cache",
        tmp_path / "c",
        "--adapter",
        "ss",
    ]
    assert "--encoding cp1252" in refused(*asked, "--out", tmp_path / "o")
    done = run(*asked, "--encoding", "cp1252", "--out", tmp_path / "o")
    assert "mäßig" in done.stdout
    again = run(*asked, "--encoding", "cp1252", "--out", tmp_path / "o")
    assert "the earlier run in" in again.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_what_the_file_system_refuses_is_said_in_a_sentence(clinic: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = refused("bank", "export", tmp_path, tmp_path / "x.npz")
    assert "is not a feature bank" in told
    told = refused("cache", clinic, "--cache", tmp_path / "file" / "below")
    assert "file" in told
    run("cache", clinic, "--cache", tmp_path / "c")
    (bank,) = (tmp_path / "c" / "banks").iterdir()
    told = refused("bank", "export", bank, tmp_path / "no" / "x.npz")
    assert "No such file or directory" in told
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told_with_the_file_whoever_writes_it() -> None:
    full = Path("/dev/full")
    with pytest.raises(OSError, match="No space left on device: 'here'"), writing_to(Path("here")):
        full.write_bytes(bytes(100_000))
    with pytest.raises(OSError, match="No space left on device: 'here'"), writing_to(Path("here")):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(ValueError, match="no disk"), writing_to(Path("here")):
        raise ValueError("no disk")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"x = " + b"9" * 5000, "not TOML"),
        ("x = 1".encode("utf-16"), "save it as UTF-8"),
    ],
)
def test_what_is_no_toml_is_said(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "x.toml").write_bytes(raw)
    with pytest.raises(InputError, match=said):
        read_toml(tmp_path / "x.toml")
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbfx = 1")
    assert read_toml(tmp_path / "x.toml")[1] == {"x": 1}


def test_two_labels_never_share_a_file_on_any_disk() -> None:
    files: dict[str, bytes] = {}
    for label in ("set a", "set-a", "Set A", "set b"):
        files[f"tables/{free_name(label, 'tables', files)}.csv"] = b""
    assert len({name.casefold() for name in files}) == 4
    assert "tables/set-a.csv" in files
    assert "tables/set-b.csv" in files


def test_a_list_of_a_report_s_files_may_be_damaged(tmp_path: Path) -> None:
    replace_files(tmp_path, {"figures/a.png": b"1"})
    listed = tmp_path / "report-files.txt"
    listed.write_bytes(b"figures/a.png\nfigures/b\0.png\n\xff\xfe\n../thesis.txt\n")
    replace_files(tmp_path, {"tables/b.csv": b"2"})
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["b.csv", "report-files.txt"]


def test_a_photograph_that_is_not_there_costs_the_others_nothing(clinic: Path, tmp_path: Path) -> None:
    cache = ["--cache", tmp_path / "c"]
    run(
        "adapt",
        "--data",
        clinic,
        "--shots",
        1,
        "--seeds",
        2,
        "--adapter",
        "ss",
        "--out",
        tmp_path / "o",
        *cache,
    )
    done = run(
        *(
            "predict",
            tmp_path / "o",
            tmp_path / "0.png",
            tmp_path / "gone.png",
            "--out",
            tmp_path / "p.csv",
            *cache,
        ),
        ok=False,
    )
    assert done.returncode == 1
    assert "gone.png" in done.stdout
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[2].endswith("is not there")
    assert "adapter ss, fitted on 8 training images" in done.stdout
    none = run(
        "predict",
        tmp_path / "o",
        tmp_path / "gone.png",
        tmp_path,
        "--out",
        tmp_path / "q.csv",
        *cache,
        ok=False,
    )
    assert none.returncode == 1
    (tmp_path / "text.jpg").write_text("no picture")
    none = run(
        "predict", tmp_path / "o", tmp_path / "text.jpg", "--out", tmp_path / "q.csv", *cache, ok=False
    )
    assert none.returncode == 1
    (line,) = (tmp_path / "q.csv").read_text().splitlines()[1:]
    assert "text.jpg" in line
    assert "is not an image" in line


def test_predict_reads_tables_as_it_advises(clinic: Path, tmp_path: Path) -> None:
    def called(*words: object) -> str:
        done = CliRunner().invoke(app, [*map(str, words), "--cache", str(tmp_path / "c")])
        return str(done.exception or "")

    made = ("--shots", 1, "--seeds", 2, "--adapter", "ss", "--out", tmp_path / "o")
    assert called("adapt", "--data", clinic, *made) == ""
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "new.csv"
    table.write_text("foto,who\n0.png,J\xfcrgen\n", encoding="cp1252")
    words = ["predict", tmp_path / "o", table, "--out", tmp_path / "p.csv"]
    assert "--encoding cp1252" in called(*words)
    words += ["--encoding", "cp1252"]
    assert "--image-column" in called(*words)
    assert (
        called(*words, "--image-column", "foto", "--patient-column", "who", "--images", clinic.parent) == ""
    )
    answers = pd.read_csv(tmp_path / "p.csv")
    assert answers.loc[0, ["image", "patient"]].tolist() == ["0.png", "J\xfcrgen"]
    assert answers["note"].tolist() == ["was among the training photographs"]


def test_a_study_on_a_table_of_the_clinic_s_own(clinic: Path, tmp_path: Path) -> None:
    text = clinic.read_text().replace("image,label", "bild,befund").replace("keine", "mäßig")
    (tmp_path / "other.csv").write_bytes(text.encode("cp1252"))
    (tmp_path / "study.toml").write_text(
        'name = "ours"\nquestion = "?"\nadapters = ["ss", "ss-text"]\nshots = [4, 16]\nseeds = 3\nallow_fewer = true\n'
        '[[data]]\nname = "a"\nmanifest = "clinic.csv"\n'
    )
    asked = ["study", tmp_path / "study.toml", "--on", tmp_path / "other.csv", "--cache", tmp_path / "c"]
    done = run(
        *(
            *asked,
            "--out",
            tmp_path / "o",
            "--encoding",
            "cp1252",
            "--image-column",
            "bild",
            "--label-column",
            "befund",
        ),
        *("--classes", '"schwere Retinopathie, NPDR",mäßig', "--ordered"),
    )
    assert "ss-text" in done.stdout
    report = (tmp_path / "o" / "report.html").read_text()
    assert "all 3 draws of 8 images take the same ones" in report
    assert "mäßig" in report


def test_two_runs_do_not_write_into_one_folder(clinic: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    out = tmp_path / "o"
    out.mkdir()
    asked = [
        "adapt",
        "--data",
        clinic,
        "--shots",
        1,
        "--seeds",
        2,
        "--adapter",
        "ss",
        "--cache",
        tmp_path / "c",
    ]
    with FileLock(out / "run.lock"):
        told = " ".join(run(*asked, "--out", out, ok=False).stderr.split())
    assert "another run is being written there" in told
    run(*asked, "--out", out)


@pytest.mark.slow
def test_an_interrupted_command_says_that_it_goes_on(clinic: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for i in range(100):
        Image.fromarray(rng.integers(0, 255, (200, 250, 3), np.uint8)).save(tmp_path / f"more{i}.png")
    command = [sys.executable, "-c", "from fewshot_flair.cli import main; main()", "cache", tmp_path]
    command += ["--batch-size", 1]
    process = subprocess.Popen(
        map(str, [*command, "--cache", tmp_path / "c"]), stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    while not list((tmp_path / "c").rglob("*.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130
    assert "interrupted; what was encoded and computed so far is kept" in told
    assert "Traceback" not in told
