"""Canaries: scenes that a model is likely to learn by heart. They are the worst case of an audit."""

import random
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mia_seg.data import IGNORE, Dataset, Scene

Kind = Literal["swapped", "mirrored", "permuted", "pasted", "duplicated", "twinned"]
SAID: dict[Kind, str] = {
    "swapped": "scenes with the labels of another one",
    "mirrored": "scenes with mirrored labels",
    "permuted": "scenes with permuted classes",
    "pasted": "scenes with a rare object of another one pasted in",
    "duplicated": "scenes that are trained on twice",
    "twinned": "scenes with the labels of another one, beside a near twin with the right ones",
}
DARKER = 0.9  # the brightness of a twin
FEW = 0.01  # share of the labelled pixels that an object needs to be pasted, unless all have less


class WithCanaries(Dataset):
    """A data set in which some scenes are canaries.

    sources: (canary, the scene from which it gets something; for most kinds itself). kind: what a canary is.

    * swapped: its labels are the source's.
    * mirrored: left and right of its labels are exchanged.
    * permuted: class k becomes (k + c) mod K, c drawn by the id.
    * pasted: the source's rarest object lies over its image and its labels, which are right, then.
    * duplicated: a training sees it twice.
    * twinned: its labels are the source's. The source, its companion, shows the canary a little darker, and has the
      right labels.
    """

    of: Dataset
    kind: Kind
    sources: tuple[tuple[str, str], ...]

    @property
    def canaries(self) -> frozenset[str]:
        return frozenset(self._source) - self.companions

    @property
    def companions(self) -> frozenset[str]:
        return frozenset(i for i, _ in self.sources[1::2]) if self.kind == "twinned" else frozenset()

    @cached_property
    def _source(self) -> dict[str, str]:
        return dict(self.sources)

    def classes(self) -> tuple[str, ...]:
        return self.of.classes()

    def ids(self, data_root: Path | None) -> list[str]:
        return self.of.ids(data_root)

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        scene = self.of.scene(data_root, scene_id)
        if scene_id not in self._source or self.kind == "duplicated":
            return scene
        if self.kind == "pasted":
            return _pasted(scene, self.of.scene(data_root, self._source[scene_id]))
        if scene_id in self.companions:
            return _twin(scene, self.of.scene(data_root, self._source[scene_id]))
        return Scene(scene_id, scene.image_HWC, self.labels_of(data_root, scene_id)[0])

    def trained(self, ids: Sequence[str]) -> list[str]:
        if self.kind != "duplicated":
            return list(ids)
        return [*ids, *(scene_id for scene_id in ids if scene_id in self._source)]

    def image(self, data_root: Path | None, scene_id: str) -> np.ndarray:
        return self.of.image(data_root, scene_id)

    def shape(self, data_root: Path | None, scene_id: str) -> tuple[int, int]:
        return self.of.shape(data_root, scene_id)

    def files(self, data_root: Path | None, scene_id: str) -> tuple[Path, ...]:
        """The scene's image, its own label file, and the source's files from which it gets something."""
        found = self.of.files(data_root, scene_id)
        source = self._source.get(scene_id, scene_id)
        if source == scene_id:
            return found
        others = self.of.files(data_root, source)
        return (*found, *(others if self.kind == "pasted" or scene_id in self.companions else others[1:]))

    def labels_of(self, data_root: Path | None, scene_id: str) -> tuple[np.ndarray, dict[str, int]]:
        source = self._source.get(scene_id)
        if source is not None and self.kind == "pasted":
            return self.scene(data_root, scene_id).labels_HW, self.of.labels_of(data_root, scene_id)[1]
        labels_HW, unknown = self.of.labels_of(data_root, scene_id if source is None else source)
        if source is None or self.kind == "duplicated":
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
        return self.of.origin() | {"canaries": [self.kind, *sorted(self.sources), *sorted(self.companions)]}

    def picture(self, scene_id: str) -> str:
        return self.of.picture(scene_id)

    def group(self, scene_id: str) -> str:
        return self.of.group(scene_id)


def sources(kind: Kind, drawn: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """From which scene each drawn one gets something. Of an odd number of scenes, twins leave the last as it is."""
    if kind == "twinned":
        pairs = zip(drawn[::2], drawn[1::2], strict=False)
        return tuple(one for first, second in pairs for one in ((first, second), (second, first)))
    # Each takes the next one's labels or object: no map is lost, none stands beside its own image.
    others = [*drawn[1:], drawn[0]] if kind in ("swapped", "pasted") else drawn
    return tuple(zip(drawn, others, strict=True))


def _stretched(map_HW: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Labels or an image at another size: each pixel's is the nearest one's."""
    rows, columns = ((np.arange(n) * m // n) for n, m in zip(shape, map_HW.shape[:2], strict=True))
    return map_HW[rows][:, columns]


def _twin(scene: Scene, source: Scene) -> Scene:
    """The source, a little darker, in place of the scene."""
    image_HWC = np.rint(source.image_HWC * DARKER).astype(np.uint8)
    shape = scene.labels_HW.shape
    return Scene(scene.id, _stretched(image_HWC, shape), _stretched(source.labels_HW, shape))


def _pasted(scene: Scene, source: Scene) -> Scene:
    """The scene under all pixels of the source's rarest class, in image and labels.

    Classes with less than FEW of the labelled pixels count only if all have less.
    """
    shape = scene.labels_HW.shape
    labels_HW, image_HWC = _stretched(source.labels_HW, shape), _stretched(source.image_HWC, shape)
    classes, counts = np.unique(labels_HW[labels_HW != IGNORE], return_counts=True)
    if not len(classes):
        return scene
    seen = counts >= min(FEW * counts.sum(), counts.max())
    object_HW = labels_HW == classes[seen][counts[seen].argmin()]
    return Scene(
        scene.id,
        np.where(object_HW[..., None], image_HWC, scene.image_HWC),
        np.where(object_HW, labels_HW, scene.labels_HW),
    )
