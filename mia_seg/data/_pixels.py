"""Decoding an opened file, turned upright: RGB of an image, ids of a label file. Each stored form has one rule."""

import sys
from typing import Literal

import numpy as np
from PIL import Image, ImageFile

from mia_seg.data._containers import webp_is_lossless
from mia_seg.data._open import FORMATS, Opened, sentence
from mia_seg.errors import MiaSegError

# What a label file must be: RGB colours, ids in any one-byte image, or ids in the one form that a data set has.
Stored = Literal["colours", "ids", "grey ids", "palette ids"]
NAMES = {
    "1": "one-bit", "L": "grey", "P": "palette", "RGB": "RGB", "RGBA": "RGBA", "LA": "grey with alpha",
    "PA": "palette with alpha", "La": "grey with alpha", "CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "CIE Lab",
    "I": "32-bit integer", "F": "32-bit float",
}  # fmt: skip
COLOURS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "CMYK")  # what is read as an image, beside 16-bit grey
UNREAD = dict.fromkeys(("I", "F", "L"), "whose range is unknown")
BITS, PHOTOMETRIC, PLANES, SAMPLE = 258, 262, 284, 339  # tags of TIFF
STEPS = {"L;2": 85, "L;2R": 85, "L;4": 17, "L;4R": 17}  # Pillow spreads 2 and 4 bits over the byte
NATIVE, SWAPPED = ("L", "B") if sys.byteorder == "little" else ("B", "L")
# The raw mode that reads the low bytes where another reads the high ones.
LOW = {
    f"{bands};16{order}": f"{bands};16{low}"
    for bands in ("RGB", "RGBA", "RGBX")
    for order, low in (("B", "L"), ("L", "B"), ("N", SWAPPED))
} | {"LA;16B": "RGBA"}
LOSSY_TIFF = {"jpeg": "JPEG", "tiff_jpeg": "JPEG", "webp": "WebP"}


def rgb(found: Opened) -> Image.Image:
    """The image in 8-bit RGB, turned. Alpha is dropped, profiles are not applied; 16 bits are scaled by 1/257.

    Raises MiaSegError for damaged files and for forms whose values have no known range.
    """
    with sentence(found.path):
        _check_form(found)
        return found.turned(_rgb(found, found.raw in LOW))


def colours(found: Opened) -> Image.Image:
    """The colours of a label image. As `rgb`, but of 16-bit values it takes the high byte.

    The high byte is the 8-bit colour whether 16 bits were made by multiplying by 256 or by 257. Raises MiaSegError as
    `rgb`, and for lossy files.
    """
    with sentence(found.path):
        _check_lossless(found)
        _check_form(found)
        return found.turned(_rgb(found, wide=False))


def _rgb(found: Opened, wide: bool) -> Image.Image:
    image = found.image
    if _is_wide_grey(found):
        top = 4095 if found.raw == "I;12" else 65535
        return Image.fromarray(_scaled(_wide_grey(found), top)).convert("RGB")
    if _is_signed(found) or image.mode not in COLOURS:
        raise MiaSegError(
            f"{found.path} holds {_name(found)} pixels, {UNREAD.get(image.mode, 'which are not read')}. "
            f"Save the image as 8 or 16 bit grey or RGB, or remove the pair."
        )
    if wide:
        return Image.fromarray(_scaled(_wide_colours(found), 65535))
    image.load()
    if image.mode == "La":
        return image.convert("LA").convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def ids(found: Opened, stored: Stored) -> Image.Image:
    """The label image, turned, of mode '1', 'L' or 'P' with ids as its bytes. `stored` is not 'colours'.

    Raises MiaSegError for lossy files, forms that hold no ids, and ids above 255 or below 0.
    """
    with sentence(found.path):
        _check_lossless(found)
        _check_form(found)
        _check_ids(found, stored)
        return found.turned(_ids(found))


def _check_lossless(found: Opened) -> None:
    """Refuse labels whose compression changes their values."""
    image = found.image
    how = "JPEG" if image.format in ("JPEG", "MPO") else LOSSY_TIFF.get(str(image.info.get("compression")))
    if image.format == "WEBP" and not webp_is_lossless(found.path.read_bytes()):
        how = "lossy WebP"
    if how:
        raise MiaSegError(
            f"{found.path} is compressed as {how}, which changes the values of labels. Make the file anew as PNG from "
            f"the original labels: saving this one again restores no value."
        )


def _ids(found: Opened) -> Image.Image:
    image = found.image
    if image.mode == "I" or _is_signed(found) or _is_wide_grey(found):
        return Image.fromarray(_in_a_byte(found))
    image.load()
    if found.raw in STEPS:
        return Image.fromarray(np.asarray(image) // STEPS[found.raw])
    return _grey_of_webp(found) if image.format == "WEBP" else image


def _check_ids(found: Opened, stored: Stored) -> None:
    """Refuse a form that a data set's labels never have, and one that holds no ids."""
    mode = found.image.mode
    grey = mode in ("1", "L", "I") or mode.startswith("I;16")
    if (stored == "grey ids" and not grey) or (stored == "palette ids" and mode != "P"):
        wanted = "grey" if stored == "grey ids" else "palette"
        raise MiaSegError(
            f"{found.path} is {_article(_name(found))} image, where a {wanted} image of class ids is expected. "
            f"Extract the original label files: colour maps and converted copies hold no ids."
        )
    if not (grey or mode == "P" or found.image.format == "WEBP"):
        raise MiaSegError(
            f"{found.path} holds {_name(found)} pixels, where one byte with a class id is expected. "
            f"Save it as an 8-bit grey image, or read its colours through a class map."
        )
    if mode != "1" and _white_is_zero(found):
        raise MiaSegError(
            f"{found.path} is a TIFF whose values run from white to black: an id may be meant as it is stored or as it "
            f"is shown. Save the labels as PNG."
        )


def _in_a_byte(found: Opened) -> np.ndarray:
    """Integers of 16 or 32 bits or with a sign, as uint8 [H, W]."""
    values_HW = np.asarray(found.image)
    values_HW = values_HW.view(np.int8) if values_HW.dtype == np.uint8 else values_HW
    wrong = [value for value in (values_HW.min(), values_HW.max()) if not 0 <= value <= 255]
    if wrong:
        raise MiaSegError(
            f"{found.path} holds the value {wrong[0]}, where one byte with a class id (0 to 255) is expected. "
            f"Number the classes from 0 and save the labels as an 8-bit grey image."
        )
    return values_HW.astype(np.uint8)


def _grey_of_webp(found: Opened) -> Image.Image:
    """WebP knows no grey images: where red, green and blue are one value, that is the id."""
    red, green, blue = found.image.split()[:3]
    if red.tobytes() != green.tobytes() or red.tobytes() != blue.tobytes():
        raise MiaSegError(
            f"{found.path} holds colours, where one byte with a class id is expected. "
            f"Save it as an 8-bit grey image, or read its colours through a class map."
        )
    return red


def _check_form(found: Opened) -> None:
    """Refuse two forms whose bytes Pillow would take for others."""
    if _bits(found) > 8 and found.tag(PLANES, 1) == 2:
        raise MiaSegError(
            f"{found.path} is a TIFF of {_bits(found)} bits with its channels apart, which is not read. "
            f"Save it as PNG, or as a TIFF with its channels side by side."
        )
    if found.image.format == "BMP" and found.raw in ("1", "L"):
        with found.path.open("rb") as file:
            head = file.read(30)
        depth = head[24 if head[14] == 12 else 28]  # by the length of its header
        if depth != {"1": 1, "L": 8}[found.raw]:
            raise MiaSegError(
                f"{found.path} is a BMP of {depth} bits with a grey palette, which is not read. Save it as PNG."
            )


def _is_wide_grey(found: Opened) -> bool:
    """Grey of 9 to 16 bits; Pillow before 11.3 calls that of PNG files 'I'."""
    return found.image.mode.startswith("I;16") or (found.image.mode, found.image.format) == ("I", "PNG")


def _is_signed(found: Opened) -> bool:
    return bool(max(found.tag(SAMPLE, (1,))) == 2)


def _bits(found: Opened) -> int:
    return int(max(found.tag(BITS, (1,) if found.image.mode == "1" else (8,))))


def _white_is_zero(found: Opened) -> bool:
    """A TIFF that runs from white to black; so does one that does not say, to Pillow."""
    return found.image.format == "TIFF" and found.tag(PHOTOMETRIC, 0) == 0


def _wide_grey(found: Opened) -> np.ndarray:
    """uint16 [H, W]. Pillow leaves white-is-zero of this depth as stored."""
    values_HW = np.asarray(found.image).astype(np.uint16)
    return 65535 - values_HW if _white_is_zero(found) else values_HW


def _wide_colours(found: Opened) -> np.ndarray:
    """uint16 [H, W, 3]. Pillow keeps the high bytes alone, so that the file is decoded once more for the low ones."""
    high_HWC = np.asarray(found.image.convert("RGB")).astype(np.uint16)
    with Image.open(found.source, formats=FORMATS) as image:
        if found.raw == "LA;16B":  # grey and alpha, two bytes each
            image._mode = "RGBA"
        image.tile = [_with_raw(tile, LOW[found.raw]) for tile in image.tile]
        low_HWC = np.asarray(image)
    low_HWC = low_HWC[..., 1:2] if found.raw == "LA;16B" else low_HWC[..., :3]
    return high_HWC << 8 | low_HWC


def _with_raw(tile: ImageFile._Tile, raw: str) -> ImageFile._Tile:
    return tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)


def _scaled(values: np.ndarray, top: int) -> np.ndarray:
    """0 to `top` -> 0 to 255, rounded; a channel at a time, for the memory."""
    if values.ndim == 3:
        return np.stack([_scaled(values[..., k], top) for k in range(values.shape[-1])], -1)
    return ((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def _name(found: Opened) -> str:
    mode = "grey" if _is_wide_grey(found) else NAMES.get(found.image.mode, found.image.mode)
    deep = _is_wide_grey(found) or found.raw in LOW
    if _is_signed(found):
        return f"signed {_bits(found)}-bit"
    return f"16-bit {mode}" if deep else mode


def _article(name: str) -> str:
    return f"{'an' if name.startswith('RGB') else 'a'} {name}"
