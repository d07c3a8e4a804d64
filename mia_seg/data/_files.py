"""Listing and reading image and label files, with the sentence that a user needs when one is missing or broken."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from mia_seg.errors import AbsentData, AbsentPart, MiaSegError

# What a label file must be: RGB colours, ids in any one-byte image, or ids in the one form that a data set has.
Stored = Literal["colours", "ids", "grey ids", "palette ids"]
MODES = {"grey ids": "L", "palette ids": "P"}
KNOWN_MODES = {"L": "a grey image", "P": "a palette image", "RGB": "an RGB image", "RGBA": "an RGBA image"}


def folder(data_root: Path | None, name: str, *others: str) -> Path:
    """The existing folder `name` below the data root, or one of its `others` names."""
    if data_root is None:
        raise MiaSegError(
            f"Data set '{name}' needs a root: pass --data-root (or set MIA_SEG_DATA), the folder that has '{name}/'."
        )
    for known in (name, *others):
        if (data_root / known).is_dir():
            return data_root / known
    check_case(data_root, name)
    # A root that is not there hides every data set: that is a slip in the path, not an absent data set.
    raise (AbsentData if data_root.is_dir() else MiaSegError)(
        f"{data_root / name} does not exist. Put the data set there, or point --data-root (or MIA_SEG_DATA) "
        f"to the folder that has '{name}/'."
    )


def inside(root: Path, name: str, fix: str = "Put it there, or leave it out of [data] folders.") -> Path:
    """The existing folder `name` (perhaps 'a/b') of a data set."""
    if not (root / name).is_dir():
        check_case(root, name)
        raise AbsentPart(f"{root / name} does not exist. {fix}")
    return root / name


def check_case(parent: Path, name: str) -> None:
    """Refuse a folder of the path `name` that is there in another case: 'leftimg8bit' for 'leftImg8bit'."""
    for step in Path(name).parts:
        if not (parent / step).exists() and parent.is_dir():
            alike = [found for found in os.listdir(parent) if found != step and found.lower() == step.lower()]
            if alike:
                raise MiaSegError(f"{parent} has no '{step}'; found '{alike[0]}': rename it to '{step}'.")
        parent /= step


@cache
def entries(path: Path) -> tuple[str, ...]:
    """The names in a folder, sorted; listed once a process. Hidden ones ('._a.png' of a Mac) are no data."""
    try:
        with os.scandir(path) as found:
            return tuple(sorted(entry.name for entry in found if not entry.name.startswith(".")))
    except OSError as error:
        raise MiaSegError(f"{path} cannot be listed ({error}). Check that it is a folder and may be read.") from None


def by_stem(path: Path, *tails: str) -> dict[str, Path]:
    """Stem -> file, for each name in a folder that ends in one of `tails`, in any case; the first that fits is cut."""
    found: dict[str, Path] = {}
    for name in entries(path):
        low = name.lower()
        tail = next((tail for tail in tails if low.endswith(tail.lower())), None)
        if tail is None:
            continue
        stem = name[: -len(tail)]
        if stem in found:
            raise MiaSegError(f"{found[stem]} and {name} have one stem. Remove one of the two.")
        found[stem] = path / name
    return found


def paired(images: Mapping[str, Path], labels: Mapping[str, Path], where: Path) -> dict[str, tuple[Path, Path]]:
    """Stem -> (image, labels); one without the other is refused, as is an empty folder."""
    if not images:
        waiting = f" for {_some(sorted(labels))} label files" if labels else ""
        raise MiaSegError(f"{where} holds no images{waiting}. Check that the archive was extracted there.")
    alone = sorted(images.keys() ^ labels.keys())
    if alone:
        what = "image" if alone[0] in images else "label file"
        found = (images if alone[0] in images else labels)[alone[0]]
        raise MiaSegError(
            f"{found}: this {what} has no counterpart. In {where}, "
            f"{_some([s for s in alone if s in images])} without labels and "
            f"{_some([s for s in alone if s in labels])} without image. "
            f"Restore the missing files (was each archive extracted whole?) or remove the single ones."
        )
    return {stem: (images[stem], labels[stem]) for stem in sorted(images)}


def read_pair(
    image: Path, labels: Path, stored: Stored, *, resized: Callable[[tuple[int, int]], tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Image (RGB, uint8) and labels of one scene, each resized from its stored (height, width) to `resized` of it."""
    with _pair(image, labels) as (picture, drawn):
        labels_HW = _ids(drawn, labels, stored, resized=resized)
        with _sentence(image):
            return _array(_rgb(picture), resized, Image.Resampling.BILINEAR), labels_HW


def read_labels(image: Path, labels: Path, stored: Stored) -> np.ndarray:
    """The labels alone, as stored; of the image only its size is read."""
    with _pair(image, labels) as (_, drawn):
        return _ids(drawn, labels, stored, resized=lambda size: size)


def stored_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file, from its head."""
    with _opened(path) as image:
        return image.height, image.width


def _some(stems: list[str]) -> str:
    """'2 (a, b)': how many, and the first five."""
    return f"{len(stems)} ({', '.join(stems[:5])}{', ...' if len(stems) > 5 else ''})" if stems else "0"


def _ids(
    drawn: Image.Image, path: Path, stored: Stored, *, resized: Callable[[tuple[int, int]], tuple[int, int]]
) -> np.ndarray:
    wanted = MODES.get(stored, drawn.mode)
    if drawn.mode != wanted:
        raise MiaSegError(
            f"{path} is {KNOWN_MODES.get(drawn.mode, f'an image of mode {drawn.mode}')}, where {KNOWN_MODES[wanted]} "
            f"of class ids is expected. Extract the original label files: colour maps and converted copies hold no ids."
        )
    with _sentence(path):
        array = _array(drawn.convert("RGB") if stored == "colours" else drawn, resized, Image.Resampling.NEAREST)
    if array.dtype == bool:  # a mask of one bit a pixel, whose true bytes are 255
        array = array.astype(np.uint8)
    if stored != "colours" and (array.ndim, array.itemsize) != (2, 1):
        raise MiaSegError(
            f"{path} holds {array.dtype} {array.shape[2:]} pixels, where one byte with a class id is expected. "
            f"Save it as an 8-bit grey image, or read its colours through a class map."
        )
    return array


def _rgb(image: Image.Image) -> Image.Image:
    """The image in RGB; one that is so already is not copied."""
    return image if image.mode == "RGB" else image.convert("RGB")


def _array(
    image: Image.Image, resized: Callable[[tuple[int, int]], tuple[int, int]], resample: Image.Resampling
) -> np.ndarray:
    height, width = resized((image.height, image.width))
    image.load()
    return np.array(image if image.size == (width, height) else image.resize((width, height), resample))


@contextmanager
def _pair(image: Path, labels: Path) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Both files, opened once and not yet decoded; their stored sizes must agree."""
    with _opened(image) as picture, _opened(labels) as drawn:
        if picture.size != drawn.size:
            raise MiaSegError(
                f"{image} is {picture.size[::-1]} and {labels} is {drawn.size[::-1]} (height, width): "
                f"they are not a pair. Replace the wrong file or remove both."
            )
        yield picture, drawn


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with _sentence(path):
        image = Image.open(path)
    with image:
        yield image


@contextmanager
def _sentence(path: Path) -> Iterator[None]:
    """What goes wrong while the file is opened or decoded becomes the sentence."""
    try:
        yield
    except FileNotFoundError:
        raise MiaSegError(f"{path} is missing. Restore it, or remove its counterpart.") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's own class for a file that is no image is an OSError.
        raise MiaSegError(
            f"{path} cannot be read as an image ({error}). Fetch the file again or remove the pair."
        ) from None
