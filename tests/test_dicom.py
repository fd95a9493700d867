"""DICOM photographs, written here by pydicom, read as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_flair.data import Manifest
from fewshot_flair.errors import InputError
from fewshot_flair.images.preparation import ImagePreparation, prepare, read_image

pydicom = pytest.importorskip("pydicom", reason="needs the extra 'dicom'")


def write(
    path: Path, pixels: np.ndarray, photometric: str, bits: int = 8, signed: int = 0, frames: int = 1
) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = Dataset()
    content.file_meta = meta
    content.SOPClassUID, content.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    shape = pixels.shape[1:] if frames > 1 else pixels.shape
    content.Rows, content.Columns = shape[:2]
    content.SamplesPerPixel = shape[2] if len(shape) == 3 else 1
    content.PhotometricInterpretation = photometric
    if content.SamplesPerPixel == 3:
        content.PlanarConfiguration = 0
    if frames > 1:
        content.NumberOfFrames = frames
    content.BitsAllocated = 8 * pixels.itemsize
    content.BitsStored, content.HighBit, content.PixelRepresentation = bits, bits - 1, signed
    content.PixelData = pixels.tobytes()
    content.save_as(path, enforce_file_format=True)
    return path


def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_colour_is_read_as_it_is(tmp_path: Path):
    path = write(tmp_path / "a.dcm", colours(), "RGB")
    assert (read_image(path) == colours()).all()
    assert prepare(path, ImagePreparation(image_size=32)).shape == (3, 32, 32)
    assert (read_image(path.rename(tmp_path / "no_suffix")) == colours()).all()


def test_first_of_several_frames(tmp_path: Path):
    frames = np.stack([colours(), 255 - colours()])
    assert (read_image(write(tmp_path / "a.dcm", frames, "RGB", frames=2)) == colours()).all()


def test_grey_of_many_bits_and_inverted(tmp_path: Path):
    grey = np.arange(0, 4096, dtype=np.uint16).reshape(64, 64)
    read = read_image(write(tmp_path / "a.dcm", grey, "MONOCHROME2", bits=12))
    assert (read == np.rint(grey / 4095 * 255).astype(np.uint8)[..., None]).all()
    inverted = read_image(write(tmp_path / "b.dcm", grey, "MONOCHROME1", bits=12))
    assert (inverted == 255 - read).all()
    signed = (grey.astype(np.int32) - 2048).astype(np.int16)
    assert (read_image(write(tmp_path / "c.dcm", signed, "MONOCHROME2", bits=12, signed=1)) == read).all()


def test_eight_bits_in_other_dresses(tmp_path: Path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (read_image(write(tmp_path / "a.dcm", 255 - grey, "MONOCHROME1"))[..., 0] == grey).all()
    signed = (grey.astype(np.int16) - 128).astype(np.int8)
    assert (read_image(write(tmp_path / "b.dcm", signed, "MONOCHROME2", signed=1))[..., 0] == grey).all()
    wide = read_image(write(tmp_path / "c.dcm", colours().astype(np.uint16) * 16, "RGB", bits=12))
    assert (wide == np.rint(colours() * (16 * 255 / 4095)).astype(np.uint8)).all()


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("entry", [np.uint8, np.uint16])
def test_a_palettes_colours_are_the_same_for_signed_and_unsigned_pixels(
    tmp_path: Path, signed: int, entry: type
):
    path = write(
        tmp_path / "a.dcm", np.arange(64, dtype=np.uint8).reshape(8, 8), "PALETTE COLOR", signed=signed
    )
    content = pydicom.dcmread(path)
    bits = 8 * np.dtype(entry).itemsize
    ramp = (np.arange(256) * (257 if entry is np.uint16 else 1)).astype(entry)
    for channel, table in enumerate((ramp, ramp, ramp[::-1]), start=1):
        content.add_new((0x0028, 0x1100 + channel), "US", [256, 0, bits])
        content.add_new((0x0028, 0x1200 + channel), "OW", table.tobytes())
    content.save_as(path)
    level = np.arange(64).reshape(8, 8)
    assert (read_image(path) == np.stack([level, level, 255 - level], axis=2)).all()


def test_reading_takes_little_more_memory_than_the_photograph(tmp_path: Path):
    import tracemalloc

    for name, kind, bits in (("a.dcm", np.uint8, 8), ("b.dcm", np.uint16, 12)):
        pixels = np.zeros((800, 1000, 3), dtype=kind)
        path = write(tmp_path / name, pixels, "RGB", bits=bits)
        read_image(path)
        tracemalloc.start()
        read_image(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # The file's bytes, the pixels (copied once more where pydicom masks unused bits) and the result.
        assert peak < 3 * pixels.nbytes + 2 * pixels.size


def test_what_holds_no_picture_is_refused_in_a_sentence(tmp_path: Path):
    path = write(tmp_path / "a.dcm", colours(), "RGB")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match=r"a\.dcm is DICOM without a picture that can be decoded"):
        read_image(path)
    (tmp_path / "b.dcm").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"b\.dcm is DICOM without"):
        read_image(tmp_path / "b.dcm")
    huge = write(tmp_path / "c.dcm", colours(), "RGB")
    content = pydicom.dcmread(huge)
    content.Rows, content.Columns = 60000, 60000
    content.save_as(huge)
    with pytest.raises(InputError, match=r"60000 × 60000 pixels, more than the [0-9]+ million"):
        read_image(huge)


def test_a_manifest_takes_them(tmp_path: Path):
    write(tmp_path / "a.dcm", colours(), "RGB")
    (tmp_path / "clinic.csv").write_text("image,label\na.dcm,x\n")
    assert len(Manifest.read(tmp_path / "clinic.csv")) == 1


@pytest.mark.parametrize("name", ["a.dcm", "no_suffix"])
@pytest.mark.parametrize(
    ("implicit", "little"), [(True, True), (False, True), (False, False)], ids=["implicit", "explicit", "big"]
)
def test_files_without_preamble_and_meta_header(tmp_path: Path, name: str, implicit: bool, little: bool):
    from pydicom.filebase import DicomFileLike
    from pydicom.filewriter import write_dataset

    content = pydicom.dcmread(write(tmp_path / "whole.dcm", colours(), "RGB"))
    elements = list(content)
    with DicomFileLike((tmp_path / name).open("wb")) as file:
        file.is_implicit_VR, file.is_little_endian = implicit, little
        write_dataset(file, pydicom.Dataset({element.tag: element for element in elements}))
    assert b"DICM" not in (tmp_path / name).read_bytes()
    assert (read_image(tmp_path / name) == colours()).all()


def test_a_meta_header_without_preamble(tmp_path: Path):
    path = write(tmp_path / "whole.dcm", colours(), "RGB")
    (tmp_path / "bare").write_bytes(path.read_bytes()[132:])
    assert (read_image(tmp_path / "bare") == colours()).all()
