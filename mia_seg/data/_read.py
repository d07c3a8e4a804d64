"""Reading a pair: one reader of images and one of labels, for every data set of files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

from mia_seg.data._open import QUIET, SIDEWAYS, Opened, Size, opened, sentence
from mia_seg.data._pixels import Stored, colours, ids, rgb
from mia_seg.errors import MiaSegError

Resize = Callable[[Size], Size]


def read_pair(
    image: Path, labels: Path, stored: Stored, *, resized: Resize, white: int | None = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels of one scene. `resized` maps their (height, width) to the size wanted.

    Returns uint8 [H, W, 3] RGB, and the label file's values: uint8 [H, W] ids, or [H, W, 3] if `stored` is 'colours'.
    white: the id of white in a one-bit label file; None: such files are refused. Raises MiaSegError naming the file
    that is missing, damaged, of a form that is not read, or of another size than its counterpart.
    """
    with opened_pair(image, labels) as (picture, drawn):
        labels_HW = labels_of(drawn, stored, resized=resized, white=white)
        return image_of(picture, resized), labels_HW


def size_of(path: Path) -> Size:
    """(height, width) of an image file as shown, from its header."""
    with opened(path) as found:
        return found.shown


def read_image(image: Path, labels: Path) -> np.ndarray:
    """The image as in `read_pair`, never resized. Only the size of the labels is read."""
    with opened_pair(image, labels) as (picture, _):
        return image_of(picture, lambda size: size)


def read_labels(image: Path, labels: Path, stored: Stored, *, resized: Resize, white: int | None = 1) -> np.ndarray:
    """The labels as in `read_pair`. Only the size of the image is read."""
    with opened_pair(image, labels) as (_, drawn):
        return labels_of(drawn, stored, resized=resized, white=white)


def is_one_bit(path: Path) -> bool:
    """Whether a label file holds black and white alone, by its header; False where that cannot be read."""
    with suppress(Exception), QUIET:
        with path.open("rb", buffering=0) as file:
            head = file.read(26)
        if head[:4] == b"\x89PNG":
            return head[24:] == b"\x01\x00"  # depth 1, grey
        with Image.open(path, formats=("TIFF", "BMP")) as image:
            return image.mode == "1"
    return False


def image_of(picture: Opened, resized: Resize) -> np.ndarray:
    """An opened image, as `read_pair` returns it."""
    return _array(picture.path, rgb(picture), resized)


def labels_of(drawn: Opened, stored: Stored, *, resized: Resize, white: int | None) -> np.ndarray:
    """An opened label file, as `read_pair` returns it."""
    if stored == "colours":
        return _array(drawn.path, colours(drawn), resized, by=Image.Resampling.NEAREST)
    array = _array(drawn.path, ids(drawn, stored), resized, by=Image.Resampling.NEAREST)
    if array.dtype != bool:
        return array
    if white is None:
        raise MiaSegError(
            f"{drawn.path} is black and white, one bit a pixel, and the class map has rules for id 1 and for id 255: "
            f"either may be meant by white. Save the labels as an 8-bit grey image."
        )
    return array.astype(np.uint8) * np.uint8(white)


def _array(
    path: Path, image: Image.Image, resized: Resize, *, by: Image.Resampling = Image.Resampling.BILINEAR
) -> np.ndarray:
    with sentence(path):
        height, width = resized((image.height, image.width))
        return np.array(image if image.size == (width, height) else image.resize((width, height), by))


@contextmanager
def opened_pair(image: Path, labels: Path) -> Iterator[tuple[Opened, Opened]]:
    """Both files, opened once and not yet decoded; their sizes must agree once they are turned."""
    with opened(image) as picture, opened(labels, exact=True) as drawn:  # a wrong id looks like any other
        if picture.shown != drawn.shown:
            raise _no_pair(picture, drawn)
        yield picture, drawn


def _no_pair(image: Opened, labels: Opened) -> MiaSegError:
    if image.stored != labels.stored:
        return MiaSegError(
            f"{_told(image)} and {_told(labels)} (height, width): they are not a pair. "
            f"Replace the wrong file or remove both."
        )
    turned, other = (image, labels) if image.orientation >= SIDEWAYS else (labels, image)
    return MiaSegError(
        f"{_told(turned)} and {_told(other)} (height, width): they agree only before turning. "
        f"Remove the tag of {turned.path.name} if the pair belongs together unturned, or turn {other.path.name} too."
    )


def _told(found: Opened) -> str:
    tag = f", turned by its EXIF orientation {found.orientation}," if found.orientation > 1 else ""
    return f"{found.path}{tag} is {found.shown}"
