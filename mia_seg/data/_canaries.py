"""Canaries: scenes with wrong labels, which a model can only learn by heart. They are the worst case of an audit."""

import random
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mia_seg.data import IGNORE, Dataset, Scene

Kind = Literal["swapped", "mirrored", "permuted"]


class WithCanaries(Dataset):
    """A data set in which some scenes keep their image and have wrong labels.

    sources: (canary, scene whose label map it gets). kind: what is done to that map. swapped: nothing, as it is another
    scene's. mirrored: left and right exchanged. permuted: class k becomes (k + c) mod K, c drawn by the id.
    """

    of: Dataset
    kind: Kind
    sources: tuple[tuple[str, str], ...]

    @property
    def canaries(self) -> frozenset[str]:
        return frozenset(self._source)

    @cached_property
    def _source(self) -> dict[str, str]:
        return dict(self.sources)

    def classes(self) -> tuple[str, ...]:
        return self.of.classes()

    def ids(self, data_root: Path | None) -> list[str]:
        return self.of.ids(data_root)

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        scene = self.of.scene(data_root, scene_id)
        if scene_id not in self._source:
            return scene
        return Scene(scene_id, scene.image_HWC, self.labels_of(data_root, scene_id)[0])

    def image(self, data_root: Path | None, scene_id: str) -> np.ndarray:
        return self.of.image(data_root, scene_id)

    def shape(self, data_root: Path | None, scene_id: str) -> tuple[int, int]:
        return self.of.shape(data_root, scene_id)

    def files(self, data_root: Path | None, scene_id: str) -> tuple[Path, ...]:
        """The scene's image, its own label file, and the label file that it gets instead."""
        found = self.of.files(data_root, scene_id)
        source = self._source.get(scene_id, scene_id)
        return found if source == scene_id else (*found, *self.of.files(data_root, source)[1:])

    def labels_of(self, data_root: Path | None, scene_id: str) -> tuple[np.ndarray, dict[str, int]]:
        source = self._source.get(scene_id)
        labels_HW, unknown = self.of.labels_of(data_root, scene_id if source is None else source)
        if source is None:
            return labels_HW, unknown
        return _stretched(self._wrong(labels_HW, scene_id), self.shape(data_root, scene_id)), unknown

    def _wrong(self, labels_HW: np.ndarray, scene_id: str) -> np.ndarray:
        if self.kind == "mirrored":
            return labels_HW[:, ::-1].copy()
        if self.kind == "permuted":
            count = len(self.classes())
            by = random.Random(f"permuted {scene_id}").randrange(1, count)
            return np.where(labels_HW == IGNORE, IGNORE, (labels_HW.astype(np.int64) + by) % count).astype(np.uint8)
        return labels_HW

    def has_labels(self, data_root: Path | None) -> bool:
        return self.of.has_labels(data_root)

    @property
    def ignores_unknown(self) -> bool:
        return self.of.ignores_unknown

    def origin(self) -> dict[str, Any]:
        return self.of.origin() | {"canaries": [self.kind, *sorted(self.sources)]}

    def picture(self, scene_id: str) -> str:
        return self.of.picture(scene_id)

    def group(self, scene_id: str) -> str:
        return self.of.group(scene_id)


def _stretched(labels_HW: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels at another size: each pixel's is the nearest one's."""
    rows, columns = ((np.arange(n) * m // n) for n, m in zip(shape, labels_HW.shape, strict=True))
    return labels_HW[rows][:, columns]
