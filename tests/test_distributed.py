"""Extraction through a real Dask scheduler and real worker processes, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_extraction import photographs, rows_of, tiny  # noqa: F401 - a fixture

from fewshot_flair.bank import FeatureBank, extract
from fewshot_flair.bank import distributed as module
from fewshot_flair.encoders import load_encoder
from fewshot_flair.errors import InputError

pytest.importorskip("distributed", reason="needs the extra 'distributed'")


def dask(*words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """Address of a scheduler, and its two workers, followed by itself."""
    file = tmp_path / "scheduler.json"
    scheduler = dask(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
    )
    workers = []
    try:
        while not file.exists() or not file.read_text():
            assert scheduler.poll() is None
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        for _ in range(2):
            workers.append(dask("worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard"))
        yield address, [*workers, scheduler]
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(tmp_path: Path, tiny: Path, cluster, monkeypatch):  # noqa: F811
    address, workers = cluster
    paths = photographs(tmp_path / "photos", 120)
    paths[17].write_bytes(paths[17].read_bytes()[:500])
    monkeypatch.setattr(module, "SHARD_IMAGES", 5)
    encoder = load_encoder(tiny)
    bank = FeatureBank.open(tmp_path / "far", encoder)
    extract(paths[:10], encoder, bank)
    killed = []

    def kill_one(state):
        if state.encoded >= 20 and not killed:
            workers[0].send_signal(signal.SIGKILL)
            killed.append(workers[0].wait())

    done = extract(paths, encoder, bank, batch_size=4, scheduler=address, progress=kill_one, skip_bad=True)
    assert killed == [-signal.SIGKILL]
    assert (done.encoded, done.cached) == (109, 10)
    assert [row.image for row in done.skipped] == [str(paths[17])]
    here = FeatureBank.open(tmp_path / "near", encoder)
    extract(paths, encoder, here, batch_size=4, skip_bad=True)
    there = rows_of(FeatureBank.open(tmp_path / "far", encoder))
    assert there == rows_of(here)
    assert len(there) == 119


@pytest.mark.parametrize("address", ["0", "two", "-1", ""])
def test_what_is_no_scheduler_is_said_at_once(tmp_path: Path, tiny: Path, address: str):  # noqa: F811
    encoder = load_encoder(tiny)
    with pytest.raises(InputError, match="give tcp://HOST:PORT of a Dask scheduler"):
        extract(photographs(tmp_path, 1), encoder, FeatureBank.open(tmp_path, encoder), scheduler=address)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_or_has_no_workers_is_named(
    tmp_path: Path,
    tiny: Path,  # noqa: F811
    cluster,
    monkeypatch: pytest.MonkeyPatch,
):
    address, processes = cluster
    monkeypatch.setattr(module, "SHARD_IMAGES", 5)
    paths = photographs(tmp_path / "photos", 60)
    encoder = load_encoder(tiny)
    bank = FeatureBank.open(tmp_path, encoder)

    def kill_scheduler(state):
        if state.encoded >= 5 and processes[-1].poll() is None:
            processes[-1].kill()

    with pytest.raises(InputError, match=r"went away .* what was encoded is kept"):
        extract(paths, encoder, bank, batch_size=1, scheduler=address, progress=kill_scheduler)
    assert len(FeatureBank.open(tmp_path, encoder)) >= 5


@pytest.mark.slow
def test_a_scheduler_without_workers_is_named(
    tmp_path: Path,
    tiny: Path,  # noqa: F811
    cluster,
    monkeypatch: pytest.MonkeyPatch,
):
    address, processes = cluster
    for worker in processes[:-1]:
        worker.kill()
        worker.wait()
    monkeypatch.setattr(module, "WORKERS_WITHIN", 2.0)
    encoder = load_encoder(tiny)
    with pytest.raises(InputError, match="has had no worker for 2 s"):
        extract(photographs(tmp_path, 1), encoder, FeatureBank.open(tmp_path, encoder), scheduler=address)


def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path, tiny: Path):  # noqa: F811
    encoder = load_encoder(tiny)
    with pytest.raises(InputError, match="no Dask scheduler answers at 'tcp:"):
        extract(
            photographs(tmp_path, 1),
            encoder,
            FeatureBank.open(tmp_path, encoder),
            scheduler="tcp://127.0.0.1:9",
        )
