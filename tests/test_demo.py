"""The demo clinic: whole or not there, the same bytes each time, a clinic's proportions, no shared patients."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from fewshot_flair.data import Manifest
from fewshot_flair.errors import InputError
from fewshot_flair.rendering import GRADES
from fewshot_flair.rendering.demo import demo_clinic


def digest(manifest: Path) -> str:
    files = sorted(p for p in manifest.parent.rglob("*") if p.is_file())
    return hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in files)).hexdigest()


def test_it_is_a_manifest_with_a_clinics_proportions(demo):
    frame = pd.read_csv(demo)
    assert list(frame.columns) == ["image", "patient_id", "eye", "label", "split", "clinic"]
    assert len(frame) == 560
    assert frame.patient_id.nunique() == 280
    shares = frame.label.value_counts(normalize=True)
    assert set(shares.index) == set(GRADES)
    assert shares["no diabetic retinopathy"] > 0.35
    assert shares[list(GRADES[3:])].max() < 0.15
    assert (frame[frame.split == "train"].label.value_counts() >= 16).all()
    assert (frame[frame.split == "test"].label.value_counts() >= 10).all()
    assert not set(frame[frame.split == "train"].patient_id) & set(frame[frame.split == "test"].patient_id)
    assert frame.clinic.str.contains("rendered").all()


def test_every_photograph_can_be_read(demo):
    manifest = Manifest.read(demo)
    assert len(manifest) == 560
    assert manifest.classes == list(GRADES)
    assert manifest.ordinal
    assert not manifest.skipped


@pytest.mark.slow
def test_rendered_again_it_is_the_same_to_the_byte(demo, tmp_path):
    heard = []
    again = demo_clinic(tmp_path / "clinic", progress=lambda done, total: heard.append((done, total)))
    assert digest(again) == digest(demo)
    assert heard[-1][1] == 560
    written = again.stat().st_mtime_ns
    assert demo_clinic(tmp_path / "clinic") == again
    assert again.stat().st_mtime_ns == written


def test_a_killed_rendering_leaves_nothing_in_its_place(tmp_path):
    code = f"from fewshot_flair.rendering.demo import demo_clinic; demo_clinic({str(tmp_path / 'clinic')!r})"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    waited = time.monotonic()
    while not list(tmp_path.glob(".clinic*/images/*")) and time.monotonic() - waited < 60:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "clinic").exists()


def test_another_folder_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="something other"):
        demo_clinic(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
