"""Opening an image file: formats, sizes, orientation, and the error if it cannot be read."""

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

from PIL import Image, ImageFile, UnidentifiedImageError

from mia_seg.data._containers import lean
from mia_seg.errors import MiaSegError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
ORIENTATION, WIDTH, HEIGHT, KIND, REDUCED = 0x0112, 256, 257, 254, 1  # tags of EXIF and TIFF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
SIDEWAYS = 5  # the first orientation that swaps height and width
PIXEL = 20  # bytes of memory that a pixel takes at most while it is read
SHARE = 0.5  # of the memory, for one image
CGROUP = Path("/sys/fs/cgroup/memory.max")
WIDE = {"1": 1, "I": 32, "F": 32}  # bits in a channel of Pillow's modes; the others have 8, or say it
Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True)
class Opened:
    """An image file: its header is read, its pixels are not.

    raw: Pillow's name for the form of the stored pixels, such as 'RGB;16B' or 'P;4'. mode: Pillow's mode of the decoded
    image. orientation: EXIF's, 1 to 8. stored, shown: (height, width) before and after the image is turned by it.
    source: what to open to read the file again.
    """

    path: Path
    image: ImageFile.ImageFile
    source: Path | BytesIO
    raw: str
    mode: str
    orientation: int
    stored: Size

    @property
    def form(self) -> str:
        """'PNG L 8-bit': format, mode and depth of a channel in Pillow's words."""
        return f"{self.image.format} {self.mode} {self.depth}-bit"

    @property
    def depth(self) -> int:
        """Bits a channel in the file; Pillow reduces some depths to 8."""
        bits = "".join(filter(str.isdigit, self.raw.partition(";")[2]))
        return int(bits) if bits else WIDE.get(self.mode, 8)

    @property
    def shown(self) -> Size:
        return self.stored[::-1] if self.orientation >= SIDEWAYS else self.stored

    def tag(self, number: int, default: Any) -> Any:
        """A tag of a TIFF file; the default where there is none, or no TIFF."""
        return getattr(self.image, "tag_v2", {}).get(number, default)

    def turned(self, image: Image.Image) -> Image.Image:
        """The decoded image the right way up. Pillow itself turns TIFF files."""
        turn = None if self.image.format == "TIFF" else TURNS.get(self.orientation)
        return image if turn is None else image.transpose(turn)


@contextmanager
def opened(path: Path, *, exact: bool = False) -> Iterator[Opened]:
    """The file, opened and not decoded. Raises MiaSegError if it is no image, or of a format that is not read.

    exact: also check the checksums of a PNG's pixels, which takes about a twentieth of the time of decoding.
    """
    with ExitStack() as stack:
        stack.enter_context(QUIET)
        with sentence(path):
            source = lean(path, exact=exact)
            image = stack.enter_context(Image.open(source, formats=FORMATS))
            if image.format == "TIFF":
                image.filename = ""  # by its name Pillow maps the file into memory, with the size as turned: garbled
            found = Opened(path, image, source, _raw(image), image.mode, _orientation(image), _stored(image))
            _check_frames(found)
        _check_size(found)
        yield found


@contextmanager
def sentence(path: Path) -> Iterator[None]:
    """Turn errors of opening or decoding the file into a MiaSegError that names it."""
    try:
        yield
    except MiaSegError:
        raise
    except FileNotFoundError:
        raise MiaSegError(f"{path} is missing. Restore it, or remove its counterpart.") from None
    except UnidentifiedImageError:
        raise MiaSegError(
            f"{path} cannot be read as an image ({_unknown(path)}). "
            f"Fetch the file again, save it in one of these formats, or remove the pair."
        ) from None
    except MemoryError:
        raise MiaSegError(
            f"{path} cannot be read as an image (it takes more memory than there is). "
            f"Free some memory, save the file smaller, or remove the pair."
        ) from None
    except Exception as error:  # of a damaged file Pillow's plugins raise whatever their arithmetic meets
        why = " ".join(str(error).split()) or type(error).__name__
        raise MiaSegError(
            f"{path} cannot be read as an image ({why}). Fetch the file again or remove the pair."
        ) from None


class _Quiet:
    """No warnings of Pillow, and no limit but our own, while at least one thread is reading."""

    def __init__(self) -> None:
        self.lock, self.readers, self.undo = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            self.readers += 1
            if self.readers == 1:
                self.undo.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                self.undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.readers -= 1
            if self.readers == 0:
                self.undo.close()


QUIET = _Quiet()


@cache
def memory() -> int:
    """Bytes of memory of this machine, or of its container; 8 GiB if the system does not say."""
    known = [8 << 30]
    with suppress(AttributeError, OSError, ValueError):
        known = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError):
        known.append(int(CGROUP.read_text()))
    return min(known)


def _check_size(found: Opened) -> None:
    height, width = found.stored
    limit = int(memory() * SHARE) // PIXEL
    if height * width > limit:
        raise MiaSegError(
            f"{found.path} is {height} x {width} pixels, and the memory here allows {limit:,} pixels an image. "
            f"Cut the pair into smaller ones, or work where there is more memory."
        )


def _check_frames(found: Opened) -> None:
    count = _frames(found.image)
    if count > 1:
        raise MiaSegError(
            f"{found.path} holds {count} images, where one is expected. Save the one that belongs to this pair alone."
        )


def _frames(image: ImageFile.ImageFile) -> int:
    """How many pictures there are. Smaller copies inside a TIFF do not count, nor what a camera adds to a JPEG."""
    count = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
    if image.format != "TIFF" or count == 1:
        return count
    kinds = []
    for index in range(1, count):
        image.seek(index)
        kinds.append(image.tag_v2.get(KIND, 0))  # type: ignore[attr-defined]
    image.seek(0)
    return 1 + sum(not kind & REDUCED for kind in kinds)


def _raw(image: ImageFile.ImageFile) -> str:
    args = image.tile[0][3] if image.tile else ""
    return str(args[0]) if isinstance(args, tuple) else args or ""


def _stored(image: ImageFile.ImageFile) -> Size:
    """Pillow gives the size of a TIFF as it will be turned."""
    tags = getattr(image, "tag_v2", None)
    return (tags[HEIGHT], tags[WIDTH]) if tags is not None else (image.height, image.width)


def _orientation(image: ImageFile.ImageFile) -> int:
    """1, upright, where there is no tag or where it cannot be read."""
    with suppress(Exception):  # damaged EXIF fails in as many ways as damaged pixels
        # Not the PNG's own getexif, which decodes the image first: its tag is in front already.
        found = Image.Image.getexif(image).get(ORIENTATION)
        return int(found) if found in TURNS else 1
    return 1


def _unknown(path: Path) -> str:
    return "it has 0 bytes" if path.stat().st_size == 0 else "no PNG, JPEG, TIFF, BMP or WebP image is found in it"
