"""The feature bank: what is put in comes out, whoever else writes, whatever is killed or flipped."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from fewshot_flair.bank import FeatureBank, FeatureSource, compaction, image_key
from fewshot_flair.bank import bank as bank_module
from fewshot_flair.bank.compaction import compact
from fewshot_flair.bank.shards import write_shard
from fewshot_flair.bank.verify import verify
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.files import new_file
from fewshot_flair.text.prototypes import TextPrototypes

SOURCE = FeatureSource("toy", {"weights": "abc", "preparation": {"size": 8}}, {"backbone": 6, "embedding": 3})


def rows(start: int, stop: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Keys, backbone and embedding that follow from the row's number alone."""
    keys = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, stop)]
    numbers = np.arange(start, stop, dtype=np.float32)[:, None]
    return keys, numbers * 10 + np.arange(6), -numbers * 10 - np.arange(3)


def same(bank: FeatureBank, start: int, stop: int) -> bool:
    keys, backbone, embedding = rows(start, stop)
    return bool(
        (bank.read(keys, "backbone") == backbone).all() and (bank.read(keys, "embedding") == embedding).all()
    )


def filled(folder: Path, n: int = 20, step: int = 3) -> FeatureBank:
    bank = FeatureBank.open(folder, SOURCE)
    for start in range(0, n, step):
        bank.append(*rows(start, min(start + step, n)))
    return bank


def test_rows_come_back_in_the_order_asked_for(tmp_path: Path):
    bank = filled(tmp_path)
    keys, backbone, _ = rows(0, 20)
    order = [7, 7, 0, 19, 3]
    read = bank.read([keys[i] for i in order], "backbone")
    assert read.dtype == np.float32
    assert (read == backbone[order]).all()
    assert bank.read([], "embedding").shape == (0, 3)
    assert len(bank) == 20
    assert keys[4] in bank
    more = rows(18, 25)[0]
    assert bank.missing([more[5], *more]) == [more[5], *more[2:5], more[6]]
    assert same(FeatureBank.open(bank.folder), 0, 20)


def test_images_are_known_by_their_bytes(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert image_key(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_is_not_there_or_does_not_fit_is_named(tmp_path: Path):
    bank = filled(tmp_path)
    keys, backbone, embedding = rows(20, 22)
    with pytest.raises(InputError, match="2 of 2 images are not in the bank"):
        bank.read(keys, "backbone")
    with pytest.raises(InputError, match="no 'tokens' features; it has backbone, embedding"):
        bank.read([], "tokens")
    with pytest.raises(InputError, match=r"shape \(2, 3\); \(2, 6\) is needed"):
        bank.append(keys, embedding, embedding)
    with pytest.raises(InputError, match="these rows have backbone"):
        bank.append(keys, backbone)
    backbone[1, 2] = np.nan
    with pytest.raises(InputError, match="backbone feature of row 1"):
        bank.append(keys, backbone, embedding)
    with pytest.raises(InputError, match="is not an image's key"):
        bank.read(["photo.jpg"], "backbone")
    assert len(bank) == 20


def test_another_fingerprint_is_another_bank_and_is_refused_in_this_one(tmp_path: Path):
    bank = filled(tmp_path)
    other = FeatureSource("toy", {"weights": "abc", "preparation": {"size": 9}}, SOURCE.feature_dims)
    assert len(FeatureBank.open(tmp_path, other)) == 0
    with pytest.raises(InputError, match=r"preparation\.size was 8 and is 9"):
        FeatureBank.open(bank.folder, other)
    with pytest.raises(MissingFileError, match="not a feature bank"):
        FeatureBank.open(tmp_path / "nothing")


def test_keys_that_begin_alike_are_kept_apart(tmp_path: Path):
    bank = FeatureBank.open(tmp_path, SOURCE)
    keys = np.zeros((5, 32), np.uint8)
    keys[:, 31] = [4, 2, 0, 3, 1]
    _, backbone, embedding = rows(0, 5)
    bank.append(keys[:4], backbone[:4], embedding[:4])
    assert (bank.read(keys[:4], "backbone") == backbone[:4]).all()
    assert bank.missing(keys) == [bytes(keys[4]).hex()]


def test_a_shard_is_plain_safetensors(tmp_path: Path):
    bank = filled(tmp_path, n=5, step=5)
    columns = load_file(bank.shards[0].path)
    keys, backbone, embedding = rows(0, 5)
    assert [bytes(key).hex() for key in columns["keys"]] == keys
    assert (columns["backbone"] == backbone).all()
    assert (columns["embedding"] == embedding).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=6), max_size=12), st.lists(st.booleans(), min_size=12))
def test_any_order_of_adding_and_joining_gives_the_same_rows(tmp_path_factory, batches, joins):
    bank = FeatureBank.open(tmp_path_factory.mktemp("bank"), SOURCE)
    all_keys, backbone, embedding = rows(0, 31)
    for batch, join in zip(batches, joins, strict=False):
        bank.append([all_keys[i] for i in batch], backbone[batch], embedding[batch])
        if join:
            compact(bank)
    there = sorted({i for batch in batches for i in batch})
    for view in (bank, FeatureBank.open(bank.folder)):
        assert len(view) == len(there)
        assert (view.read([all_keys[i] for i in there], "backbone") == backbone[there]).all()
        assert view.missing(all_keys) == [all_keys[i] for i in range(31) if i not in there]


def test_joining_leaves_one_row_a_key_and_open_readers_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bank = filled(tmp_path, n=20, step=2)
    reader = FeatureBank.open(bank.folder)
    bank.append(*rows(0, 20))
    compact(bank)
    assert [shard.n for shard in bank.shards] == [20]
    assert same(bank, 0, 20)
    assert same(reader, 0, 20)
    reader.refresh()
    assert same(reader, 0, 20)
    # Half-grown shards are joined once they make a whole one, and are not touched before.
    monkeypatch.setattr("fewshot_flair.bank.compaction.RECENT_ROWS", 10)
    monkeypatch.setattr("fewshot_flair.bank.compaction.SHARD_ROWS", 30)
    bank.append(*rows(20, 29))
    compact(bank)
    assert [shard.n for shard in bank.shards] == [20, 9]
    bank.append(*rows(29, 32))
    compact(bank)
    assert [shard.n for shard in bank.shards] == [32]
    assert same(bank, 0, 32)


def test_text_prototypes_are_kept_and_damaged_ones_are_absent(tmp_path: Path):
    bank = filled(tmp_path)
    text = TextPrototypes(["a", "b"], np.eye(2, 3), 4.6)
    assert bank.text("prompts") is None
    bank.store_text("prompts", text)
    assert (np.asarray(bank.text("prompts").prototypes) == np.eye(2, 3)).all()
    path = next((bank.folder / "text").iterdir())
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    assert bank.text("prompts") is None


def test_verify_finds_every_flipped_byte(tmp_path: Path):
    bank = filled(tmp_path, n=4, step=4)
    path = bank.shards[0].path
    sound = path.read_bytes()
    data = len(sound) - 4 * (32 + 8 + 9 * 4)
    for place in range(len(sound)):
        raw = bytearray(sound)
        raw[place] ^= 0x10
        path.write_bytes(raw)
        found = verify(FeatureBank.open(bank.folder))
        assert len(found) == 1, place
        if place < data:
            assert found[0].row is None
        else:
            # Columns follow each other: keys, checks, backbone, embedding.
            offset, row = place - data, None
            for width in (32, 8, 24, 12):
                if offset < 4 * width:
                    row = offset // width
                    break
                offset -= 4 * width
            assert found[0].row == row
        path.write_bytes(sound)
        path.with_suffix(".damaged").unlink(missing_ok=True)


def test_only_damaged_rows_are_missing_and_mending_them_makes_the_bank_whole(tmp_path: Path):
    bank = filled(tmp_path, n=12, step=12)
    keys, backbone, embedding = rows(0, 12)
    path = bank.shards[0].path
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1  # the last embedding's last byte
    raw[-12 * 9 * 4 + 5 * 24] ^= 1  # row 5 of the backbone
    path.write_bytes(raw)
    bank = FeatureBank.open(bank.folder)
    assert {damage.row: damage.key for damage in verify(bank)} == {5: keys[5], 11: keys[11]}
    assert bank.missing(keys) == [keys[5], keys[11]]
    bank.append([keys[5], keys[11]], backbone[[5, 11]], embedding[[5, 11]])
    assert same(bank, 0, 12)
    assert verify(bank) == []
    compact(bank)
    assert [shard.n for shard in bank.shards] == [12]
    assert verify(FeatureBank.open(bank.folder)) == []
    assert same(FeatureBank.open(bank.folder), 0, 12)


def test_a_shortened_shard_counts_as_absent(tmp_path: Path):
    bank = filled(tmp_path, n=6, step=3)
    path = sorted(shard.path for shard in bank.shards)[0]
    path.write_bytes(path.read_bytes()[:-1])
    bank = FeatureBank.open(bank.folder)
    assert len(bank) == 3
    assert [damage.row for damage in verify(bank)] == [None]
    assert verify(bank) == []
    bank.append(*rows(0, 3))
    assert same(bank, 0, 6)


def test_a_damaged_description_is_an_error_and_the_source_mends_it(tmp_path: Path):
    bank = filled(tmp_path)
    path = bank.folder / "bank.json"
    sound = path.read_bytes()
    for place in range(0, len(sound), 7):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
        with pytest.raises(InputError, match="damaged"):
            FeatureBank.open(bank.folder)
    assert same(FeatureBank.open(tmp_path, SOURCE), 0, 20)
    assert path.read_bytes() == sound


WRITER = """
import sys
from pathlib import Path
from test_bank import SOURCE, rows
from fewshot_flair.bank import FeatureBank
from fewshot_flair.bank import bank as bank_module
from fewshot_flair.bank.compaction import compact
from fewshot_flair.bank.shards import write_shard
from fewshot_flair.files import new_file
bank = FeatureBank.open(Path(sys.argv[1]), SOURCE)
first, last, step = map(int, sys.argv[2:5])
print("ready", flush=True)
for start in range(first, last, step):
    keys, backbone, embedding = rows(start, start + 2)
    if bank.missing(keys):
        bank.append(keys, backbone, embedding)
    if start % 20 == 0:
        compact(bank, at_least=8)
compact(bank)
"""


def writer(folder: Path, first: int, last: int, step: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(folder), str(first), str(last), str(step)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_writers_leave_whole_rows_and_nothing_else(tmp_path: Path):
    there = -1
    for moment in (0.02, 0.05, 0.11, 0.17, 0.26):
        process = writer(tmp_path, 0, 10**6, 2)
        while len(FeatureBank.open(tmp_path, SOURCE)) <= there:
            assert process.poll() is None
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        bank = FeatureBank.open(tmp_path, SOURCE)
        assert len(bank) > there
        there = len(bank)
        assert there % 2 == 0
        assert same(bank, 0, there)
    compact(bank)
    assert verify(bank) == []
    assert len(bank) == there
    assert not list((bank.folder / "shards").glob(".tmp-*"))


def test_two_processes_fill_one_bank(tmp_path: Path):
    processes = [writer(tmp_path, 0, 400, 2), writer(tmp_path, 398, -2, -2)]
    assert [process.wait() for process in processes] == [0, 0]
    bank = FeatureBank.open(tmp_path, SOURCE)
    compact(bank)
    assert len(bank) == 400
    assert same(bank, 0, 400)
    assert verify(bank) == []


def flip_last_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def test_a_row_joined_away_while_it_is_added_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bank, other = filled(tmp_path, n=6), FeatureBank.open(tmp_path, SOURCE)

    def write_and_be_overtaken(*args, **options):
        path = write_shard(*args, **options)
        compact(other)
        return path

    monkeypatch.setattr(bank_module, "write_shard", write_and_be_overtaken)
    bank.append(*rows(6, 9))
    assert same(bank, 0, 9)


def test_what_verify_condemned_stays_so_for_processes_that_had_opened_it_before(tmp_path: Path):
    bank = filled(tmp_path, n=6)
    late = FeatureBank.open(bank.folder)
    assert same(late, 0, 6)
    flip_last_byte(bank.shards[-1].path)
    (damage,) = verify(bank)
    compact(late)
    assert late.missing(rows(0, 6)[0]) == [damage.key]
    assert FeatureBank.open(bank.folder).missing(rows(0, 6)[0]) == [damage.key]
    assert len(late) == 5


def test_a_reader_learns_of_damage_when_it_looks_anew(tmp_path: Path):
    bank = filled(tmp_path, n=6)
    reader = FeatureBank.open(bank.folder)
    assert reader.missing(rows(0, 6)[0]) == []
    flip_last_byte(bank.shards[-1].path)
    (damage,) = verify(bank)
    reader.refresh()
    assert reader.missing(rows(0, 6)[0]) == [damage.key]


def test_a_reader_never_sees_condemned_rows_while_they_are_joined_away(tmp_path: Path, monkeypatch):
    bank = filled(tmp_path, n=6)
    reader = FeatureBank.open(bank.folder)
    flip_last_byte(bank.shards[-1].path)
    (damage,) = verify(bank)
    reader.refresh()
    listed = sorted((bank.folder / "shards").glob("*.safetensors"))
    compact(bank)
    monkeypatch.setattr(bank_module, "sorted", lambda _: listed, raising=False)  # listed just before
    with pytest.raises(FileNotFoundError):
        reader._list_shards()
    monkeypatch.delattr(bank_module, "sorted")
    reader.refresh()
    assert reader.missing(rows(0, 6)[0]) == [damage.key]


def test_another_fingerprint_s_description_is_not_taken_over(tmp_path: Path):
    other = FeatureSource("toy", {"weights": "other"}, SOURCE.feature_dims)
    bank, stranger = filled(tmp_path, n=3), FeatureBank.open(tmp_path, other)
    (bank.folder / "bank.json").write_bytes((stranger.folder / "bank.json").read_bytes())
    assert FeatureBank.open(tmp_path, SOURCE).source.fingerprint == SOURCE.fingerprint


def test_a_bank_is_not_taken_over_by_other_widths_of_its_fingerprint(tmp_path: Path):
    filled(tmp_path, n=6)
    narrow = FeatureSource(SOURCE.name, SOURCE.fingerprint, {"backbone": 6})
    with pytest.raises(
        InputError, match="holds backbone 6, embedding 3, and these are backbone 6 of the same"
    ):
        FeatureBank.open(tmp_path, narrow)
    renamed = FeatureSource("TOY", SOURCE.fingerprint, SOURCE.feature_dims)
    FeatureBank.open(tmp_path, renamed)
    assert same(FeatureBank.open(tmp_path, SOURCE), 0, 6)


def test_a_process_with_many_shards_open_waits_to_join_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bank = filled(tmp_path, n=12)
    held = compaction.bank_lock(bank)
    held.acquire()
    compact(bank)  # few are open: somebody else's verify or compaction is not waited for
    assert len(bank.shards) == 4
    monkeypatch.setattr(compaction, "MANY_SHARDS", 3)
    joining = threading.Thread(target=compact, args=(bank,))
    joining.start()
    joining.join(0.2)
    assert joining.is_alive()
    held.release()
    joining.join()
    assert len(bank.shards) == 1
    assert same(bank, 0, 12)


def test_other_files_in_a_bank_are_not_looked_at(tmp_path: Path):
    bank = filled(tmp_path, n=6)
    (bank.folder / "shards" / "copy.safetensors").write_bytes(b"?")
    (bank.folder / "shards" / "notes.txt").write_text("mine")
    assert same(FeatureBank.open(tmp_path, SOURCE), 0, 6)
    compact(bank)
    assert verify(bank) == []
    assert (bank.folder / "shards" / "copy.safetensors").exists()


def test_what_another_container_is_writing_is_left_alone(tmp_path: Path):
    bank = filled(tmp_path, n=6)
    host, dead = socket.gethostname(), subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    held, left = (bank.folder / "shards" / f".tmp-{host}-{dead.pid}-{name}" for name in ("aaaa", "bbbb"))
    left.write_bytes(b"half")
    with new_file(held.with_name("whole")) as file:
        (being_written,) = (bank.folder / "shards").glob(f".tmp-{host}-{os.getpid()}-*")
        being_written.rename(held)
        file.write(b"all of it")
        compact(bank)
        assert held.exists()
        assert not left.exists()
        held.rename(being_written)
    assert held.with_name("whole").read_bytes() == b"all of it"


def test_the_default_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEWSHOT_FLAIR_CACHE", str(tmp_path / "here"))
    bank = FeatureBank.open(None, SOURCE)
    assert bank.folder.parent == tmp_path / "here" / "banks"
