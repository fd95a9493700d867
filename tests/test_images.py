"""Photographs: decoding of every awkward kind, the foreground, and the canvas."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.filters import threshold_li
from skimage.measure import label, regionprops

from fewshot_flair.data.checks import image_problem
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.images import decoding
from fewshot_flair.images.foreground import crop_foreground, foreground_box, li_threshold
from fewshot_flair.images.formats import FORMATS
from fewshot_flair.images.preparation import ImagePreparation, prepare, read_image

DATA = Path(__file__).parent / "data"


def eye(height: int = 60, width: int = 90, radius: int = 25) -> np.ndarray:
    """A disc of textured red on black."""
    rng = np.random.default_rng(3)
    y, x = np.ogrid[:height, :width]
    inside = (y - height // 2) ** 2 + (x - width // 2) ** 2 <= radius**2
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[inside] = rng.integers([120, 40, 10], [230, 110, 60], (int(inside.sum()), 3))
    rgb[~inside] = rng.integers(0, 6, (int((~inside).sum()), 3))
    return rgb


def test_pixels_agree_with_the_release(dr_clinic: Path) -> None:
    with np.load(DATA / "flair_parity.npz", allow_pickle=False) as parity:
        names, means, patches = parity["images"], parity["pixels_mean"], parity["pixels_patch"]
    for name, mean, patch in zip(names, means, patches, strict=True):
        pixels = prepare(dr_clinic / "images" / f"{name}.jpg", ImagePreparation())
        assert pixels.shape == (3, 512, 512)
        assert pixels.dtype == np.float32
        np.testing.assert_allclose(pixels.mean(axis=(1, 2)), mean, atol=1e-5)
        np.testing.assert_allclose(pixels[:, 200:216, 200:216], patch, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_li_threshold_on_a_histogram_equals_scikit_images_on_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = (
        np.concatenate([rng.normal(20, 6, 3000), rng.normal(110, 30, 2000)]).clip(3, 255).astype(np.uint8)
    )
    threshold = li_threshold(np.bincount(pixels, minlength=256))
    assert threshold == pytest.approx(threshold_li(pixels.reshape(50, 100)), abs=1e-9)


def test_the_largest_component_is_kept() -> None:
    rgb = eye()
    rgb[2:6, 2:6] = 200
    expected = max(regionprops(label(rgb[..., 0] > threshold_li(rgb[..., 0]))), key=lambda r: r.area).bbox
    assert foreground_box(rgb) == expected == (5, 20, 56, 71)
    assert crop_foreground(rgb).shape == (51, 51, 3)


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_photograph_of_one_colour_is_kept_whole(level: int) -> None:
    plain = np.full((30, 40, 3), level, np.uint8)
    assert foreground_box(plain) == (0, 0, 30, 40)
    pixels = prepare(plain, ImagePreparation(image_size=32))
    assert pixels[:, :24].max() == pytest.approx(level / 255)


def test_a_square_is_resized_and_an_oblong_padded_at_right_and_bottom() -> None:
    preparation = ImagePreparation(image_size=64, crop=False)
    full = np.full((100, 100, 3), 255, np.uint8)
    assert prepare(full, preparation).min() == 1
    wide = prepare(full[:50], preparation)
    assert wide[:, :32].min() == 1
    assert wide[:, 32:].max() == 0
    tall = prepare(full[:, :50], preparation)
    assert tall[:, :, :32].min() == 1
    assert tall[:, :, 32:].max() == 0


def test_a_sliver_keeps_at_least_one_row() -> None:
    pixels = prepare(np.full((1, 400, 3), 255, np.uint8), ImagePreparation(image_size=32, crop=False))
    assert pixels[:, 0].min() == 1
    assert pixels[:, 1:].max() == 0


def test_a_centre_crop_keeps_the_middle_and_normalises() -> None:
    rgb = np.zeros((40, 80, 3), np.uint8)
    rgb[:, 20:60] = 255
    preparation = ImagePreparation(
        image_size=40, crop=False, canvas="center-crop", mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5)
    )
    pixels = prepare(rgb, preparation)
    assert pixels.shape == (3, 40, 40)
    np.testing.assert_allclose(pixels[:, 20, 20], [1, 2, 1])


@pytest.mark.parametrize(
    "fault",
    [{"image_size": 0}, {"canvas": "shrink"}, {"interpolation": "cubic"}],
    ids=lambda f: next(iter(f)),
)
def test_a_preparation_refuses_settings_that_do_not_exist(fault: dict) -> None:
    with pytest.raises(InputError, match=next(iter(fault))):
        ImagePreparation(**fault)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    rgb = eye()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(rgb, -1))


def test_grey_sixteen_bit_and_palette_become_rgb(tmp_path: Path) -> None:
    grey = eye()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.tif")
    for name in ("grey.png", "deep.png", "deep.tif"):
        rgb = read_image(tmp_path / name)
        assert rgb.dtype == np.uint8
        np.testing.assert_array_equal(rgb, np.stack([grey] * 3, axis=2))


def tiff(path: Path, pixels: np.ndarray, photometric: int, sample: int = 1) -> Path:
    """Write a grey TIFF as Pillow does not: with this photometric tag and sample format."""
    height, width = pixels.shape
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 8 * pixels.itemsize), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8 + 2 + 12 * 9 + 4), (278, 4, height), (279, 4, pixels.nbytes), (339, 3, sample),
    ]  # fmt: skip
    entries = b"".join(
        tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little")
        + value.to_bytes(4, "little")
        for tag, kind, value in tags
    )  # fmt: skip
    path.write_bytes(
        b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + entries + bytes(4) + pixels.tobytes()
    )
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiffs_whose_white_is_zero_are_inverted(tmp_path: Path, kind: type) -> None:
    grey = eye()[..., 0]
    pixels = grey.astype(kind) * (257 if kind is np.uint16 else 1)
    np.testing.assert_array_equal(read_image(tiff(tmp_path / "black.tif", pixels, 1))[..., 0], grey)
    np.testing.assert_array_equal(read_image(tiff(tmp_path / "white.tif", pixels, 0))[..., 0], 255 - grey)
    with Image.open(tmp_path / "white.tif") as opened:
        np.testing.assert_array_equal(read_image(opened)[..., 0], 255 - grey)


@pytest.mark.parametrize(("kind", "sample"), [(np.int16, 2), (np.int32, 2), (np.uint32, 1)])
def test_signed_and_32_bit_pixels_are_refused(tmp_path: Path, kind: type, sample: int) -> None:
    path = tiff(tmp_path / "wide.tif", eye()[..., 0].astype(kind), 1, sample)
    with pytest.raises(InputError, match=r"wide\.tif holds signed or 32-bit pixels, whose range is unknown"):
        read_image(path)
    with pytest.raises(InputError, match="image holds signed or 32-bit pixels"):
        read_image(Image.fromarray(eye()[..., 0].astype(np.int32)))


def test_sixteen_bit_pgm_is_read(tmp_path: Path) -> None:
    grey = eye()[..., 0]
    header = f"P5 {grey.shape[1]} {grey.shape[0]} 65535\n".encode()
    (tmp_path / "deep.pgm").write_bytes(header + (grey.astype(">u2") * 257).tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "deep.pgm")[..., 0], grey)


def test_cmyk_is_converted(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 0, 0)).convert("CMYK").save(tmp_path / "print.jpg", quality=100)
    rgb = read_image(tmp_path / "print.jpg")
    assert rgb.shape == (8, 8, 3)
    assert rgb[0, 0, 0] > 250
    assert rgb[0, 0, 1:].max() < 5


def test_transparent_pixels_lie_on_black(tmp_path: Path) -> None:
    rgba = np.full((4, 4, 4), 200, np.uint8)
    rgba[..., 3] = [[255, 0, 128, 255]]
    Image.fromarray(rgba).save(tmp_path / "glass.png")
    np.testing.assert_array_equal(read_image(tmp_path / "glass.png")[0, :, 0], [200, 0, 100, 200])


def test_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "film.gif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"half.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"half\.{suffix} is truncated or damaged"):
        read_image(path)


def test_damage_that_decoders_tell_in_other_ways_is_refused_alike(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "half.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "half.jpg").read_bytes()[:2000])
    with (
        Image.open(tmp_path / "half.jpg") as opened,
        pytest.raises(InputError, match="image is truncated or damaged"),
    ):
        read_image(opened)
    if "AVIF" in Image.SAVE:
        Image.fromarray(noise).save(tmp_path / "bad.avif")
        raw = (tmp_path / "bad.avif").read_bytes()
        head = raw[: raw.index(b"mdat") + 4]
        (tmp_path / "bad.avif").write_bytes(head + bytes(len(raw) - len(head)))
        with pytest.raises(InputError, match=r"bad\.avif is truncated or damaged"):
            read_image(tmp_path / "bad.avif")


def test_a_strip_is_reduced_to_a_row_at_least(tmp_path: Path) -> None:
    Image.fromarray(np.full((7, 9000, 3), 100, np.uint8)).save(tmp_path / "strip.jpg")
    rgb = read_image(tmp_path / "strip.jpg", reduce=8)
    assert rgb.shape[0] >= 1
    assert rgb.mean() == pytest.approx(100, abs=1)


def test_threads_that_decode_leave_the_warning_filters_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{i}.{suffix}" for i in range(4) for suffix in ("jpg", "png", "bmp")]
    for path in paths:
        Image.fromarray(eye()).save(path)
    # Fewer than these have: ``Image.open`` would warn, and they are read all the same.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            shapes = {rgb.shape for rgb in pool.map(read_image, paths * 20)}
        assert warnings.filters == before
    assert shapes == {(60, 90, 3)}


def saved(folder: Path) -> dict[str, list[Path]]:
    """A file of each format that Pillow here can write, by format."""
    files: dict[str, list[Path]] = {}
    for kind in FORMATS:
        for suffix in kind.suffixes if kind.plugin in Image.SAVE else ():
            mode = {".pbm": "1", ".pgm": "L"}.get(suffix, "RGB")
            path = folder / f"eye{suffix}"
            Image.fromarray(eye()).convert(mode).save(path, kind.plugin)
            files.setdefault(kind.name, []).append(path)
    return files


def test_what_a_manifest_takes_is_what_is_read(tmp_path: Path) -> None:
    Image.init()
    files = saved(tmp_path)
    assert {"JPEG", "PNG", "TIFF", "BMP", "GIF", "PNM"} <= set(files)
    for path in (path for paths in files.values() for path in paths):
        assert image_problem(path) is None
        assert read_image(path).shape == (60, 90, 3)
    (tmp_path / "plain.pbm").write_text("P1\n2 1\n1 0\n")
    assert image_problem(tmp_path / "plain.pbm") is None
    assert read_image(tmp_path / "plain.pbm")[0, :, 0].tolist() == [0, 255]
    for suffix in ("tga", "pcx", "ico"):
        path = tmp_path / f"toy.{suffix}"
        Image.fromarray(eye()).save(path)
        assert image_problem(path) is not None
        with pytest.raises(InputError, match=rf"toy\.{suffix} is not an image that can be read \(JPEG, PNG"):
            read_image(path)


def test_a_decompression_bomb_is_refused_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 10_000)
    Image.new("L", (300, 200)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"bomb\.png has 300 × 200 pixels"):
        read_image(tmp_path / "bomb.png")


def test_files_that_are_no_images_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no image")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    for name, said in [
        ("empty.jpg", "0 bytes"),
        ("text.jpg", "not an image"),
        ("float.tif", "floating-point"),
    ]:
        with pytest.raises(InputError, match=f"{name}.*{said}"):
            read_image(tmp_path / name)
    with pytest.raises(MissingFileError, match=r"no image .*gone\.jpg"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def test_arrays_and_pil_images_read_like_files(tmp_path: Path) -> None:
    rgb = eye()
    Image.fromarray(rgb).save(tmp_path / "eye.png")
    for image in (rgb, Image.fromarray(rgb), str(tmp_path / "eye.png"), (rgb.astype(np.uint16) * 257)):
        np.testing.assert_array_equal(read_image(image), rgb)
    assert read_image(rgb[..., 0]).shape == rgb.shape


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8), 3]
)
def test_what_is_no_image_is_refused(bad: object) -> None:
    with pytest.raises(InputError, match="image: a"):
        read_image(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("shape", [(3000, 1), (2, 2001), (3, 4000)])
def test_of_a_strip_no_more_is_resized_than_is_kept(shape: tuple[int, int], rounded: bool) -> None:
    import tracemalloc

    strip = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    preparation = ImagePreparation(96, canvas="center-crop", resize=112, crop=False, round_pixels=rounded)
    longest = 112 * max(shape) // min(shape)
    size = (longest, 112) if shape[1] > shape[0] else (112, longest)
    left, top = ((side - 96) // 2 for side in size)
    whole = np.asarray(Image.fromarray(strip).resize(size, Image.Resampling.BILINEAR))
    tracemalloc.start()
    pixels = prepare(strip, preparation) * 255
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6
    np.testing.assert_allclose(pixels.transpose(1, 2, 0), whole[top : top + 96, left : left + 96], atol=1.01)


def test_a_preparation_of_a_canvas_that_no_memory_holds_is_refused() -> None:
    for sizes in ({"image_size": 10**9}, {"image_size": 224, "resize": 10**9}):
        with pytest.raises(InputError, match="up to 4096 pixels"):
            ImagePreparation(**sizes)


def turned(pixels: np.ndarray) -> np.ndarray:
    """What orientation 6 shows."""
    return np.rot90(pixels, -1)


@pytest.mark.parametrize("sixteen", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_16_bit_colour_tiffs(tmp_path: Path, planar: str, order: str, sixteen: bool) -> None:
    tifffile = pytest.importorskip("tifffile")
    levels = eye().astype(np.uint16) * 257 if sixteen else eye().astype(np.uint16) * 16
    stored = np.moveaxis(levels, 2, 0) if planar == "separate" else levels
    extra = [(274, "H", 1, 6, True)]
    for compression in (None, "zlib"):
        tifffile.imwrite(
            tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, byteorder=order,
            compression=compression, extratags=extra, rowsperstrip=7,
        )  # fmt: skip
        if planar == "separate" and not sixteen:
            with pytest.raises(InputError, match=r"a\.tif holds 12-bit levels in 16-bit planes"):
                read_image(tmp_path / "a.tif")
            continue
        expected = eye() if sixteen else np.rint(levels * (255 / 4095))
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), turned(expected))


@pytest.mark.parametrize("factor", [1, 257])
def test_a_grey_tiff_is_turned(tmp_path: Path, factor: int) -> None:
    tifffile = pytest.importorskip("tifffile")
    grey = eye()[..., 0].astype(np.uint8 if factor == 1 else np.uint16) * factor
    tifffile.imwrite(tmp_path / "a.tif", grey, extratags=[(274, "H", 1, 6, True)])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], turned(eye()[..., 0]))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("mode", ["grey", "colour", "alpha"])
def test_levels_of_fewer_bits_in_16_bit_files(tmp_path: Path, bits: int, mode: str) -> None:
    import cv2

    levels = np.linspace(0, 2**bits - 1, 90 * 60 * 3).reshape(60, 90, 3).round().astype(np.uint16)
    stored = {
        "grey": levels[..., 0],
        "colour": levels,
        "alpha": np.dstack([levels, np.full((60, 90), 65535, np.uint16)]),
    }[mode]
    cv2.imwrite(str(tmp_path / "a.png"), stored)
    read = read_image(tmp_path / "a.png")
    shown = stored[..., None].repeat(3, 2) if mode == "grey" else levels[..., ::-1]
    assert np.abs(read - shown / (2**bits - 1) * 255).max() < 1.01


def test_a_pngs_long_profiles_and_texts_do_not_keep_its_pixels_from_being_read(tmp_path: Path) -> None:
    from PIL import PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "x" * 2_000_000, zip=True)
    text.add_itxt("plain", "y" * 2_000_000)
    text.add_text("zipped", "z" * 2_000_000, zip=True)
    for number in range(80):
        text.add_text(f"many{number}", "w" * 900_000, zip=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(eye()).save(tmp_path / "a.png", pnginfo=text, icc_profile=bytes(2_000_000), exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), turned(eye()))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:-5000])
    with pytest.raises(InputError, match=r"a\.png is truncated or damaged"):
        read_image(tmp_path / "a.png")


def test_odd_exif_does_not_keep_a_jpegs_pixels_from_being_read(tmp_path: Path) -> None:
    Image.fromarray(eye()).save(tmp_path / "plain.jpg", quality=95)
    expected = read_image(tmp_path / "plain.jpg")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x9C9B], exif[0x829A] = 6, "maker", b"\0t", 0.5
    sound = exif.tobytes()
    Image.fromarray(eye()).save(tmp_path / "a.jpg", quality=95, exif=sound)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), turned(expected))
    rng = np.random.default_rng(0)
    for odd in (b"Exif\0\0", b"Exif\0\0II*\0" + b"\xff" * 40, sound[:30], b"no exif"):
        Image.fromarray(eye()).save(tmp_path / "a.jpg", quality=95, exif=odd)
        np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), expected)
    for _ in range(200):
        odd = bytearray(sound)
        odd[int(rng.integers(6, len(odd)))] = int(rng.integers(256))
        Image.fromarray(eye()).save(tmp_path / "a.jpg", quality=95, exif=bytes(odd))
        assert sorted(read_image(tmp_path / "a.jpg").shape) == [3, 60, 90]


@pytest.mark.parametrize("suffix", ["heic", "HEIF", ""])
def test_heif_is_read(tmp_path: Path, suffix: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    smooth = np.asarray(Image.fromarray(eye()).resize((9, 6)).resize((90, 60)))
    path = tmp_path / f"a.{suffix}".rstrip(".")
    Image.fromarray(smooth).save(path, "HEIF", quality=95)
    assert image_problem(path) is None
    read = read_image(path)
    assert read.shape == smooth.shape
    assert np.abs(read.astype(int) - smooth).mean() < 3
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=f"{path.name} is (truncated|no HEIF file that can be read)"):
        read_image(path)
