"""The extraction pipeline: each image once, whatever goes wrong or is killed, in whatever batches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fewshot_flair.bank import FeatureBank, extract, image_key
from fewshot_flair.bank import memo as memo_module
from fewshot_flair.bank.memo import KeyMemo, memo_file
from fewshot_flair.bank.verify import check_rows, verify
from fewshot_flair.cli import app
from fewshot_flair.data import BadRowsError, Manifest
from fewshot_flair.encoders import load_encoder
from fewshot_flair.encoders.base import Encoder
from fewshot_flair.encoders.config import BertConfig, FLAIRConfig, ResNetConfig
from fewshot_flair.encoders.flair_network import FLAIRNetwork, save_network
from fewshot_flair.errors import InputError

VOCABULARY = Path(__file__).parent / "data" / "tiny_vocab.txt"
MAIN = "from fewshot_flair.cli import main; main()"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small FLAIR with random weights, in a folder."""
    torch.manual_seed(0)
    vision = ResNetConfig("bottleneck", (1, 1), (16, 32))
    bert = BertConfig(
        vocab_size=len(VOCABULARY.read_text().splitlines()),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    network = FLAIRNetwork(FLAIRConfig(proj_dim=12, image_size=64, vision=vision), bert)
    return save_network(network, tmp_path_factory.mktemp("encoder") / "tiny", VOCABULARY)


@pytest.fixture
def encoder(tiny: Path) -> Encoder:
    return load_encoder(tiny)


def photographs(folder: Path, n: int, start: int = 0) -> list[Path]:
    """Bright discs on black, each of another colour and size."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:90, :130]
    paths = []
    for i in range(start, start + n):
        rng = np.random.default_rng(i)
        disc = (rows - 45) ** 2 + (columns - 65) ** 2 < rng.integers(20, 44) ** 2
        pixels = disc[..., None] * rng.integers(60, 255, 3) + rng.integers(0, 9, (90, 130, 3))
        paths.append(folder / f"{i:04}.png")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def rows_of(bank: FeatureBank) -> dict[bytes, bytes]:
    """All that is stored under each key."""
    keys = bank.keys()
    columns = [bank.read(keys, name) for name in sorted(bank.feature_dims)]
    return {bytes(key): b"".join(column[i].tobytes() for column in columns) for i, key in enumerate(keys)}


def test_features_are_those_of_the_encoder_and_are_made_once(tmp_path: Path, encoder: Encoder):
    paths = photographs(tmp_path / "photos", 11)
    bank = FeatureBank.open(tmp_path, encoder)
    done = extract(paths, encoder, bank, batch_size=4, workers=2)
    assert (done.encoded, done.cached) == (11, 0)
    assert list(done.keys) == [str(path) for path in paths]
    direct = encoder.encode_images(paths, batch_size=1)
    np.testing.assert_allclose(bank.read(list(done.keys.values()), "backbone"), direct.backbone, atol=1e-6)
    np.testing.assert_allclose(bank.read(list(done.keys.values()), "embedding"), direct.embedding, atol=1e-6)
    again = extract([*paths, *photographs(tmp_path / "photos", 2, 11)], encoder, bank)
    assert (again.encoded, again.cached) == (2, 11)
    assert len(bank) == 13
    assert len(bank.shards) == 1


def test_features_do_not_depend_on_batch_mates_or_order(tmp_path: Path, encoder: Encoder):
    paths = photographs(tmp_path / "photos", 9)
    banks = []
    for name, order in (("a", paths), ("b", paths[::-1]), ("c", paths[4:] + paths[:4])):
        bank = FeatureBank.open(tmp_path / name, encoder)
        extract(order, encoder, bank, batch_size=4)
        banks.append(rows_of(bank))
    assert banks[0] == banks[1] == banks[2]


def test_the_same_bytes_under_two_names_are_encoded_once(tmp_path: Path, encoder: Encoder):
    (path,) = photographs(tmp_path / "photos", 1)
    twin = path.with_name("twin.png")
    twin.write_bytes(path.read_bytes())
    bank = FeatureBank.open(tmp_path, encoder)
    done = extract([path, twin, path], encoder, bank)
    assert done.encoded == 1
    assert done.keys == {str(path): image_key(path), str(twin): image_key(path)}
    assert done.twins == [(str(path), str(twin))]


def test_broken_images_cost_nothing_but_themselves(tmp_path: Path, encoder: Encoder):
    paths = photographs(tmp_path / "photos", 6)
    for broken in (1, 4):
        raw = paths[broken].read_bytes()
        paths[broken].write_bytes(raw[: len(raw) // 2])
    table = tmp_path / "clinic.csv"
    table.write_text(
        "image,label\n" + "".join(f"photos/{path.name},{i % 2}\n" for i, path in enumerate(paths))
    )
    manifest = Manifest.read(table)
    bank = FeatureBank.open(tmp_path, encoder)
    with pytest.raises(BadRowsError) as caught:
        extract(manifest, encoder, bank, batch_size=2)
    assert [(row.row, row.image) for row in caught.value.rows] == [
        (3, "photos/0001.png"),
        (6, "photos/0004.png"),
    ]
    assert "truncated" in str(caught.value)
    assert len(bank) == 4
    done = extract(manifest, encoder, bank, skip_bad=True)
    assert (done.encoded, done.cached) == (0, 4)
    assert [row.row for row in done.skipped] == [3, 6]
    assert str(paths[1]) not in done.keys
    gone = tmp_path / "gone.png"
    assert extract([gone, paths[0]], encoder, bank, skip_bad=True).skipped[0].reason == "is not there"


def test_an_image_that_changed_is_encoded_again(tmp_path: Path, encoder: Encoder):
    paths = photographs(tmp_path / "photos", 2)
    bank = FeatureBank.open(tmp_path, encoder)
    first = extract(paths, encoder, bank)
    status = paths[0].stat()
    other = photographs(tmp_path / "other", 1, 7)[0].read_bytes()
    paths[0].write_bytes(other)
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    second = extract(paths, encoder, bank)
    assert second.encoded == 1
    assert second.keys[str(paths[0])] != first.keys[str(paths[0])]


def test_remembered_keys_are_those_of_the_bytes(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(b"first")
    old = time.time() - 100
    os.utime(path, (old, old))
    memo = KeyMemo(tmp_path / "paths.sqlite")
    assert memo.keys([str(path)]) == [(image_key(path), None)]
    path.write_bytes(b"other")
    os.utime(path, (old, old))
    assert memo.keys([str(path)]) == [(image_key(path), None)]
    key, error = memo.keys([str(tmp_path / "gone")])[0]
    assert key is None
    assert isinstance(error, FileNotFoundError)
    memo.close()
    (tmp_path / "paths.sqlite").write_bytes(b"this is no database" * 100)
    assert KeyMemo(tmp_path / "paths.sqlite").keys([str(path)]) == [(image_key(path), None)]


def test_a_damaged_row_is_encoded_anew_and_the_others_are_not(tmp_path: Path, encoder: Encoder):
    paths = photographs(tmp_path / "images", 5)
    bank = FeatureBank.open(tmp_path / "cache", encoder)
    keys = list(extract(paths, encoder, bank).keys.values())
    whole = bank.read(keys, "embedding")
    (shard,) = bank.shards
    raw = bytearray(shard.path.read_bytes())
    raw[-4 * 12] ^= 64  # the last embedding's first number
    shard.path.write_bytes(raw)
    again = FeatureBank.open(tmp_path / "cache", encoder)
    done = extract(paths, encoder, again)
    assert (done.encoded, done.cached, done.damaged) == (1, 4, 1)
    assert again.read(keys, "embedding") == pytest.approx(whole)
    assert verify(again) == []
    done = extract(paths, encoder, FeatureBank.open(tmp_path / "cache", encoder))
    assert (done.encoded, done.damaged) == (0, 0)


def test_damaged_rows_of_a_bank_that_cannot_be_marked_are_absent_all_the_same(
    tmp_path: Path, encoder: Encoder
):
    paths = photographs(tmp_path / "images", 4)
    bank = FeatureBank.open(tmp_path / "cache", encoder)
    keys = [key for path in paths for key in extract([path], encoder, bank).keys.values()]
    (bank.folder / "bank.lock").unlink(missing_ok=True)
    (bank.folder / "bank.lock").mkdir()  # nobody can take this lock
    for shard in bank.shards:
        sound = shard.path.read_bytes()
        shard.path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        again = FeatureBank.open(tmp_path / "cache", encoder)
        assert check_rows(again, keys) == 1
        assert len(again.missing(keys)) == 1
        assert check_rows(again, keys) == 0
        shard.path.write_bytes(sound)


def test_an_interrupted_call_keeps_what_is_done(tmp_path: Path, encoder: Encoder):
    paths = photographs(tmp_path / "photos", 20)
    bank = FeatureBank.open(tmp_path, encoder)

    def interrupt(state):
        if state.encoded == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(paths, encoder, bank, batch_size=4, progress=interrupt)
    assert len(FeatureBank.open(tmp_path, encoder)) == 8
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]
    assert extract(paths, encoder, bank, batch_size=4).encoded == 12


@pytest.mark.parametrize("workers", [1, 3])
def test_a_file_replaced_before_it_is_decoded_is_kept_under_its_own_bytes(
    tmp_path: Path, encoder: Encoder, workers: int
):
    paths = photographs(tmp_path / "photos", 12)
    others = photographs(tmp_path / "others", 2, 50)
    original = image_key(paths[-1])
    bank = FeatureBank.open(tmp_path, encoder)

    def replace(state):
        if state.encoded == 1:
            paths[-1].write_bytes(others[0].read_bytes())

    done = extract(paths, encoder, bank, batch_size=1, workers=workers, progress=replace)
    assert done.keys[str(paths[-1])] == image_key(others[0])
    assert original not in bank
    expected = encoder.encode_images(others[:1]).backbone
    np.testing.assert_allclose(bank.read([done.keys[str(paths[-1])]], "backbone"), expected, atol=1e-6)


def test_a_twin_of_a_file_that_was_replaced_is_encoded_too(tmp_path: Path, encoder: Encoder):
    paths = photographs(tmp_path / "photos", 8)
    twin = tmp_path / "photos" / "twin.png"
    twin.write_bytes(paths[-1].read_bytes())
    other = photographs(tmp_path / "others", 1, 50)[0]
    bank = FeatureBank.open(tmp_path, encoder)

    def replace(state):
        if state.encoded == 1:
            paths[-1].write_bytes(other.read_bytes())

    done = extract([*paths, twin], encoder, bank, batch_size=1, workers=1, progress=replace)
    assert bank.missing(list(done.keys.values())) == []
    assert done.keys[str(twin)] == image_key(twin)
    assert done.encoded == 9


def test_a_twin_is_not_refused_for_what_became_of_the_other_file(tmp_path: Path, encoder: Encoder):
    paths = photographs(tmp_path / "photos", 8)
    twin = tmp_path / "photos" / "twin.png"
    twin.write_bytes(paths[-1].read_bytes())
    bank = FeatureBank.open(tmp_path, encoder)

    def spoil(state):
        if state.encoded == 1:
            paths[-1].write_bytes(b"\x89PNG\r\n\x1a\nrubbish")

    done = extract([*paths, twin], encoder, bank, batch_size=1, workers=1, progress=spoil, skip_bad=True)
    assert [row.image for row in done.skipped] == [str(paths[-1])]
    assert bank.missing(list(done.keys.values())) == []
    assert str(twin) in done.keys


def test_features_that_are_not_finite_refuse_their_photograph_alone(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
):
    paths = photographs(tmp_path / "photos", 6)
    whole = type(encoder).encode_prepared
    third = encoder.prepare(paths[3])

    def overflow(self, batch):
        features = whole(self, batch)
        features.backbone[[(image == third).all() for image in batch]] = np.inf
        return features

    monkeypatch.setattr(type(encoder), "encode_prepared", overflow)
    bank = FeatureBank.open(tmp_path, encoder)
    done = extract(paths, encoder, bank, batch_size=4, skip_bad=True)
    assert [(row.image, row.reason) for row in done.skipped] == [
        (str(paths[3]), "gives features that are not finite numbers")
    ]
    assert len(bank) == done.encoded == 5


def test_a_broken_twin_is_refused_under_its_own_name(tmp_path: Path, encoder: Encoder):
    (path,) = photographs(tmp_path / "photos", 1)
    path.write_bytes(path.read_bytes()[:300])
    twin = path.with_name("twin.png")
    twin.write_bytes(path.read_bytes())
    done = extract([path, twin], encoder, FeatureBank.open(tmp_path, encoder), skip_bad=True)
    assert [(Path(row.image).name, row.reason.split(" is ")[0]) for row in done.skipped] == [
        ("0000.png", "cannot be read: 0000.png"),
        ("twin.png", "cannot be read: twin.png"),
    ]


def test_a_picture_of_one_colour_is_refused(tmp_path: Path, encoder: Encoder):
    (path,) = photographs(tmp_path / "photos", 1)
    black = path.with_name("black.png")
    Image.new("RGB", (130, 90)).save(black)
    Image.new("RGB", (1, 1), (200, 90, 40)).save(path.with_name("dot.png"))
    bank = FeatureBank.open(tmp_path, encoder)
    done = extract([path, black, path.with_name("dot.png")], encoder, bank, skip_bad=True)
    assert [row.reason for row in done.skipped] == [
        "cannot be read: black.png is of one colour all over; it shows nothing",
        "cannot be read: dot.png is of one colour all over; it shows nothing",
    ]
    assert done.encoded == 1


def test_file_names_need_not_be_text(tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memo_module, "_SETTLED_SECONDS", -1)
    folder = os.fsencode(tmp_path / "photos")
    (tmp_path / "photos").mkdir()
    (path,) = photographs(tmp_path / "plain", 1)
    latin = Path(os.fsdecode(folder + b"/M\xfcller.png"))
    latin.write_bytes(path.read_bytes())
    bank = FeatureBank.open(tmp_path, encoder)
    for encoded in (1, 0):
        done = extract([latin, Path("no\0such.png")], encoder, bank, skip_bad=True)
        assert done.encoded == encoded
        assert done.keys == {str(latin): image_key(path)}
        assert "null" in done.skipped[0].reason
    memo = KeyMemo(memo_file(bank.folder))
    assert memo.paths([image_key(path)]) == {image_key(path): str(latin)}


def test_processes_that_fill_one_bank_share_the_work(tmp_path: Path, tiny: Path, encoder: Encoder):
    photographs(tmp_path / "photos", 120)
    slow = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from fewshot_flair.encoders import load_encoder\n"
        "from fewshot_flair.bank import FeatureBank, extract\n"
        "encoder = load_encoder(sys.argv[1])\n"
        "kind, network = type(encoder), type(encoder).encode_prepared\n"
        "kind.encode_prepared = lambda self, batch: time.sleep(0.05) or network(self, batch)\n"
        "paths = sorted(Path(sys.argv[2]).glob('*.png'))\n"
        "print(extract(paths, encoder, FeatureBank.open(sys.argv[3], encoder), batch_size=1).encoded)\n"
    )
    command = [sys.executable, "-c", slow, str(tiny), str(tmp_path / "photos"), str(tmp_path / "bank")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    encoded = [int(process.communicate()[0]) for process in processes]
    assert len(FeatureBank.open(tmp_path / "bank", encoder)) == 120
    assert 120 <= sum(encoded) < 240, encoded


def test_a_bank_of_another_encoder_is_refused(tmp_path: Path, tiny: Path, encoder: Encoder):
    bank = FeatureBank.open(tmp_path, encoder)
    with pytest.raises(InputError, match='precision was "float32" and is "bfloat16"'):
        extract(photographs(tmp_path / "photos", 1), load_encoder(tiny, precision="bfloat16"), bank)


def test_verify_and_cache_mend_a_flipped_byte(tmp_path: Path, tiny: Path, encoder: Encoder):
    paths = photographs(tmp_path / "photos" / "x", 5)
    run = CliRunner()
    command = ["cache", str(tmp_path / "photos"), "--encoder", str(tiny), "--cache", str(tmp_path)]
    assert "5 encoded now" in run.invoke(app, command).output
    bank = FeatureBank.open(tmp_path, encoder)
    whole = rows_of(bank)
    raw = bytearray(bank.shards[0].path.read_bytes())
    raw[-3] ^= 64
    bank.shards[0].path.write_bytes(raw)
    assert [damage.key for damage in verify(bank)] == [bytes(bank.shards[0].column("keys")[4]).hex()]
    assert "1 encoded now" in run.invoke(app, command).output
    assert rows_of(FeatureBank.open(tmp_path, encoder)) == whole
    assert "0 encoded now" in run.invoke(app, command).output
    assert len(paths) == 5


@pytest.mark.slow
def test_killed_five_times_or_filled_by_two_the_bank_is_that_of_an_undisturbed_run(
    tmp_path: Path, tiny: Path, encoder: Encoder
):
    photographs(tmp_path / "photos" / "x", 100)
    data = str(tmp_path / "photos")
    command = [sys.executable, "-c", MAIN, "cache", data, "--encoder", str(tiny), "--batch-size", "2"]

    def start(cache: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*command, "--cache", str(tmp_path / cache)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    there = 0
    for more in (1, 4, 9, 16, 25):
        process = start("killed")
        while len(FeatureBank.open(tmp_path / "killed", encoder)) < there + more:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = len(FeatureBank.open(tmp_path / "killed", encoder))
        assert now >= there + more
        there = now
    assert there < 100
    output, _ = start("killed").communicate()
    assert f"{100 - there} encoded now" in output
    assert f"{there} in the bank already" in output
    pair = [start("pair"), start("pair")]
    assert [process.communicate()[0] is not None and process.returncode for process in pair] == [0, 0]
    output, _ = start("whole").communicate()
    assert "100 encoded now" in output
    killed, whole = (FeatureBank.open(tmp_path / name, encoder) for name in ("killed", "whole"))
    assert rows_of(killed) == rows_of(whole)
    assert rows_of(FeatureBank.open(tmp_path / "pair", encoder)) == rows_of(whole)
    assert verify(killed) == []
    assert not list((killed.folder / "shards").glob(".tmp-*"))


def test_fast_features_have_their_own_bank_and_are_near(tmp_path: Path, tiny: Path, encoder: Encoder):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:600, :900]
    disc = (rows - 300) ** 2 + (columns - 450) ** 2 < 270**2
    shade = np.repeat(np.repeat(rng.integers(60, 230, (20, 30, 3)), 30, axis=0), 30, axis=1)
    path = tmp_path / "large.jpg"
    Image.fromarray((disc[..., None] * shade).astype(np.uint8)).save(path, quality=92)
    fast = load_encoder(tiny, fast=True, precision="float32")
    assert fast.fingerprint_id != encoder.fingerprint_id
    with pytest.raises(InputError, match=r"preparation\.fast was false and is true"):
        FeatureBank.open(FeatureBank.open(tmp_path, encoder).folder, fast)
    exact, near = encoder.encode_images(path).backbone, fast.encode_images(path).backbone
    assert (exact * near).sum() / np.linalg.norm(exact) / np.linalg.norm(near) > 0.999
