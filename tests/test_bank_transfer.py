"""Banks merged, exported and imported; nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from properties import examples
from test_bank import SOURCE, filled, rows, same
from typer.testing import CliRunner

from fewshot_flair.bank import FeatureBank, FeatureSource
from fewshot_flair.bank.compare import compare
from fewshot_flair.bank.imports import IMPORTED_TEXT, import_features
from fewshot_flair.bank.transfer import export_bank, merge, new_bank
from fewshot_flair.cli.bank import app
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.text.prototypes import TextPrototypes


def flip_last(path: Path) -> None:
    """Flip a bit in the last byte of a file."""
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def test_merging_takes_what_is_lacking_and_nothing_damaged(tmp_path: Path):
    target, other = filled(tmp_path / "a", n=10), FeatureBank.open(tmp_path / "b", SOURCE)
    other.append(*rows(5, 25))
    other.store_text("prompts", TextPrototypes(["x"], np.ones((1, 3)), 1.0))
    flip_last(other.shards[0].path)  # the embedding of row 24
    assert merge(target, FeatureBank.open(other.folder)) == 14
    assert same(target, 0, 24)
    assert len(target) == 24
    assert target.text("prompts") is not None
    stranger = FeatureBank.open(tmp_path, FeatureSource("toy", {"weights": "other"}, SOURCE.feature_dims))
    with pytest.raises(InputError, match='weights was "abc" and is "other"'):
        merge(target, stranger)


def test_export_and_import_give_the_same_bank(tmp_path: Path):
    bank = filled(tmp_path / "a", n=20)
    assert export_bank(bank, tmp_path / "out.npz") == 20
    with np.load(tmp_path / "out.npz", allow_pickle=False) as stored:
        assert stored["backbone"].shape == (20, 6)
    found = import_features(tmp_path / "out.npz", tmp_path / "b")
    copy = found.bank
    assert copy.source.fingerprint_id == bank.source.fingerprint_id
    assert sorted(found.keys) == sorted(rows(0, 20)[0])
    assert same(copy, 0, 20)


def published(path: Path, parity: dict[str, np.ndarray], **changes: object) -> Path:
    arrays = {
        "feats_ds": parity["feats_train"],
        "refs_ds": parity["refs_train"],
        "initial_prototypes": parity["initial_prototypes"],
        "logit_scale": parity["logit_scale"],
        "samples_text": parity["samples_text"],
        "labels_text": parity["labels_text"],
    } | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_caches_of_the_papers_code(tmp_path: Path, parity: dict[str, np.ndarray]):
    found = import_features(published(tmp_path / "messidor.npz", parity), tmp_path)
    bank = found.bank
    assert bank.source.name == "imported-messidor"
    assert (bank.read(found.keys, "embedding") == parity["feats_train"]).all()
    assert (found.y == parity["refs_train"]).all()
    text = bank.text(IMPORTED_TEXT)
    assert (np.asarray(text.prototypes) == parity["initial_prototypes"]).all()
    assert (np.asarray(text.sample_classes) == parity["labels_text"]).all()
    assert found.labels.read_text().splitlines()[1] == f"{found.keys[0]},{parity['refs_train'][0]}"
    again = import_features(tmp_path / "messidor.npz", tmp_path)
    assert len(again.bank) == len(parity["feats_train"])


def test_without_text_they_are_backbone_features(tmp_path: Path, parity: dict[str, np.ndarray]):
    bare = published(tmp_path / "bare.npz", parity, initial_prototypes=None, logit_scale=None)
    bank = import_features(bare, tmp_path).bank
    assert dict(bank.feature_dims) == {"backbone": 64}
    assert bank.text(IMPORTED_TEXT) is None


ANY = st.one_of(
    st.sampled_from([1e7, 1e30, -1.0, np.inf, "name", True, 2**63, None]),
    npst.arrays(
        st.sampled_from(["f2", "f4", "f8", "i8", "u1", "c8", "U3", "?", "M8[s]"]),
        st.sampled_from([(), (0,), (1,), (4,), (4, 3), (0, 3), (4, 0), (2, 4), (2, 2, 2)]),
    ),
)
NAMES = [
    "feats_ds",
    "refs_ds",
    "initial_prototypes",
    "logit_scale",
    "samples_text",
    "labels_text",
    "keys",
    "source",
]


@examples()
@given(
    st.dictionaries(st.sampled_from(NAMES), ANY), st.none() | st.tuples(st.integers(0), st.integers(1, 255))
)
def test_any_file_is_read_or_refused(tmp_path_factory, changes: dict, flip_at: tuple[int, int] | None):
    folder = tmp_path_factory.mktemp("npz")
    sound = {"feats_ds": np.arange(12.0).reshape(4, 3), "refs_ds": np.array([0, 1, 1, 0])}
    np.savez_compressed(folder / "x.npz", **sound | changes, allow_pickle=True)
    raw = bytearray((folder / "x.npz").read_bytes())
    if flip_at is not None:
        raw[flip_at[0] % len(raw)] ^= flip_at[1]
        (folder / "x.npz").write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # prototypes that are the same
        try:
            found = import_features(folder / "x.npz", folder)
        except (InputError, MissingFileError):
            return
    features = found.bank.read(found.keys, found.kind)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert found.y is None or len(found.y) == len(features)
    assert found.n_classes <= 1000


def test_an_array_that_inflates_far_is_not_inflated(tmp_path: Path):
    np.savez_compressed(tmp_path / "bomb.npz", feats_ds=np.zeros((17_000_000, 1), np.float32))
    with pytest.raises(InputError, match=r"bomb\.npz: array 'feats_ds' inflates from"):
        import_features(tmp_path / "bomb.npz", tmp_path)


def test_the_scale_in_place_of_its_logarithm_is_refused(tmp_path: Path, parity: dict[str, np.ndarray]):
    for scale in (26.03, 14.29):
        with pytest.raises(InputError, match=rf"logit_scale is {scale}, which looks like the scale itself"):
            import_features(published(tmp_path / "scale.npz", parity, logit_scale=scale), tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": "ab"},
        {"classes": 2},
        {"prototypes": [["a", "b"], ["c", "d"]]},
        {"prototypes": [[1.0, 2.0], [3.0]]},
        {"prototypes": [[1e300, 0.0], [0.0, 1.0]]},
        {"logit_scale": "4.6"},
        {"logit_scale": [1.0, 2.0]},
        {"logit_scale": None},
        {"samples": np.eye(2), "sample_classes": [0.5, 1.0]},
        {"samples": np.eye(2), "sample_classes": [object(), 1]},
    ],
)
def test_prototypes_of_another_type_are_refused(wrong: dict[str, object]):
    with pytest.raises(InputError, match="text prototypes: "):
        TextPrototypes(**{"classes": ["a", "b"], "prototypes": np.eye(2), "logit_scale": 4.6} | wrong)


def test_prototypes_that_are_the_same_are_named_and_half_precision_is_widened():
    with pytest.warns(
        RuntimeWarning, match="'a' and 'c' have the same prototype: the text tower cannot tell"
    ):
        text = TextPrototypes(["a", "b", "c"], np.eye(2, dtype=np.float16)[[0, 1, 0]], np.float16(2))
    assert text.prototypes.dtype == np.float32


def test_damaged_files_of_prototypes_are_refused_or_read_as_they_were(tmp_path: Path):
    path = TextPrototypes(["a", "b"], np.eye(2, 3), 4.6).save(tmp_path / "text.safetensors")
    raw = path.read_bytes()
    for place in range(len(raw)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 0x11]) + raw[place + 1 :])
        with contextlib.suppress(InputError):
            assert TextPrototypes.load(path).prototypes.shape[0] == 2
    path.write_bytes(raw[:-1])
    with pytest.raises(InputError, match="damaged"):
        TextPrototypes.load(path)


class Evil:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_pickled_arrays_are_refused_unread(tmp_path: Path, parity, capsys: pytest.CaptureFixture[str]):
    path = published(tmp_path / "evil.npz", parity, logit_scale=np.array([Evil()], dtype=object))
    with pytest.raises(InputError, match=r"evil\.npz: array 'logit_scale' is pickled"):
        import_features(path, tmp_path)
    np.save(tmp_path / "evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    (tmp_path / "evil.npy").rename(tmp_path / "evil2.npz")
    with pytest.raises(InputError):
        import_features(tmp_path / "evil2.npz", tmp_path)
    assert capsys.readouterr().out == ""


def test_other_files_are_refused(tmp_path: Path, parity: dict[str, np.ndarray]):
    with pytest.raises(MissingFileError, match="no such file"):
        import_features(tmp_path / "no.npz")
    (tmp_path / "text.npz").write_text("not one")
    with pytest.raises(InputError):
        import_features(tmp_path / "text.npz")
    whole = published(tmp_path / "cut.npz", parity).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        import_features(tmp_path / "cut.npz")
    rng = np.random.default_rng(0)
    whole = tmp_path / "squeezed.npz"
    np.savez_compressed(whole, feats_ds=parity["feats_train"], refs_ds=parity["refs_train"])
    raw = whole.read_bytes()
    for place in rng.integers(0, len(raw), 40):
        damaged = bytearray(raw)
        damaged[place] ^= 0xFF
        (tmp_path / "flipped.npz").write_bytes(damaged)
        with contextlib.suppress(InputError):  # and nothing else
            import_features(tmp_path / "flipped.npz", tmp_path / "flipped")
    endless = parity["feats_train"].copy()
    endless[499, 2] = np.nan
    with pytest.raises(InputError, match=r"feats_ds\[499\] is not finite"):
        import_features(published(tmp_path / "nan.npz", parity, feats_ds=endless), tmp_path)
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(InputError, match="holds no features; a file of features has"):
        import_features(tmp_path / "other.npz")
    with pytest.raises(InputError, match="refs_ds has 3 labels for 500 rows"):
        import_features(published(tmp_path / "short.npz", parity, refs_ds=np.ones(3, int)))
    for wrong in (-1, 0.5, 5):
        labels = parity["refs_train"].astype(float)
        labels[7] = wrong
        with pytest.raises(InputError, match=rf"refs_ds\[7\] is {float(wrong)}; .* from 0 to 4"):
            import_features(published(tmp_path / "labels.npz", parity, refs_ds=labels))
    export_bank(filled(tmp_path / "a", n=3), tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as stored:
        arrays = dict(stored)
    np.savez(tmp_path / "out.npz", **arrays | {"backbone": arrays["backbone"][:2]})
    with pytest.raises(InputError, match="export the bank again"):
        import_features(tmp_path / "out.npz", tmp_path)


def test_the_commands(tmp_path: Path):
    run = CliRunner()
    bank = filled(tmp_path, n=10)
    merged = tmp_path / "merged"
    shown = run.invoke(app, ["merge", str(merged), str(bank.folder)])
    assert shown.exit_code == 0, shown.output
    assert same(new_bank(merged, bank.folder), 0, 10)
    assert "10" in run.invoke(app, ["info", str(merged)]).output
    assert run.invoke(app, ["verify", "--cache", str(tmp_path)]).exit_code == 0
    flip_last(bank.shards[0].path)
    broken = run.invoke(app, ["verify", str(bank.folder)])
    assert broken.exit_code == 1
    assert "1 damaged" in broken.output
    out = tmp_path / "out.npz"
    assert run.invoke(app, ["export", str(merged), str(out)]).exit_code == 0
    assert run.invoke(app, ["import", str(out), "--cache", str(tmp_path / "other")]).exit_code == 0
    assert same(FeatureBank.open(tmp_path / "other", SOURCE), 0, 10)


def test_comparing_banks_of_the_same_images(tmp_path: Path):
    bank = FeatureBank.open(tmp_path, SOURCE)
    other = FeatureBank.open(tmp_path, FeatureSource("other", {"weights": "other"}, SOURCE.feature_dims))
    keys = rows(0, 3)[0]
    bank.append(keys[:2], np.eye(2, 6), np.eye(2, 3))
    with pytest.raises(InputError, match="no images in common"):
        compare(bank, other)
    other.append(keys, 3 * np.eye(3, 6), np.eye(3)[[0, 2, 1]])
    found = compare(bank, other)
    assert found["backbone"].tolist() == [1.0, 1.0]
    assert sorted(found["embedding"]) == [0.0, 1.0]
    shown = CliRunner().invoke(app, ["compare", str(bank.folder), str(other.folder)]).output
    assert "embedding: cosine min 0.000000, median 0.500000 over 2 images" in shown
