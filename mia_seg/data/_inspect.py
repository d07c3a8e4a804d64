"""Looking into an image and its labels: every byte is decoded, and what they hold is told in a few numbers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mia_seg.data._containers import lean
from mia_seg.data._open import QUIET
from mia_seg.data._paired import Value
from mia_seg.data._pixels import Stored
from mia_seg.data._read import read_image, read_labels, read_pair
from mia_seg.data._twins import fingerprint
from mia_seg.errors import MiaSegError

SMALL = 64  # the shorter side of what an image is shrunk to, in pixels at least; its look needs so many
MOST = 1000  # colours in one label file; a class map can name a quarter of them
ORIENTATION, UPRIGHT = 0x0112, (None, 1)  # the tag of EXIF that turns an image, and what turns nothing
# Of these nothing but a damaged byte can be refused, so that they need not be read as a scene is.
PLAIN = {("JPEG", "RGB", 8), ("JPEG", "L", 8), ("PNG", "RGB", 8), ("PNG", "L", 8)}
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises for a damaged file
WIDE = {"1": 1, "I": 32, "F": 32}  # bits in a channel of Pillow's modes; the others have 8, or say it


class Pair(NamedTuple):
    """The files of a scene, what the label file must be, and what white is in one of one bit."""

    image: Path
    labels: Path
    stored: Stored
    white: int | None = 1


@dataclass(frozen=True)
class Picture:
    """An image. size: height and width. look, small: `Fingerprint.look` and `.pixels` of it, shrunk. mean: 0 to 255.

    drafted: shrunk while it was decoded, so that `small` is not what another file of the same pixels has.
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
    """What lies in a pair; None for what cannot be read or was not asked for, and a sentence for each fault."""

    picture: Picture | None
    drawn: Drawn | None
    faults: tuple[str, ...] = ()
    image_faults: tuple[str, ...] = ()


def look_into(pair: Pair, *, image: bool = True) -> Seen:
    """Decode both files of a pair, or its labels alone.

    A plain image is decoded at low resolution, which reads all its bytes; any other as a scene's. The quick way never
    complains: what it cannot read the slow one says in its words, or reads after all.
    """
    picture = _quick(pair.image) if image else None
    if image and picture is None:
        return _slowly(pair)
    drawn, faults = _labels(pair)
    return Seen(picture, drawn, faults)


def pixels(pair: Pair) -> str:
    """SHA-256 of the size and all values of a pair's image; of one that cannot be read as a scene, its path."""
    try:
        image = _whole(pair)
    except (*BROKEN, MiaSegError):
        return str(pair.image)
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def counted(stored: np.ndarray, path: Path) -> dict[Value, int]:
    """Stored value -> pixels, of ids uint8 [H, W] or colours uint8 [H, W, 3]. Raises MiaSegError for too many.

    By runs of one value along the rows: labels have few, and counting pixel by pixel takes five times as long for ids
    and ten times for colours.
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


# How the pipeline reads a pair.


def _scene(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    return read_pair(pair.image, pair.labels, pair.stored, resized=_whole_size, white=pair.white)


def _stored(pair: Pair) -> np.ndarray:
    return read_labels(pair.image, pair.labels, pair.stored, resized=_whole_size, white=pair.white)


def _whole_size(size: tuple[int, int]) -> tuple[int, int]:
    return size


# Which way is taken.


def _slowly(pair: Pair) -> Seen:
    try:
        image_HWC, stored = _scene(pair)
    except MiaSegError as error:
        drawn, faults = _labels(pair)
        own = dict.fromkeys(said for said in (str(error), *_undecodable(pair.image)) if said not in faults)
        return Seen(None, drawn, faults, tuple(own))
    picture = _shrunk(Image.fromarray(image_HWC), _form(pair.image), (image_HWC.shape[0], image_HWC.shape[1]))
    return Seen(picture, *_labels(pair, stored))


def _labels(pair: Pair, stored: np.ndarray | None = None) -> tuple[Drawn | None, tuple[str, ...]]:
    """What the label file holds, or what is wrong with it."""
    try:
        stored = _stored(pair) if stored is None else stored
        return Drawn(_form(pair.labels), counted(stored, pair.labels)), ()
    except MiaSegError as error:
        return None, tuple(dict.fromkeys([str(error), *_alone(pair)]))


def _alone(pair: Pair) -> list[str]:
    """What is wrong with a label file whatever its image is: beside itself it has the right size."""
    try:
        _stored(pair._replace(image=pair.labels))
    except MiaSegError as error:
        return [str(error)]
    return []


def _undecodable(image: Path) -> tuple[str, ...]:
    """What is wrong with an image whatever its labels are: beside itself it has the right size."""
    try:
        read_image(image, image)
    except MiaSegError as error:
        return (str(error),)
    return ()


def _quick(path: Path) -> Picture | None:
    """Of an image that is plain and whole."""
    try:
        return _plain(path)
    except BROKEN:
        return None


def _plain(path: Path) -> Picture | None:
    with QUIET, Image.open(path) as image:
        if not _is_plain(image):
            return None
        form, size = _described(image), (image.height, image.width)
        image.draft("RGB", (SMALL, SMALL))  # of a JPEG an eighth of the sides, at best; of a PNG nothing
        image.load()
        return _shrunk(image, form, size)


def _whole(pair: Pair) -> Image.Image:
    """The image in RGB, as a scene has it."""
    with QUIET, Image.open(pair.image) as image:
        if _is_plain(image):
            return image.convert("RGB")
    return Image.fromarray(_scene(pair)[0])


def _is_plain(image: Image.Image) -> bool:
    if (image.format, image.mode, _depth(image)) not in PLAIN:
        return False
    return image.getexif().get(ORIENTATION) in UPRIGHT


def _shrunk(image: Image.Image, form: str, size: tuple[int, int]) -> Picture:
    small = np.array(image.reduce(max(1, min(image.size) // SMALL)).convert("RGB"))
    found = fingerprint(small)
    drafted = (image.height, image.width) != size
    return Picture(form, size, found.look, found.pixels, float(small.mean()), drafted)


def _form(path: Path) -> str:
    """'PNG L 8-bit': format and mode in Pillow's words; of a file that has been opened before."""
    with QUIET, Image.open(lean(path)) as image:
        return _described(image)


def _described(image: Image.Image) -> str:
    return f"{image.format} {image.mode} {_depth(image)}-bit"


def _depth(image: Image.Image) -> int:
    """Bits in a channel of the file. Pillow makes 8 of some, and says so in the raw mode: 'RGB;16B', 'P;4'."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    bits = "".join(filter(str.isdigit, str(raw).partition(";")[2]))
    return int(bits) if bits else WIDE.get(image.mode, 8)
