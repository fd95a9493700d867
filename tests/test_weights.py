"""Weights in several files, and files that are damaged or ask for more than they hold."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_layouts import write_biomedclip, write_clip, write_retfound
from safetensors.torch import save_file

from fewshot_flair.encoders import load_encoder
from fewshot_flair.encoders.config import BertConfig, FLAIRConfig
from fewshot_flair.encoders.tokenizer import WordPieces
from fewshot_flair.errors import FewshotFlairError, InputError, MissingFileError

NAME = "open_clip_model"
INDEX = f"{NAME}.safetensors.index.json"
EYE = np.zeros((8, 8, 3), np.uint8)


def shard(number: int) -> str:
    return f"{NAME}-{number:05}-of-00002.safetensors"


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A small BiomedCLIP in two files and their index, and in one file in the folder `whole`."""
    folder = tmp_path / "sharded"
    for place in (tmp_path / "whole", folder):
        state = write_biomedclip(place)
        (place / "open_clip_pytorch_model.bin").unlink()
    save_file(state, tmp_path / "whole" / f"{NAME}.safetensors")
    names = sorted(state)
    places = {name: shard(1 + (i % 2)) for i, name in enumerate(names)}
    for file in set(places.values()):
        save_file({n: state[n] for n in names if places[n] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    return folder


def test_weights_in_several_files_are_those_in_one(sharded: Path, images: list[np.ndarray]) -> None:
    whole = load_encoder(f"biomedclip:{sharded.parent / 'whole'}")
    for source in (sharded, sharded / shard(2), sharded / INDEX):
        encoder = load_encoder(f"biomedclip:{source}")
        assert encoder.logit_scale == whole.logit_scale
        np.testing.assert_array_equal(
            encoder.encode_images(images).embedding, whole.encode_images(images).embedding
        )
        np.testing.assert_array_equal(encoder.encode_texts(["eye"]), whole.encode_texts(["eye"]))
    before = encoder.fingerprint_id
    part = sharded / shard(1)
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    assert load_encoder(f"biomedclip:{sharded}").fingerprint_id != before


@pytest.mark.parametrize(
    "place", ["../whole/open_clip_model.safetensors", "/etc/passwd", "a/b.bin", ".bin", 3]
)
def test_an_index_names_only_files_beside_it(sharded: Path, place: Any) -> None:
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"]["logit_scale"] = place
    (sharded / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"puts logit_scale into .*, which is no weights file beside it"):
        load_encoder(f"biomedclip:{sharded}").encode_images(EYE)


def test_an_index_and_its_files_must_agree(sharded: Path) -> None:
    written = (sharded / INDEX).read_text()
    index = json.loads(written)
    moved = index["weight_map"]["logit_scale"]
    index["weight_map"]["logit_scale"] = shard(1) if moved == shard(2) else shard(2)
    (sharded / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"disagree about .*logit_scale"):
        load_encoder(f"biomedclip:{sharded}").encode_images(EYE)
    (sharded / INDEX).write_text(written.replace("{", '{"logit_scale": "", "logit_scale": "",', 1))
    with pytest.raises(InputError, match="'logit_scale' is there twice"):
        load_encoder(f"biomedclip:{sharded}").encode_images(EYE)
    (sharded / INDEX).write_text(written)
    (sharded / shard(2)).unlink()
    with pytest.raises(MissingFileError, match=f"names 2 files, of which {shard(2)} is not beside it"):
        load_encoder(f"biomedclip:{sharded}").encode_images(EYE)
    (sharded / INDEX).unlink()
    with pytest.raises(MissingFileError, match=f"{INDEX}, which says what is in each, is not beside it"):
        load_encoder(f"biomedclip:{sharded / shard(1)}")


def test_a_pickle_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "RETFound_cfp_weights.pth"
    state = write_retfound(path)
    state["pos_embed"] = torch.zeros(1).expand(1, 2**40, 128)
    torch.save({"model": state}, path)
    with pytest.raises(InputError, match=r"pos_embed.* claim more numbers than the file holds"):
        load_encoder(f"retfound:{tmp_path}").encode_images(EYE)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**20))
    with pytest.raises(InputError, match="is a compressed archive"):
        load_encoder(f"retfound:{tmp_path}").encode_images(EYE)


def test_damaged_files_are_refused_in_our_own_words(sharded: Path, tmp_path: Path) -> None:
    """Bytes at random places of every file; what still loads is no fault, a foreign exception is."""
    pytest.importorskip("transformers")
    (tmp_path / "r").mkdir()
    write_retfound(tmp_path / "r" / "RETFound_cfp_weights.pth")
    rng = np.random.default_rng(0)
    said = []
    whole = sharded.parent / "whole"
    write_clip(tmp_path / "c")
    for name, folder in (
        ("biomedclip", sharded), ("biomedclip", whole), ("retfound", tmp_path / "r"), ("clip-vit-b32", tmp_path / "c")
    ):  # fmt: skip
        for path in sorted(folder.iterdir()):
            sound = path.read_bytes()
            for _ in range(3):
                damaged = bytearray(sound)
                # Where headers and indices lie: at the beginning and the end.
                near = int(rng.integers(min(len(sound), 400)))
                damaged[near if rng.random() < 0.5 else len(sound) - 1 - near] ^= int(rng.integers(1, 256))
                path.write_bytes(damaged[: int(rng.integers(len(sound)))] if rng.random() < 0.2 else damaged)
                try:
                    encoder = load_encoder(f"{name}:{folder}")
                    encoder.encode_images(EYE)
                    if encoder.has_text:
                        encoder.encode_texts(["eye"])
                except FewshotFlairError as error:
                    said.append((str(error), folder))
            path.write_bytes(sound)
    assert len(said) > 10
    assert all(str(folder) in sentence for sentence, folder in said)


@pytest.mark.parametrize(
    "setting",
    [
        {"vocab_size": 10**12},
        {"num_hidden_layers": 10**5},
        {"hidden_size": "768"},
        {"hidden_size": True},
        {"num_attention_heads": 0},
        {"layer_norm_eps": float("nan")},
    ],
)
def test_a_text_tower_of_no_possible_size_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        BertConfig(**setting)


@pytest.mark.parametrize(
    ("vision", "said"),
    [
        ({"depths": [10**9] * 4}, "depths"),
        ({"depths": [99] * 4}, "396 blocks"),
        ({"widths": 64}, "widths"),
        ({"depths": [1, 2, "3", 4]}, "depths"),
    ],
)
def test_a_vision_tower_of_no_possible_size_is_refused(vision: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        FLAIRConfig.from_dict({"vision": vision})


def test_a_vocabulary_must_fit_the_text_tower(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "eye"]))
    assert WordPieces(path, n_vectors=5)(["eye"])[0].tolist() == [[2, 4, 3]]
    with pytest.raises(InputError, match="more pieces than the text tower has word vectors, 4"):
        WordPieces(path, n_vectors=4)
    path.write_bytes(b"\xff\xfe[PAD]")
    with pytest.raises(InputError, match="cannot be read as text"):
        WordPieces(path)


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (["青光眼", "白内障"], "unknown words"),
        (["lesion " * 120 + "mild", "lesion " * 120 + "severe"], "cut off at 77 tokens"),
        ({"mild": ["an eye"], "severe": ["an eye"]}, "the texts are the same"),
        (["red-eye", "red - eye"], "it does not read what differs between them"),
    ],
)
def test_classes_that_the_text_tower_cannot_tell_apart_are_named(classes: Any, reason: str) -> None:
    encoder = load_encoder("mini")
    both = " and ".join(map(repr, classes))
    with pytest.warns(RuntimeWarning, match=rf"cannot tell {both} apart: .*\({reason}\)") as caught:
        encoder.prototypes(classes, knowledge=False)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.prototypes(["healthy", "diabetic retinopathy"])
