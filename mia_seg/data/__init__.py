"""Scenes: an image, its dense labels and an id. A data set is one file here that yields them by id."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from mia_seg.errors import MiaSegError
from mia_seg.plugins import Component, settings_of

IGNORE = 255
Part = Literal["members", "nonmembers", "pool"]
Finding = tuple[Literal["ok", "absent", "problem"], str]  # what a check found, in one line


@dataclass(frozen=True)
class Scene:
    """One image with its dense labels.

    image_HWC: uint8 RGB. labels_HW: uint8 class ids, IGNORE (255) where unlabelled.
    """

    id: str
    image_HWC: np.ndarray
    labels_HW: np.ndarray


class Dataset(Component):
    """Scenes by id. Settings are the recipe's `[data]`; `data_root` is the machine's and arrives from outside."""

    listing: ClassVar[frozenset[str]] = frozenset()  # settings that say where scenes lie, and which
    either: ClassVar[frozenset[str]] = frozenset()  # settings of which one has to be given

    def classes(self) -> tuple[str, ...]:
        """Class names; the position is the label id."""
        raise NotImplementedError

    def ids(self, data_root: Path | None) -> list[str]:
        """Every scene id, sorted. Raises MiaSegError where the root or a pair is missing."""
        raise NotImplementedError

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        """Read one scene. Raises MiaSegError naming the file for a bad image, label or size."""
        raise NotImplementedError

    def image(self, data_root: Path | None, scene_id: str) -> np.ndarray:
        """The image alone, uint8 RGB [H, W, 3], at the size that its file has, whatever size the settings ask for.

        By it two scenes are told to be one picture. It hangs on the first of `files` alone, if there are any. Raises
        MiaSegError as `scene` does. A data set that resizes should say here how it reads without that.
        """
        return self.scene(data_root, scene_id).image_HWC

    def shape(self, data_root: Path | None, scene_id: str) -> tuple[int, int]:
        """(height, width) of a scene, in pixels; the whole scene is read only where nothing less tells it."""
        height, width = self.scene(data_root, scene_id).labels_HW.shape
        return height, width

    def files(self, data_root: Path | None, scene_id: str) -> tuple[Path, ...]:
        """The files that a scene is read from, the image first; none for scenes that are made and not read.

        No other file shapes a scene, though others may say which scenes there are.
        """
        del data_root, scene_id
        return ()

    def labels_of(self, data_root: Path | None, scene_id: str) -> tuple[np.ndarray, dict[str, int]]:
        """The labels of a scene alone, as `scene` has them, and stored values that mean nothing here: value -> pixels.

        Such pixels are IGNORE. Values are texts, as a message calls them.
        """
        return self.scene(data_root, scene_id).labels_HW, {}

    def has_labels(self, data_root: Path | None) -> bool:
        """Whether scenes have labels; where not, every pixel of theirs is IGNORE."""
        del data_root
        return True

    @property
    def ignores_unknown(self) -> bool:
        """Whether its maker says that values which mean nothing here are to be ignored, however many they are."""
        return False

    @property
    def canaries(self) -> frozenset[str]:
        """The scenes whose labels are wrong on purpose."""
        return frozenset()

    def origin(self) -> dict[str, Any]:
        """What shapes a scene beside its files: the settings that are not at their defaults.

        Where the files lie and which scenes are listed is in `listing`, and shapes no scene.
        """
        settings = settings_of(self)
        return {key: value for key, value in settings.items() if key not in self.listing}

    def picture(self, scene_id: str) -> str:
        """What tells the picture of a scene that is made from others; of one that is read its file tells that."""
        return f"{settings_of(self)['name']} {scene_id}"

    def group(self, scene_id: str) -> str:
        """What the scene shares with others (a drive, a city); its own id where scenes are independent."""
        return scene_id

    def stated(self, data_root: Path | None) -> dict[str, tuple[Part, str]] | None:
        """Where the data set itself says who is a member: the part and the group of each scene, by id."""
        del data_root
        return None

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """Write a tiny data set as its archives lay it out, below a root, and return the settings that read it.

        Every file lies where it does after extraction, named and stored as there; each call writes the same bytes, and
        no two images are alike. Two scenes at least have one size. Scenes that are made and not read need no files.
        """
        raise NotImplementedError

    def survey(self, data_root: Path) -> list[Finding]:
        """What of the data set lies below a root, whatever the settings: what is there, what is not, what is broken.

        Takes seconds. Raises AbsentData where there is nothing. Scenes that are made and not read have nothing to find.
        """
        del data_root
        return []

    def lacks(self, data_root: Path | None) -> str:
        """How many scenes lie there of how many that the whole data set has; empty where none lack."""
        del data_root
        return ""


@dataclass
class Scenes(Sequence[Scene]):
    """Some scenes of a data set, read when asked for; `room` bytes of them stay decoded, for who comes back."""

    dataset: Dataset
    data_root: Path | None
    ids: Sequence[str]
    room: int = 0
    _kept: dict[str, Scene] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Scene:  # type: ignore[override]
        scene_id = self.ids[index]
        if scene_id in self._kept:
            return self._kept[scene_id]
        scene = self._check(self.dataset.scene(self.data_root, scene_id))
        size = scene.image_HWC.nbytes + scene.labels_HW.nbytes
        if size <= self.room:
            self.room -= size
            self._kept[scene_id] = scene
        return scene

    def _check(self, scene: Scene) -> Scene:
        if scene.image_HWC.shape[:2] != scene.labels_HW.shape:
            raise MiaSegError(
                f"Scene '{scene.id}': the image is {scene.image_HWC.shape[:2]} and the labels are "
                f"{scene.labels_HW.shape} (height, width). Replace the file that is wrong or leave the scene out."
            )
        known = len(self.dataset.classes())
        wrong = scene.labels_HW[(scene.labels_HW >= known) & (scene.labels_HW != IGNORE)]
        if wrong.size:
            raise MiaSegError(
                f"Scene '{scene.id}': label {wrong[0]} is outside the {known} classes and is not {IGNORE} (ignore). "
                f"Correct the label image or the class map."
            )
        return scene
