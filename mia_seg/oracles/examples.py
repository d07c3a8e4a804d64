"""A door compared with its owner's answers: the one check that finds a wrong export or a wrong scaling.

`[door] examples` is a folder of images with an answer beside each: street.png and street.npy. Integers [H, W] are class
ids, floats [K, H, W] a posterior, both over the model's classes in its order and at the size of the image as shown.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from mia_seg.data._open import opened
from mia_seg.data._pixels import rgb
from mia_seg.errors import MiaSegError
from mia_seg.oracles import Oracle
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Door, Output
from mia_seg.oracles.doors._models import fault
from mia_seg.oracles.doors.folder import read

SHARE = 0.99  # of an image's pixels, those that must have the owner's class
LARGEST = 0.05  # how far a posterior may be from the owner's: another resizing is nearer, another model is not
IMAGES = (".png", ".jpg", ".jpeg")


class Agreement(BaseModel):
    """How close the door's answers are to the owner's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int = Field(ge=1, description="number of examples")
    same_class: float = Field(ge=0, le=1, description="smallest share of pixels with the owner's class, over examples")
    largest: float | None = Field(description="largest difference of a posterior; none if either side is labels")


def agree(oracle: Oracle, door: Door, folder: Path, *, classes: Sequence[str]) -> Agreement:
    """Ask about every example. classes: the data set's.

    Raises MiaSegError for an example without an answer, if fewer than 99% of an example's pixels have the owner's
    class, and if a posterior differs by more than 0.05 from the owner's.
    """
    same, furthest = [], []
    for key, (image, answer) in enumerate(_pairs(folder)):
        image_HWC, raw = _image(image), _answer(answer)
        wanted, given = _owners(door, answer, raw, image_HWC=image_HWC, classes=classes), oracle(image_HWC, key)
        same.append((wanted.argmax(0) == given.argmax(0)).float().mean().item())
        if same[-1] < SHARE:
            _refuse(door, image, f"{same[-1]:.1%} of the pixels have the owner's class, and {SHARE:.0%} must")
        if door.answers != "labels" and raw.dtype.kind == "f":
            furthest.append(largest_difference(wanted, given))
            if furthest[-1] > LARGEST:
                _refuse(door, image, f"its posterior differs by up to {furthest[-1]:.2g}, and {LARGEST:g} is allowed")
    return Agreement(images=len(same), same_class=min(same), largest=max(furthest, default=None))


def sizes(folder: Path) -> list[tuple[int, int]]:
    """(height, width) of every example, in the order in which they are asked about."""
    return [(image_HWC.shape[0], image_HWC.shape[1]) for image_HWC in (_image(image) for image, _ in _pairs(folder))]


def largest_difference(one: Tensor, other: Tensor) -> float:
    """Between two posteriors of one shape."""
    return (one - other).abs().max().item()


def _pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The images of a folder, each with its answer."""
    if not folder.is_dir():
        raise MiaSegError(f"{folder} is no folder. Let [door] examples name one of images and answers.")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES and path.name[0] != ".")
    if not images:
        raise MiaSegError(f"{folder} holds no image ({', '.join(IMAGES)}). Put images there, each with its answer.")
    for image in images:
        answer = image.with_suffix(".npy")
        if not answer.is_file():
            raise MiaSegError(f"{image} has no answer beside it. Save the owner's as {answer.name}, by numpy.save.")
        yield image, answer


def _image(path: Path) -> np.ndarray:
    """Read as the images of data sets are: turned as its EXIF says, 16 bits scaled."""
    try:
        with opened(path) as found:
            return np.array(rgb(found))
    except MiaSegError as error:  # its own way out is that of a data set
        said = str(error).removeprefix(str(path)).partition(". ")[0].rstrip(".")
        raise MiaSegError(f"{path}{said}. Put another example there.") from None


def _answer(path: Path) -> np.ndarray:
    try:
        return read(path)
    except (OSError, ValueError, EOFError) as error:
        raise MiaSegError(f"{path} cannot be read ({fault(error)}). Write it again, as numpy.save does.") from None


def _owners(door: Door, path: Path, raw: np.ndarray, *, image_HWC: np.ndarray, classes: Sequence[str]) -> Tensor:
    """The owner's answer over the data set's classes, by the rules that answers are held to."""
    output = Output(classes=door.output.classes)
    known = Door(answers="posterior" if raw.dtype.kind == "f" else "labels", output=output)
    try:
        return DoorOracle(known, lambda given, key: raw, classes)(image_HWC, 0)
    except MiaSegError as error:
        raise MiaSegError(
            f"{path}, the owner's answer, cannot be one: {str(error).partition(': ')[2]} An example holds class ids "
            f"[H, W] as integers or a posterior [K, H, W] as floats, at the image's size, which is that after its EXIF "
            f"has turned it."
        ) from None


def _refuse(door: Door, image: Path, why: str) -> NoReturn:
    raise MiaSegError(
        f"Door '{type(door).__module__.rpartition('.')[2]}' answers {image} otherwise than its owner: {why}. Correct "
        f"[door.input] (channels, scale, mean, std, resize) and [door.output]; if those are right, the export is wrong."
    )
