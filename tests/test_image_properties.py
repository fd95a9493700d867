"""Whatever bytes a file of an image has, it is read whole or refused by name."""

from __future__ import annotations

import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pillow_heif import register_heif_opener
from properties import examples
from test_dicom import write as write_dicom

from fewshot_flair.errors import FewshotFlairError
from fewshot_flair.images import decoding, read_image
from fewshot_flair.images.formats import FORMATS


@cache
def sound() -> list[bytes]:
    """One small file of each format that Pillow here can write, with EXIF where it takes it, and two DICOMs."""
    register_heif_opener()
    Image.init()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    kept = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        for kind in FORMATS:
            if kind.plugin in Image.SAVE:
                Image.fromarray(pixels).save(path, kind.plugin, exif=exif)
                kept.append(path.read_bytes())
        for deep in (pixels[..., 0].astype(np.uint16) * 16, pixels[..., 0]):
            for plugin in ("PNG", "TIFF"):
                Image.fromarray(deep).save(path, plugin, icc_profile=bytes(500))
                kept.append(path.read_bytes())
        dicom = write_dicom(path, pixels, "RGB").read_bytes()
    return [*kept, dicom, dicom[132:]]


@st.composite
def files(draw: Any) -> bytes:
    """A sound file with bytes changed, put in or taken away; most of them where its header is."""
    content = bytearray(draw(st.sampled_from(sound())))
    for _ in range(draw(st.integers(0, 4))):
        near = draw(st.sampled_from((64, 400, len(content))))
        place = draw(st.integers(0, max(0, min(near, len(content)) - 1)))
        change = draw(st.sampled_from(("set", "set", "number", "insert", "delete", "end")))
        if change == "set":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif change == "number":
            content[place : place + 4] = draw(
                st.sampled_from((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\x01\0\0"))
            )
        elif change == "insert":
            content[place:place] = draw(st.binary(max_size=20))
        elif change == "delete":
            del content[place : place + draw(st.integers(1, 20))]
        else:
            del content[place:]
    return bytes(content)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path without suffix, and a limit that keeps what a damaged header asks for small."""
    monkeypatch.setattr(decoding, "MAX_PIXELS", 10**6)
    return tmp_path / "eye"


def test_a_file_is_read_or_refused_by_name(place: Path) -> None:
    read = 0

    @examples()
    @given(files())
    def check(content: bytes) -> None:
        nonlocal read
        place.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                pixels = read_image(place)
            except FewshotFlairError as error:
                refused = str(error)
            else:
                read += 1
                refused = ""
                assert pixels.dtype == np.uint8
                assert pixels.shape[2:] == (3,)
        assert not refused or str(place) in refused

    check()
    assert read
