"""Where the tests find the real photographs and the random checkpoint; they skip, saying so, without them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from fewshot_flair.experiment.clinic import Clinic

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def dr_clinic() -> Path:
    """Folder of the 600 real photographs: manifest.csv, images/, fullres/."""
    folder = SHARED / "data" / "dr-clinic"
    if not folder.is_dir():
        pytest.skip(f"real photographs not found at {folder}")
    return folder


@pytest.fixture(scope="session")
def random_flair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the random-weights FLAIR checkpoint in both layouts, and its text_encoder/."""
    tool = SHARED / "tools" / "random_flair_checkpoint.py"
    if not tool.is_file():
        pytest.skip(f"the tool that writes the random FLAIR checkpoint is not at {tool}")
    out = tmp_path_factory.mktemp("flair")
    subprocess.run([sys.executable, str(tool), str(out), "--seed", "42"], check=True)
    return out


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the tests' own, one for all processes of pytest-xdist; see `demo_lock`."""
    base = tmp_path_factory.getbasetemp()
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    cache.mkdir(exist_ok=True)
    return cache


@pytest.fixture(scope="session")
def demo_lock(demo_cache: Path) -> FileLock:
    """Held where the demo clinic may have to be rendered and encoded, so that it happens once."""
    return FileLock(demo_cache.with_suffix(".lock"))


@pytest.fixture(scope="session")
def demo(demo_cache: Path, demo_lock: FileLock) -> Path:
    """The demo clinic's manifest, in `demo_cache`."""
    from fewshot_flair.rendering.demo import demo_clinic

    with demo_lock, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSHOT_FLAIR_CACHE", str(demo_cache))
        return demo_clinic()


@pytest.fixture(scope="session")
def parity() -> dict[str, np.ndarray]:
    """The adapters' fixture: what the papers' own code computes (see ../shared/spec/adapters.md)."""
    with np.load(DATA / "adapters_parity.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def images() -> list[np.ndarray]:
    """Two pictures of noise, wider than high."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (90, 120, 3), np.uint8) for _ in range(2)]


@pytest.fixture(scope="session")
def planted_clinic(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    """A long-tailed clinic of 450 feature vectors around five planted class means, in a real bank."""
    from fewshot_flair.bank import FeatureBank
    from fewshot_flair.bank.source import FeatureSource
    from fewshot_flair.experiment.clinic import Clinic, Rows
    from fewshot_flair.experiment.provenance import EncoderMade, Provenance, Side, SkippedImage
    from fewshot_flair.text.prototypes import TextPrototypes

    rng = np.random.default_rng(0)
    classes = ["none", "mild", "moderate", "severe", "proliferative"]
    width, n_train = 32, 270
    means = rng.normal(size=(5, width))
    y = rng.permutation(np.repeat(np.arange(5), [200, 80, 100, 40, 30]))
    embedding = 0.35 * means[y] + rng.normal(size=(len(y), width))
    embedding = (embedding / np.linalg.norm(embedding, axis=1, keepdims=True)).astype(np.float32)
    backbone = np.concatenate([10 * embedding, 10 * embedding], axis=1)
    source = FeatureSource("planted", {"planted": 1}, {"backbone": 2 * width, "embedding": width})
    bank = FeatureBank.open(tmp_path_factory.mktemp("planted"), source)
    keys = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(len(y))]
    bank.append(keys, backbone, embedding)

    def rows(start: int, stop: int) -> Rows:
        here = range(start, stop)
        return Rows(
            y=y[start:stop],
            images=[f"{i}.jpg" for i in here],
            patients=[f"P{i // 2}" for i in here],
            clinics=["north" if i % 4 < 2 else "south" for i in here],
            keys=keys[start:stop],
            bank=bank,
        )

    side = Side(
        path="planted.csv",
        fingerprint="planted",
        images=n_train,
        patients=n_train // 2,
        counts=dict.fromkeys(classes, 1),
    )
    noisy = means + rng.normal(size=means.shape)
    return Clinic(
        name="planted",
        classes=classes,
        ordinal=True,
        train=rows(0, n_train),
        test=rows(n_train, len(y)),
        feature_dims=source.feature_dims,
        text=TextPrototypes(classes, noisy / np.linalg.norm(noisy, axis=1, keepdims=True), 4.0),
        pool=None,
        tower=None,
        provenance=Provenance(
            data="planted",
            prompts="expert",
            rendered=False,
            brought=False,
            split_given=True,
            train=side,
            test=side,
            pool=None,
            encoder=EncoderMade(name="planted", fingerprint_id=source.fingerprint_id, fingerprint={}),
            feature_dims=dict(source.feature_dims),
            encoded=0,
            from_bank=len(y),
            twins=[],
            descriptions={name: ["a", "b"] for name in classes},
            has_text=True,
            text_digest="expert",
            skipped=[SkippedImage(row=3, image="<b>gone</b>.jpg", reason="is not there")],
            remarks=[],
        ),
    )
