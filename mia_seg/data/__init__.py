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
    """Settings of a data set, from the recipe's `[data]`. It yields scenes by id, from files below `data_root`."""

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

    def trained(self, ids: Sequence[str]) -> list[str]:
        """The scenes that an epoch of a training on `ids` goes through."""
        return list(ids)

    def image(self, data_root: Path | None, scene_id: str) -> np.ndarray:
        """The image alone, uint8 RGB [H, W, 3], at the size that its file has, whatever size the settings ask for.

        Two scenes with equal images are the same picture. It depends on the first of `files` alone, if there are any.
        A data set that resizes should override this to read without resizing. Raises MiaSegError as `scene` does.
        """
        return self.scene(data_root, scene_id).image_HWC

    def shape(self, data_root: Path | None, scene_id: str) -> tuple[int, int]:
        """(height, width) of a scene in pixels; reads the file's header if that is enough."""
        height, width = self.scene(data_root, scene_id).labels_HW.shape
        return height, width

    def files(self, data_root: Path | None, scene_id: str) -> tuple[Path, ...]:
        """The files that a scene is read from, the image first; none for generated scenes.

        No other file may change a scene. Others may list which scenes there are.
        """
        del data_root, scene_id
        return ()

    def labels_of(self, data_root: Path | None, scene_id: str) -> tuple[np.ndarray, dict[str, int]]:
        """The labels of a scene, as in `scene`, and stored values without a class: value as text -> number of pixels.

        Such pixels are IGNORE.
        """
        return self.scene(data_root, scene_id).labels_HW, {}

    def has_labels(self, data_root: Path | None) -> bool:
        """Whether scenes have labels. If not, every pixel is IGNORE."""
        del data_root
        return True

    @property
    def ignores_unknown(self) -> bool:
        """Whether any number of pixels may have stored values without a class; by default only a few may."""
        return False

    @property
    def canaries(self) -> frozenset[str]:
        """The scenes whose labels are wrong on purpose."""
        return frozenset()

    @property
    def companions(self) -> frozenset[str]:
        """Scenes that stand by a canary: trained on by their own coins, and counted nowhere."""
        return frozenset()

    def origin(self) -> dict[str, Any]:
        """The settings that change a scene, where they are not at their defaults: part of a scene's digest.

        The settings named in `listing`, where files lie and which scenes are listed, change no scene.
        """
        settings = settings_of(self)
        return {key: value for key, value in settings.items() if key not in self.listing}

    def picture(self, scene_id: str) -> str:
        """What identifies the picture of a generated scene. For scenes that are read, the file does."""
        return f"{settings_of(self)['name']} {scene_id}"

    def group(self, scene_id: str) -> str:
        """The group that the scene belongs to (a drive, a city); its own id if scenes are independent."""
        return scene_id

    def stated(self, data_root: Path | None) -> dict[str, tuple[Part, str]] | None:
        """Scene id -> (part, group), if the data set itself says who is a member; else None."""
        del data_root
        return None

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """Write a tiny data set as its archives lay it out, below a root, and return the settings that read it.

        Files have the places, names and formats that the published archives have. Each call writes the same bytes. No
        two images are alike; at least two have the same size. Generated scenes need no files.
        """
        raise NotImplementedError

    def survey(self, data_root: Path) -> list[Finding]:
        """What of the data set lies below a root, under any settings: what is there, missing or broken.

        Takes seconds. Raises AbsentData if there is nothing. Generated scenes return [].
        """
        del data_root
        return []

    def lacks(self, data_root: Path | None) -> str:
        """How many scenes are there of how many that the whole data set has, as text; empty if none is missing."""
        del data_root
        return ""


@dataclass
class Scenes(Sequence[Scene]):
    """Some scenes of a data set, read when asked for. Up to `room` bytes of decoded scenes are cached."""

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
