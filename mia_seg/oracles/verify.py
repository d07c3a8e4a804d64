"""A check on a few scenes that a model behind a door answers as a segmenter of this data set should.

`DoorOracle` refuses a single answer of a wrong size, with wrong classes, not finite or no posterior. Other faults show
only over several answers, or beside the owner's own.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from mia_seg.data import Scene, Scenes
from mia_seg.errors import MiaSegError
from mia_seg.metrics.segmentation import confusion, utility
from mia_seg.oracles import Oracle
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Door
from mia_seg.oracles.examples import Agreement, agree, largest_difference
from mia_seg.progress import track

TEN = 10  # scenes that are asked about
SAME = 1e-4  # how far two answers to one image may differ: GPUs add in any order
CONSTANT = 1e-6  # how little answers to different images differ where the model does not look at them


class Verified(BaseModel):
    """What the check found. Faults raise MiaSegError and are never recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenes: int = Field(ge=1, description="number of scenes, each asked about twice")
    twice: float = Field(ge=0, description="largest difference between two answers to one image")
    between: float | None = Field(description="largest difference between answers to two images; none with one image")
    miou: float | None = Field(description="mIoU over these scenes; none if no pixel is labelled")
    miou_of_one_class: float | None = Field(description="mIoU of predicting their most frequent class everywhere")
    lacking: tuple[str, ...] = Field(default=(), description="classes of the data set that the model lacks")
    beside: tuple[str, ...] = Field(default=(), description="classes of the model that are left out")
    examples: Agreement | None = Field(description="none: not checked against answers of its owner")

    @property
    def doubtful(self) -> bool:
        """Whether it segments no better than one class everywhere: channels, scaling or classes may be wrong."""
        return self.miou is not None and self.miou_of_one_class is not None and self.miou <= self.miou_of_one_class


def verify(
    oracle: Oracle, door: Door, scenes: Scenes, *, keys: Sequence[int], title: str, base: Path = Path()
) -> Verified:
    """Ask about the first ten scenes, each twice under its key, and about the owner's examples.

    oracle: asks through the door. base: folder that the door's paths are relative to. Raises MiaSegError if two answers
    to one image differ, answers to different images are equal, or answers to examples differ from the owner's.
    """
    classes = scenes.dataset.classes()
    found = _Found(type(door).__module__.rpartition(".")[2], door.deterministic, len(classes))
    asked = islice(zip(scenes, keys, strict=True), TEN)
    for scene, key in track(asked, f"{title}: first answers", min(TEN, len(scenes))):
        found.add(scene, oracle(scene.image_HWC, key), oracle(scene.image_HWC, key))
    found.check_constant()
    agreement = None if door.examples is None else agree(oracle, door, base / door.examples, classes=classes)
    known = DoorOracle(door, lambda given, key: given, classes)  # asks nothing
    miou, of_one_class = found.utility()
    return Verified(
        scenes=found.count, twice=found.twice, between=found.between, miou=miou, miou_of_one_class=of_one_class,
        lacking=known.lacking, beside=known.beside, examples=agreement,
    )  # fmt: skip


class _Found:
    """What is gathered scene after scene."""

    def __init__(self, door: str, deterministic: bool, classes: int) -> None:
        self.door, self.deterministic, self.classes = door, deterministic, classes
        self.count, self.twice = 0, 0.0
        self.between: float | None = None
        self.counts_KK = np.zeros((classes, classes), np.int64)
        self.first: tuple[np.ndarray, Tensor] | None = None

    def add(self, scene: Scene, answer: Tensor, again: Tensor) -> None:
        """Count a scene; raise where the two answers differ."""
        self.count, self.twice = self.count + 1, max(self.twice, largest_difference(answer, again))
        if self.deterministic and self.twice > SAME:
            _refuse(
                self.door,
                f"two answers to scene '{scene.id}' differ by up to {self.twice:.2g}, and {SAME:g} is allowed. Ask the "
                f"model in evaluation mode (model.eval()), without dropout, noise and augmentation",
            )
        self.counts_KK += confusion(scene.labels_HW, answer.argmax(0).numpy(), self.classes)
        self._compare(scene.image_HWC, answer)

    def _compare(self, image_HWC: np.ndarray, answer: Tensor) -> None:
        """With the answer to the first scene."""
        if self.first is None:
            self.first = image_HWC, answer
        elif not np.array_equal(self.first[0], image_HWC):
            here = F.interpolate(answer[None], self.first[1].shape[1:], mode="bilinear", align_corners=False)[0]
            self.between = max(self.between or 0.0, largest_difference(here, self.first[1]))

    def check_constant(self) -> None:
        """Raise where all answers are one."""
        if self.between is not None and self.between <= CONSTANT:
            _refuse(
                self.door,
                f"its answers to {self.count} different images are the same to {CONSTANT:g}. Check that it is given "
                f"the image, in the range of values that it was trained with ([door.input] scale, mean and std)",
            )

    def utility(self) -> tuple[float | None, float | None]:
        """mIoU, and that of answering the commonest class everywhere."""
        if not self.counts_KK.any():
            return None, None
        labelled_K = self.counts_KK.sum(1)
        one_KK = np.zeros_like(self.counts_KK)
        one_KK[:, labelled_K.argmax()] = labelled_K
        return utility(self.counts_KK)["miou"], utility(one_KK)["miou"]


def _refuse(door: str, why: str) -> NoReturn:
    raise MiaSegError(f"Door '{door}': {why}.")
