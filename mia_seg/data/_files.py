"""Reading image and label files, with the sentence that a user needs when one is missing or broken."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from mia_seg.errors import MiaSegError


def folder(data_root: Path | None, name: str) -> Path:
    """The existing folder `name` below the data root."""
    if data_root is None:
        raise MiaSegError(
            f"Data set '{name}' needs a root: pass --data-root (or set MIA_SEG_DATA), the folder that has '{name}/'."
        )
    path = data_root / name
    if not path.is_dir():
        raise MiaSegError(
            f"{path} does not exist. Put the data set there, or point --data-root (or MIA_SEG_DATA) "
            f"to the folder that has '{name}/'."
        )
    return path


def read(path: Path, mode: str | None, size: tuple[int, int] | None, resample: Image.Resampling) -> np.ndarray:
    """The file as an array, converted to `mode` (None: as stored) and resized to `size` (height, width).

    Labels are stored as indices or colours: pass their mode None or 'RGB', and NEAREST.
    """
    with _opened(path) as image:
        image.load()
        converted = image.convert(mode) if mode else image
        if size is not None and converted.size != (size[1], size[0]):
            converted = converted.resize((size[1], size[0]), resample)
        return np.array(converted)


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header."""
    with _opened(path) as image:
        return image.height, image.width


def read_pair(
    image: Path, labels: Path, labels_mode: str | None, size: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Image (RGB, uint8) and labels of one scene; their stored sizes must agree before any resize."""
    if size_of(image) != size_of(labels):
        raise MiaSegError(
            f"{image} is {size_of(image)} and {labels} is {size_of(labels)} (height, width): "
            f"they are not a pair. Replace the wrong file or remove both."
        )
    stored = read(labels, labels_mode, size, Image.Resampling.NEAREST)
    if labels_mode is None and (stored.ndim, stored.itemsize) != (2, 1):
        raise MiaSegError(
            f"{labels} holds {stored.dtype} {stored.shape[2:]} pixels, where one byte with a class id is expected. "
            f"Save it as an 8-bit grey image, or read its colours through a class map."
        )
    return read(image, "RGB", size, Image.Resampling.BILINEAR), stored


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image; what goes wrong while it is open becomes the sentence."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise MiaSegError(f"{path} is missing. Restore it, or remove its counterpart.") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's own class for a file that is no image is an OSError.
        raise MiaSegError(
            f"{path} cannot be read as an image ({error}). Fetch the file again or remove the pair."
        ) from None


def paired_stems(images: dict[str, Path], labels: dict[str, Path], where: Path) -> list[str]:
    """The stems that have both an image and labels; one without the other is refused, as is an empty folder."""
    if not images:
        raise MiaSegError(f"{where} holds no images. Check that the archive was extracted there.")
    alone = sorted(images.keys() ^ labels.keys())
    if alone:
        what = "image" if alone[0] in images else "label file"
        found = (images | labels)[alone[0]]
        raise MiaSegError(
            f"{found}: this {what} has no counterpart ({len(alone)} such in {where}). "
            f"Restore the missing files or remove the single ones."
        )
    return sorted(images)
