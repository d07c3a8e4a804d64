"""Looking into an image and its labels: every byte is decoded, and what they hold is told in a few numbers."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mia_seg.data._open import Opened, opened
from mia_seg.data._paired import Value
from mia_seg.data._pixels import Stored, ids, rgb
from mia_seg.data._read import labels_of, opened_pair
from mia_seg.data._twins import fingerprint
from mia_seg.errors import MiaSegError

SMALL = 64  # the shorter side of what an image is shrunk to, in pixels at least; its look needs so many
MOST = 1000  # colours in one label file; a class map can name a quarter of them
# Of these nothing but a damaged byte can be refused, so that they need not be read as a scene is.
PLAIN = {("JPEG", "RGB", 8), ("JPEG", "L", 8), ("PNG", "RGB", 8), ("PNG", "L", 8)}
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises for a damaged file


class Pair(NamedTuple):
    """The files of a scene, the form of its label file, and the id of white in a one-bit label file."""

    image: Path
    labels: Path
    stored: Stored
    white: int | None = 1


@dataclass(frozen=True)
class Picture:
    """An image. size: (height, width). look, small: `Fingerprint.look`, `.pixels` of the shrunk image. mean: 0 to 255.

    drafted: it was shrunk by the decoder, so another file with the same pixels may have another `small`.
    """

    form: str
    size: tuple[int, int]
    look: int
    small: str
    mean: float
    drafted: bool


@dataclass(frozen=True)
class Drawn:
    """A label file. counts: stored value -> pixels."""

    form: str
    counts: dict[Value, int]


@dataclass(frozen=True)
class Seen:
    """The contents of a pair: None for a file that cannot be read or was not asked for; a sentence for each fault."""

    picture: Picture | None
    drawn: Drawn | None
    faults: tuple[str, ...] = ()
    image_faults: tuple[str, ...] = ()


def look_into(pair: Pair, *, image: bool = True) -> Seen:
    """Decode both files of a pair, or only its labels; each is opened once.

    If that fails, each file is read by itself, for a sentence on each fault.
    """
    try:
        return _together(pair, image)
    except (*BROKEN, MiaSegError):
        return _apart(pair, image)


def pixels(path: Path) -> str:
    """SHA-256 of the size and all values of an image; its path, if it cannot be read."""
    try:
        with opened(path) as found:
            image = rgb(found)
    except MiaSegError:
        return str(path)
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def counted(stored: np.ndarray, path: Path) -> dict[Value, int]:
    """Stored value -> pixels, for ids uint8 [H, W] or colours uint8 [H, W, 3]. Raises MiaSegError for too many values.

    Counts runs of equal values along rows. Labels have few runs, and counting single pixels takes five times as long
    for ids and ten times for colours.
    """
    flat = stored.ravel() if stored.ndim == 2 else _packed(stored)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    if stored.ndim == 2:
        pixels = np.bincount(flat[starts], weights=lengths).astype(int)
        return {value: int(pixels[value]) for value in np.flatnonzero(pixels).tolist()}
    found, which = np.unique(flat[starts], return_inverse=True)
    if len(found) > MOST:
        raise MiaSegError(
            f"{path} holds {len(found)} colours, which no class map names: it was stored with loss (as JPEG does) or "
            f"smoothed while it was resized. Fetch the original label files."
        )
    colours = found.view(np.uint8).reshape(-1, 4)[:, :3].tolist()
    pixels = np.bincount(which, weights=lengths).astype(int)
    return {(red, green, blue): int(count) for (red, green, blue), count in zip(colours, pixels, strict=True)}


def _packed(stored_HWC: np.ndarray) -> np.ndarray:
    """Colours uint8 [H, W, 3] as one number each, [H * W]."""
    four = np.zeros((*stored_HWC.shape[:2], 4), np.uint8)
    four[..., :3] = stored_HWC
    return four.view(np.uint32).ravel()


def _together(pair: Pair, image: bool) -> Seen:
    with opened_pair(pair.image, pair.labels) as (picture, drawn):
        counts = _counts(drawn, pair)
        return Seen(_picture(picture) if image else None, Drawn(drawn.form, counts))


def _counts(drawn: Opened, pair: Pair) -> dict[Value, int]:
    """Stored value -> pixels; of ids of a byte by Pillow itself, which copies no pixels out."""
    if pair.stored != "colours" and drawn.mode in ("L", "P"):
        pixels = ids(drawn, pair.stored).histogram()
        return {value: count for value, count in enumerate(pixels) if count}
    stored = labels_of(drawn, pair.stored, resized=_whole_size, white=pair.white)
    return counted(stored, pair.labels)


def _picture(found: Opened) -> Picture:
    """A plain image is decoded at low resolution, which reads all its bytes; any other as a scene's."""
    return _drafted(found) if _is_plain(found) else _shrunk(found, rgb(found))


def _drafted(found: Opened) -> Picture:
    found.image.draft("RGB", (SMALL, SMALL))  # of a JPEG an eighth of the sides, at best; of a PNG nothing
    found.image.load()
    return _shrunk(found, found.image)


def _is_plain(found: Opened) -> bool:
    return found.orientation == 1 and (found.image.format, found.mode, found.depth) in PLAIN


def _shrunk(found: Opened, image: Image.Image) -> Picture:
    small = np.array(image.reduce(max(1, min(image.size) // SMALL)).convert("RGB"))
    look = fingerprint(small)
    drafted = (image.height, image.width) != found.shown
    return Picture(found.form, found.shown, look.look, look.pixels, float(small.mean()), drafted)


def _whole_size(size: tuple[int, int]) -> tuple[int, int]:
    return size


# Where something is at fault: whatever one file is, the other is told.


def _apart(pair: Pair, image: bool) -> Seen:
    drawn, faults = _labels(pair)
    picture, own = _image(pair.image) if image else (None, ())
    return Seen(picture, drawn, faults, tuple(said for said in own if said not in faults))


def _image(path: Path) -> tuple[Picture | None, tuple[str, ...]]:
    """What an image holds, or what is wrong with it. The quick way may refuse what is read as a scene after all."""
    try:
        with suppress(*BROKEN), opened(path) as found:
            return _picture(found), ()
        with opened(path) as found:
            return _shrunk(found, rgb(found)), ()
    except MiaSegError as error:
        return None, (str(error),)


def _labels(pair: Pair) -> tuple[Drawn | None, tuple[str, ...]]:
    """What the label file holds, or what is wrong with it."""
    try:
        return _together(pair, image=False).drawn, ()
    except MiaSegError as error:
        return None, tuple(dict.fromkeys([str(error), *_alone(pair)]))


def _alone(pair: Pair) -> list[str]:
    """What is wrong with a label file whatever its image is: beside itself it has the right size."""
    try:
        _together(pair._replace(image=pair.labels), image=False)
    except MiaSegError as error:
        return [str(error)]
    return []
