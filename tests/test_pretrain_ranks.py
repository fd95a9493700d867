"""Several processes: the gradients of one, checkpoints that all share, and a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from assemblies import lay_assembly, weights

from fewshot_flair.errors import InputError
from fewshot_flair.pretraining import Assembly, Ranks, assemble, pretrain_assembly

GRADIENTS = """
import sys
from pathlib import Path
import torch
from fewshot_flair.pretraining import Assembly, assemble, joined
from fewshot_flair.pretraining.captions import Captions
from fewshot_flair.pretraining.assembled import _Session
from fewshot_flair.pretraining.loading import Order, load_ahead
from fewshot_flair.pretraining.photographs import AssembledImages
from fewshot_flair.pretraining.start import begin
from fewshot_flair.images.preparation import ImagePreparation

assembly, out = Assembly.read(sys.argv[1]), sys.argv[2]
with joined("cpu") as ranks:
    photographs = ranks.from_first(lambda: assemble(assembly))
    captions = Captions(photographs.categories)
    order = Order(photographs.sets, [1.0, 1.5], photographs.relation, captions, assembly.recipe.batch_size, 0)
    texts = [text for own in captions.texts for text in own]
    session = _Session(assembly, begin(assembly, texts, Path(out)).network, ranks)
    images = AssembledImages(photographs, ImagePreparation(assembly.recipe.image_size))
    pixels = next(load_ahead(images, order, ranks, range(1), seed=0, camera=False, workers=0))
    assert len(pixels) == assembly.recipe.batch_size // ranks.world
    loss = session.loss(pixels, order.draw(0))
    loss.backward()
    found = {n: p.grad for n, p in session.network.named_parameters() if p.grad is not None}
    found |= {n: b for n, b in session.network.named_buffers()}
    if ranks.rank == 0:
        torch.save(found | {"loss": loss.detach()}, f"{out}/gradients-{ranks.world}.pt")
"""
"""Writes the gradients and batch statistics of the first step, by one process or by as many as torchrun starts."""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWSHOT_FLAIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    path = lay_assembly(tmp_path / "sets")
    path.write_text(path.read_text().replace("dropout = 0.1", "dropout = 0.0"))
    return path


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_the_same_batch(path, tmp_path):
    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    subprocess.run([sys.executable, str(script), str(path), str(tmp_path)], check=True)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*torchrun, str(script), str(path), str(tmp_path)], check=True)
    one, two = (torch.load(tmp_path / f"gradients-{n}.pt") for n in (1, 2))
    assert one.keys() == two.keys()
    assert sum(float(t.abs().sum()) > 0 for n, t in one.items() if "conv" in n or "query" in n) > 5
    for name, expected in one.items():
        difference = float((two[name].double() - expected.double()).abs().max())
        assert difference <= 1e-5 * max(1.0, float(expected.double().abs().max())), (name, difference)
        scale = float(expected.double().abs().max())
        assert difference <= 1e-3 * scale or scale < 1e-5, (name, difference, scale)


@pytest.mark.slow
def test_a_process_that_is_killed_is_started_again_and_all_go_on_from_the_checkpoint(path, tmp_path):
    path.write_text(path.read_text().replace("epochs = 2", "epochs = 20"))
    out = tmp_path / "model"
    options = "--out", str(out), "--device", "cpu", "--nproc", "2", "--restarts", "1", "--workers", "0"
    command = [
        sys.executable,
        "-m",
        "fewshot_flair.pretraining",
        str(path),
        *options,
        "--checkpoint-every",
        "1",
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last = out / "checkpoints" / "last.ckpt"
    while not last.exists() and running.poll() is None:
        time.sleep(0.05)
    started = psutil.Process(running.pid).children(recursive=True)
    ranks = [p for p in started if p.cmdline()[1:4] == ["-u", "-m", "fewshot_flair.pretraining"]]
    assert len(ranks) == 2
    os.kill(ranks[1].pid, signal.SIGKILL)
    try:
        said = running.communicate(timeout=300)[0]
    finally:
        for process in started:
            if process.is_running():
                process.kill()
    assert running.returncode == 0, said
    assert "going on after step" in said  # that is not said by a training that begins
    alone = tmp_path / "alone"
    pretrain_assembly(Assembly.read(path), assemble(Assembly.read(path)), alone, workers=0)
    one, two = weights(alone), weights(out)
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name], tensor, atol=5e-3, err_msg=name)


def test_a_batch_that_cannot_be_shared_out_is_said(path, tmp_path):
    assembly = Assembly.read(path)
    with pytest.raises(InputError, match="a batch of 8 cannot be shared out to 3 processes"):
        pretrain_assembly(assembly, assemble(assembly), tmp_path, ranks=Ranks(0, 3))
