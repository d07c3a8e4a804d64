"""Every form in which pixels are stored, against arrays that no reader has touched: images, and ids of labels."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_images import (
    CHANNELS,
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    TURNS,
    bmp,
    exif,
    jpeg,
    png,
    put,
    saved,
    tiff,
    ycck,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mia_seg.data import _open
from mia_seg.data._read import read_labels, read_pair
from mia_seg.errors import MiaSegError

FORMS = [(GREY, 1), (GREY, 2), (GREY, 4), (GREY, 8), (GREY, 16), (PALETTE, 1), (PALETTE, 2), (PALETTE, 4), (PALETTE, 8)]
FORMS += [(colour, depth) for colour in (RGB, GREY_ALPHA, RGBA) for depth in (8, 16)]
HARMLESS = [(b"tEXt", b"a\0b"), (b"iCCP", b"odd\0\0nothing"), (b"zTXt", b"a\0\0" + zlib.compress(bytes(2 << 20)))]
few = settings(derandomize=True, max_examples=100, deadline=None, database=None)


def whole(size: tuple[int, int]) -> tuple[int, int]:
    return size


def image_of(path: Path, size: tuple[int, ...], **more: Any) -> np.ndarray:
    """The image [H, W, 3] that is read from a file, beside labels of (height, width) `size`."""
    labels = put(path.with_name("zeros.png"), png(np.zeros(size[:2], int), GREY, 8))
    return read_pair(path, labels, "ids", resized=whole, **more)[0]


def ids_of(path: Path, size: tuple[int, ...], stored: Any = "ids", **more: Any) -> np.ndarray:
    """What is read from a label file, beside an image of (height, width) `size`."""
    image = put(path.with_name("black.png"), png(np.zeros((*size[:2], 3), int), RGB, 8))
    return read_labels(image, path, stored, resized=lambda size: size, **more)


def eighth(values: np.ndarray, depth: int) -> np.ndarray:
    """0 to 2^depth - 1 -> 0 to 255, rounded."""
    return np.floor(values * 255 / (2**depth - 1) + 0.5).astype(int)


def shown(values: np.ndarray, colour: int, depth: int, palette: np.ndarray) -> np.ndarray:
    """The colours [H, W, 3] of values [H, W] or [H, W, channels]."""
    if colour == PALETTE:
        return palette[values]
    colours = eighth(values[..., :3] if colour in (RGB, RGBA) else np.atleast_3d(values)[..., :1], depth)
    return np.broadcast_to(colours, (*values.shape[:2], 3))


@given(
    form=st.sampled_from(FORMS),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    orientation=st.sampled_from([1, 1, 2, 3, 4, 5, 6, 7, 8]),
    extra=st.sampled_from(range(len(HARMLESS) + 1)),
    late=st.booleans(),
    adam7=st.booleans(),
    transparent=st.booleans(),
    top=st.sampled_from([255, 65535]),
    seed=st.integers(0, 99),
)
@few
def test_every_png_is_what_was_encoded(
    tmp_path_factory: pytest.TempPathFactory,
    form: tuple[int, int],
    size: tuple[int, int],
    orientation: int,
    extra: int,
    late: bool,
    adam7: bool,
    transparent: bool,
    top: int,
    seed: int,
) -> None:
    (colour, depth), rng = form, np.random.default_rng(seed)
    shape = size if CHANNELS[colour] == 1 else (*size, CHANNELS[colour])
    values = rng.integers(0, min(2**depth, top + 1), shape)
    palette = rng.integers(0, 256, (256, 3))
    before = [(b"PLTE", palette[: 2**depth].astype(np.uint8).tobytes())] if colour == PALETTE else []
    if transparent and colour in (GREY, RGB, PALETTE):
        before.append((b"tRNS", b"\0" * (1 if colour == PALETTE else 2 * CHANNELS[colour])))
    more = [*HARMLESS[:extra], (b"eXIf", exif(orientation))]
    chunks = {"before": [*before, *([] if late else more)], "after": more if late else []}
    path = put(tmp_path_factory.getbasetemp() / "any.png", png(values, colour, depth, adam7=adam7, **chunks) + b"more")
    turn = TURNS[orientation]
    truth = turn(shown(values, colour, depth, palette))
    assert np.array_equal(image_of(path, truth.shape), truth)
    if colour not in (GREY, PALETTE) or values.max() > 255:
        with pytest.raises(MiaSegError, match=r"any\.png holds .* where one byte with a class id"):
            ids_of(path, truth.shape)
    else:
        assert np.array_equal(ids_of(path, truth.shape), turn(values))


TIFF = [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"compression": "tiff_adobe_deflate"})]


@given(
    form=st.sampled_from([*TIFF, ("BMP", {}), ("WEBP", {"lossless": True, "exact": True})]),
    mode=st.sampled_from(["1", "L", "P", "RGB", "RGBA", "I;16"]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    orientation=st.sampled_from([1, 3, 5, 6, 8]),
    seed=st.integers(0, 99),
)
@few
def test_every_other_lossless_file_is_what_was_encoded(
    tmp_path_factory: pytest.TempPathFactory,
    form: tuple[str, dict[str, Any]],
    mode: str,
    size: tuple[int, int],
    orientation: int,
    seed: int,
) -> None:
    rng, (name, how) = np.random.default_rng(seed), form
    lacking = {"BMP": ("I;16", "RGBA"), "WEBP": ("P", "I;16")}.get(name, ())
    mode, orientation = ("RGB" if mode in lacking else mode), (1 if name == "BMP" else orientation)
    top, bands = {"1": 2, "I;16": 65536}.get(mode, 256), {"RGB": 3, "RGBA": 4}.get(mode)
    values = rng.integers(0, top, size if bands is None else (*size, bands))
    image = Image.fromarray(values.astype({2: bool, 256: np.uint8, 65536: np.uint16}[top]))
    palette = rng.integers(0, 256, (256, 3))
    if mode == "P":
        image.putpalette(palette.astype(np.uint8).tobytes())
    tag = {"exif": exif(orientation)} if name != "BMP" else {}
    path = put(tmp_path_factory.getbasetemp() / "any", saved(image, name, **how, **tag))
    depth = {2: 1, 256: 8, 65536: 16}[top]
    colour = PALETTE if mode == "P" else {None: GREY, 3: RGB, 4: RGBA}[bands]
    turn = TURNS[orientation]
    truth = turn(shown(values, colour, depth, palette))
    assert np.array_equal(image_of(path, truth.shape), truth)
    if bands or values.max() > 255:
        with pytest.raises(MiaSegError, match=r"any holds .* where one byte with a class id"):
            ids_of(path, truth.shape)
    elif not (name == "WEBP" and mode == "1"):  # grey of three channels: white is 255 there
        assert np.array_equal(ids_of(path, truth.shape), turn(values))


@pytest.mark.parametrize("orientation", TURNS)
def test_photographs_are_turned_as_viewers_turn_them(tmp_path: Path, orientation: int) -> None:
    """Quarters of four greys, which JPEG keeps nearly."""
    pixels = np.array([[20, 80], [140, 200]], np.uint8).repeat(16, 0).repeat(24, 1)
    path = put(tmp_path / "a.jpg", jpeg(pixels, orientation))
    truth = TURNS[orientation](pixels)
    assert np.abs(image_of(path, truth.shape)[..., 0].astype(int) - truth).max() < 12
    if truth.shape != pixels.shape:
        says = rf"a\.jpg, turned by its EXIF orientation {orientation}, is \(48, 32\) and .* only before turning"
        with pytest.raises(MiaSegError, match=says):
            image_of(path, pixels.shape)


@pytest.mark.parametrize(
    "broken",
    [b"Exif\0\0nothing", b"Exif\0\0" + exif(0), b"Exif\0\0" + exif(9), b"Exif\0\0" + exif(6)[:14], b"Exif\0\0"],
)
def test_an_orientation_that_cannot_be_read_turns_nothing(tmp_path: Path, broken: bytes) -> None:
    pixels = np.zeros((8, 24), np.uint8)
    for form in ("JPEG", "PNG", "WEBP"):
        path = put(tmp_path / "a", saved(Image.fromarray(pixels), form, exif=broken))
        assert image_of(path, pixels.shape).shape == (8, 24, 3)


def test_labels_with_an_orientation_are_turned_too(tmp_path: Path) -> None:
    values = np.arange(6).reshape(2, 3)
    for orientation in (3, 6):
        path = put(tmp_path / "l.png", png(values, GREY, 8, before=[(b"eXIf", exif(orientation))]))
        truth = TURNS[orientation](values)
        assert np.array_equal(ids_of(path, truth.shape), truth)
    with pytest.raises(MiaSegError, match=r"l\.png, turned by its EXIF orientation 6, .* before turning\. Remove"):
        ids_of(path, values.shape)


@pytest.mark.parametrize("inks", [(200, 30, 90, 0), (0, 0, 0, 120), (10, 240, 130, 60)])
def test_inks_are_mixed_by_one_formula(tmp_path: Path, inks: tuple[int, int, int, int]) -> None:
    """CMYK in TIFF as stored, in JPEG inverted as Adobe does, and that as YCCK."""
    truth = [(255 - ink) * (255 - inks[3]) / 255 for ink in inks[:3]]
    image = Image.new("CMYK", (16, 16), inks)
    for content in (saved(image, "TIFF"), saved(image, "JPEG", quality=95), ycck(inks)):
        read = image_of(put(tmp_path / "a", content), (16, 16))
        assert np.abs(read.reshape(-1, 3) - np.array(truth)).max() < 5


I32, F32 = np.array([[0, 7], [255, 9]], np.int32), np.array([[0, 7], [1, 9]], np.float32)


@pytest.mark.parametrize(
    ("image", "says", "ids"),
    [
        (Image.fromarray(I32), "signed 32-bit pixels, whose range is unknown", I32),
        (Image.fromarray(F32), "32-bit float pixels, whose range is unknown", None),
        (Image.new("LAB", (2, 2)), "CIE Lab pixels, which are not read", None),
        (Image.new("YCbCr", (2, 2)), "YCbCr pixels, which are not read", None),
    ],
)
def test_values_without_a_known_range_are_no_image(
    tmp_path: Path, image: Image.Image, says: str, ids: np.ndarray | None
) -> None:
    path = put(tmp_path / "a.tif", saved(image, "TIFF"))
    with pytest.raises(MiaSegError, match=rf"a\.tif holds {says}.* Save the image as 8 or 16 bit"):
        image_of(path, (2, 2))
    if ids is None:
        with pytest.raises(MiaSegError, match=r"a\.tif holds .* where one byte with a class id is expected"):
            ids_of(path, (2, 2))
    else:
        assert np.array_equal(ids_of(path, (2, 2)), ids)


@pytest.mark.parametrize(
    ("file", "image", "ids"),
    [
        (tiff(bytes([0, 1, 128, 255]), bits=8), [0, 1, 128, 255], [0, 1, 128, 255]),
        (tiff(bytes([0, 1, 128, 255]), bits=8, photometric=0), [255, 254, 127, 0], "from white to black"),
        (tiff(bytes([0b01000000, 0b11000000]), bits=2), [85, 0, 255, 0], [1, 0, 3, 0]),
        (tiff(bytes([0x1F, 0x05]), bits=4), [17, 255, 0, 85], [1, 15, 0, 5]),
        (tiff(bytes([0x40, 0x80]), bits=1), [0, 255, 255, 0], [0, 1, 1, 0]),
        (tiff(bytes([0x40, 0x80]), bits=1, photometric=0), [255, 0, 0, 255], [1, 0, 0, 1]),
        (tiff(struct.pack("<4H", 0, 128, 129, 65535), bits=16), [0, 0, 1, 255], "holds the value 65535"),
        (tiff(struct.pack("<4H", 0, 128, 129, 65535), bits=16, photometric=0), [255, 255, 254, 0], "white to black"),
        (tiff(bytes.fromhex("0007ff0ff800"), bits=12), [0, 127, 16, 128], "holds the value 2048"),
        (tiff(struct.pack("<4h", 0, 7, 255, 9), bits=16, sample=2), "signed 16-bit pixels", [0, 7, 255, 9]),
        (tiff(struct.pack("<4h", 0, 7, -1, 9), bits=16, sample=2), "signed 16-bit pixels", "holds the value -1"),
        (tiff(bytes([0, 7, 127, 9]), bits=8, sample=2), "signed 8-bit pixels", [0, 7, 127, 9]),
        (tiff(bytes([0, 7, 255, 9]), bits=8, sample=2), "signed 8-bit pixels", "holds the value -1"),
        (tiff(bytes(24), bits=16, bands=3, photometric=2, planes=2), "its channels apart", "its channels apart"),
    ],
)  # fmt: skip
def test_tiff_files_of_every_depth_and_sign(tmp_path: Path, file: bytes, image: Any, ids: Any) -> None:
    path = put(tmp_path / "a.tif", file)
    for read, truth in ((image_of, image), (ids_of, ids)):
        if isinstance(truth, str):
            with pytest.raises(MiaSegError, match=rf"a\.tif .*{truth}"):
                read(path, (2, 2))
        else:
            assert read(path, (2, 2)).reshape(4, -1)[:, 0].tolist() == truth


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("bands", "alpha"), [(1, None), (3, None), (4, 0), (4, 2)])
def test_tiff_files_of_8_and_16_bits_in_either_order(
    tmp_path: Path, order: str, compressed: bool, bands: int, alpha: int | None
) -> None:
    for bits, orientation in ((8, 6), (16, 1), (16, 3), (16, 6)):
        values = np.random.default_rng(0).integers(0, 2**bits, (3, 5, bands) if bands > 1 else (3, 5))
        content = values.astype(f"{order}u{bits // 8}").tobytes()
        tags = {"photometric": 2 if bands > 1 else 1, "orientation": orientation, "alpha": alpha}
        file = tiff(content, bits=bits, size=(3, 5), bands=bands, order=order, compressed=compressed, **tags)
        truth = TURNS[orientation](shown(values, RGB if bands > 1 else GREY, bits, values))
        assert np.array_equal(image_of(put(tmp_path / "a.tif", file), truth.shape), truth)


@pytest.mark.parametrize(
    ("bits", "greys", "image", "ids"),
    [
        (1, (0, 255), [0, 255, 255, 0], [0, 1, 1, 0]),
        (1, (255, 0), [255, 0, 0, 255], [0, 1, 1, 0]),
        (8, range(256), [9, 8, 7, 6], [9, 8, 7, 6]),
        (4, range(16), "a BMP of 4 bits with a grey palette", None),
        (4, (0, 255), "a BMP of 4 bits with a grey palette", None),
        (8, (0, 255), "a BMP of 8 bits with a grey palette", None),
    ],
)
def test_bmp_files_with_grey_palettes(tmp_path: Path, bits: int, greys: Sequence[int], image: Any, ids: Any) -> None:
    """Pillow takes the bytes of some for others."""
    row = {1: b"\x60\0\0\0", 4: b"\x12\x34\0\0", 8: b"\x09\x08\x07\x06"}[bits]
    path = put(tmp_path / "a.bmp", bmp(row, bits, [(grey,) * 3 for grey in greys]))
    for read, truth in ((image_of, image), (ids_of, ids)):
        if ids is None:
            with pytest.raises(MiaSegError, match=rf"a\.bmp is {image}, which is not read\. Save it as PNG"):
                read(path, (1, 4))
        else:
            assert read(path, (1, 4)).reshape(4, -1)[:, 0].tolist() == truth


BOX = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))


@pytest.mark.parametrize(
    ("form", "how", "name"),
    [
        ("JPEG", {}, "JPEG"),
        ("WEBP", {}, "lossy WebP"),
        ("TIFF", {"compression": "jpeg"}, "JPEG"),
    ],
)
@pytest.mark.parametrize("stored", ["ids", "colours"])
def test_labels_of_a_lossy_compression_are_refused_whatever_they_are_called(
    tmp_path: Path, form: str, how: dict[str, Any], name: str, stored: str
) -> None:
    path = put(tmp_path / "labels.png", saved(BOX.convert("RGB"), form, **how))
    with pytest.raises(MiaSegError, match=rf"labels\.png is compressed as {name}, which changes .* Make the file anew"):
        ids_of(path, (16, 16), stored)
    assert image_of(path, (16, 16)).shape == (16, 16, 3)


def test_files_of_several_images_are_refused_but_for_small_copies(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), 90 * k) for k in range(3)]
    for form in ("TIFF", "PNG", "WEBP"):
        path = put(tmp_path / "a", saved(frames[0], form, save_all=True, append_images=frames[1:]))
        with pytest.raises(MiaSegError, match=r"a holds 3 images, where one is expected\. Save the one"):
            image_of(path, (4, 4))
    small = Image.new("L", (2, 2))
    small.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
    path = put(tmp_path / "a.tif", saved(Image.new("L", (4, 4), 9), "TIFF", save_all=True, append_images=[small]))
    assert (image_of(path, (4, 4)) == 9).all()
    path = put(tmp_path / "a.jpg", saved(frames[2].convert("RGB"), "MPO", save_all=True, append_images=frames[:1]))
    assert (image_of(path, (4, 4)) == 180).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_of_16_bits_are_those_that_were_widened(tmp_path: Path, mode: str) -> None:
    """By 257 as scaling does, or by 256 as shifting does."""
    colours = np.random.default_rng(0).integers(0, 256, (3, 5, len(mode)))
    for factor in (256, 257):
        path = put(tmp_path / "l.png", png(colours * factor, {"RGB": RGB, "RGBA": RGBA, "LA": GREY_ALPHA}[mode], 16))
        assert np.array_equal(ids_of(path, (3, 5), "colours"), shown(colours, RGB if mode != "LA" else 4, 8, colours))


def test_white_of_one_bit_means_what_the_data_set_says(tmp_path: Path) -> None:
    path = put(tmp_path / "m.png", png(np.array([[0, 1]]), GREY, 1))
    assert ids_of(path, (1, 2)).tolist() == [[0, 1]]
    assert ids_of(path, (1, 2), white=255).tolist() == [[0, 255]]
    with pytest.raises(MiaSegError, match=r"m\.png is black and white, .* rules for id 1 and for id 255"):
        ids_of(path, (1, 2), white=None)


SMALL = BOX.crop((0, 0, 4, 4))
SOUND = png(np.zeros((4, 4), int), GREY, 8)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"cannot be read as an image \(it has 0 bytes\)"),
        (b"version https://git-lfs", r"cannot be read as an image \(no PNG, JPEG, TIFF, BMP or WebP image is found"),
        (saved(BOX, "GIF"), r"cannot be read as an image \(no PNG, JPEG, TIFF, BMP or WebP image is found"),
        (SOUND[:8], "cannot be read as an image"),
        (SOUND[:40], "cannot be read as an image"),
        (SOUND.replace(b"IDAT", b"IDAX"), "cannot be read as an image"),
        (saved(SMALL, "WEBP")[:40], "cannot be read as an image"),
        (saved(SMALL, "TIFF", compression="tiff_lzw")[:-90], "cannot be read as an image"),
        (saved(SMALL, "BMP")[:-5], "cannot be read as an image"),
    ],
)  # fmt: skip
def test_what_is_no_whole_image_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    path = put(tmp_path / "a.png", content)
    for read in (image_of, ids_of):
        with pytest.raises(MiaSegError, match=rf"a\.png {says}.* (Fetch the file again|Restore)"):
            read(path, (4, 4))


def test_a_flipped_bit_among_the_pixels_of_png_labels_is_found(tmp_path: Path) -> None:
    """Pillow compares no checksum there."""
    content = png(np.zeros((4, 4), int), GREY, 8)
    start = content.index(b"IDAT") + 4
    for place in range(start, start + 8):
        damaged = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        with pytest.raises(MiaSegError, match=r"l\.png cannot be read as an image \(its checksums do not fit"):
            ids_of(put(tmp_path / "l.png", damaged), (4, 4))


def test_the_memory_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _open.memory.__wrapped__()
    for said, memory in (("max", machine), ("4096", 4096), (str(machine * 2), machine)):
        monkeypatch.setattr(_open, "CGROUP", put(tmp_path / "memory.max", said.encode()))
        assert _open.memory.__wrapped__() == memory


@pytest.mark.parametrize("error", [struct.error, ValueError, OverflowError, zlib.error, KeyError, MemoryError])
def test_whatever_the_decoder_raises_is_the_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    path = put(tmp_path / "a.png", SOUND)

    def fail(*_: object) -> None:
        raise error("odd")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(MiaSegError, match=r"a\.png cannot be read as an image \(.*\)\. F"):
        ids_of(path, (4, 4))
