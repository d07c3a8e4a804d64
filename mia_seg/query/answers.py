"""Answers on disk: strided float16 posteriors beside their labels, and full-resolution statistics a scene."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from pathlib import Path

import numpy as np

from mia_seg.data import IGNORE

POSTERIORS, LABELS, STATISTICS, INDEX = "posteriors.f16", "labels.u8", "statistics.npz", "index.json"


CUTS = {
    "band": ("boundary", "interior"),
    "size": ("small", "medium", "large"),
    "region": tuple(f"region {r}{c}" for r in range(3) for c in range(3)),
}
PARTS = tuple(chain.from_iterable(CUTS.values()))
TRIMS = (0.05, 0.25)


@dataclass(frozen=True)
class Statistics:
    """Sums over a scene's labelled pixels at full resolution, N scenes, K classes (by label) and G groups of pixels.

    pixels_NK, confusion_NKK (label, prediction): int64. loss_NK: sum of -log p. phi_NK: sum of the logit
    confidence log p - log(1 - p). part_*_NG: the same sums, and the pixels predicted rightly, over `PARTS`: the band
    beside label edges and what is not in it; objects (connected pixels of one label) below a thousandth of the image,
    below a hundredth and larger; the image in three rows and columns. Each of the three `CUTS` holds every pixel once.
    trimmed_loss_NT: mean of the largest losses, the shares in `TRIMS`. objects_N: how many objects there are.
    confidence_N: mean of the largest posterior over *all* pixels, labelled or not.
    """

    pixels_NK: np.ndarray
    confusion_NKK: np.ndarray
    loss_NK: np.ndarray
    phi_NK: np.ndarray
    part_pixels_NG: np.ndarray
    part_loss_NG: np.ndarray
    part_phi_NG: np.ndarray
    part_correct_NG: np.ndarray
    trimmed_loss_NT: np.ndarray
    objects_N: np.ndarray
    confidence_N: np.ndarray

    def __len__(self) -> int:
        return len(self.confidence_N)

    def mean_loss(self) -> np.ndarray:
        """Mean -log p over each scene's labelled pixels: [N]."""
        return self.loss_NK.sum(1) / np.maximum(self.pixels_NK.sum(1), 1)

    def mean_phi(self) -> np.ndarray:
        """Mean logit confidence over each scene's labelled pixels: [N]."""
        return self.phi_NK.sum(1) / np.maximum(self.pixels_NK.sum(1), 1)

    def take(self, rows: Sequence[int] | np.ndarray | slice) -> "Statistics":
        """The statistics of some scenes."""
        return Statistics(*(getattr(self, f.name)[rows] for f in fields(self)))

    def only(self, classes: Sequence[int]) -> "Statistics":
        """Sums over the pixels of some classes; what is not kept by class stays as it is."""
        kept = {name: getattr(self, name)[:, classes] for name in ("pixels_NK", "loss_NK", "phi_NK")}
        return replace(self, **kept, confusion_NKK=self.confusion_NKK[:, classes][:, :, classes])


@dataclass(frozen=True)
class Answer:
    """What a black box returned for one scene, at the stride: posterior_KHW float32, labels_HW uint8 (255 ignored)."""

    posterior_KHW: np.ndarray
    labels_HW: np.ndarray


@dataclass(frozen=True)
class Answers(Sequence[Answer]):
    """A black box's answers to some scenes: all that an attack may see.

    kept: the stored classes that are shown. population: statistics of answers to scenes that no model of the audit
    trained on, if an attack needs them. transforms: name -> statistics of answers to the transformed scenes.
    difficulty_N: how hard the labels are to predict from the images, if an attack needs it.
    """

    path: Path
    ids: list[str]
    shapes: list[tuple[int, int]]
    offsets: list[int]
    stored: int
    kept: tuple[int, ...]
    statistics: Statistics
    population: Statistics | None = None
    transforms: Mapping[str, Statistics] = field(default_factory=dict)
    difficulty_N: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> int:
        """How many classes the answers show."""
        return len(self.kept)

    def __getitem__(self, index: int) -> Answer:  # type: ignore[override]
        return self.cut(index, slice(None), slice(None))

    def cut(self, index: int, rows: slice, columns: slice) -> Answer:
        """A part of an answer; only this part is read from disk."""
        height, width = self.shapes[index]
        cells = self.offsets[index]
        # Mapped anew at each access: pages of scenes already read do not count as this process's memory.
        posterior = np.memmap(
            self.path / POSTERIORS, np.float16, "r", 2 * self.stored * cells, (self.stored, height, width)
        )
        labels = np.memmap(self.path / LABELS, np.uint8, "r", cells, (height, width))
        posterior_KHW, labels_HW = posterior[:, rows, columns].astype(np.float32), np.array(labels[rows, columns])
        if self.classes == self.stored:
            return Answer(posterior_KHW, labels_HW)
        return _restrict(posterior_KHW, labels_HW, self.kept)

    def take(self, ids: Sequence[str]) -> "Answers":
        """The answers to some scenes, in the order of `ids`."""
        row = {scene_id: i for i, scene_id in enumerate(self.ids)}
        rows = [row[scene_id] for scene_id in ids]
        return replace(
            self,
            ids=list(ids),
            shapes=[self.shapes[r] for r in rows],
            offsets=[self.offsets[r] for r in rows],
            statistics=self.statistics.take(rows),
            transforms={transform: statistics.take(rows) for transform, statistics in self.transforms.items()},
            difficulty_N=None if self.difficulty_N is None else self.difficulty_N[rows],
        )

    def labelled(self) -> "Answers":
        """The answers to scenes with a labelled pixel in the shown classes, in every transform; others have no loss."""
        every = [self.statistics, *self.transforms.values()]
        has_N = np.all([statistics.pixels_NK.any(1) for statistics in every], axis=0)
        return self if has_N.all() else self.take([scene for scene, has in zip(self.ids, has_N, strict=True) if has])

    def occurring(self) -> set[int]:
        """The stored classes that have a pixel in these scenes' labels."""
        return {self.kept[k] for k in np.flatnonzero(self.statistics.pixels_NK.any(0))}

    def only(self, classes: Sequence[int]) -> "Answers":
        """The answers with only some stored classes: other labels are ignored, posteriors divided by their sum."""
        places = [self.kept.index(k) for k in classes]
        transforms = {transform: statistics.only(places) for transform, statistics in self.transforms.items()}
        return replace(self, kept=tuple(classes), statistics=self.statistics.only(places), transforms=transforms)


def _restrict(posterior_KHW: np.ndarray, labels_HW: np.ndarray, kept: Sequence[int]) -> Answer:
    table = np.full(256, IGNORE, np.uint8)
    table[list(kept)] = np.arange(len(kept))
    posterior = posterior_KHW[list(kept)]
    # Where all mass lies on classes that are left out, the answer says nothing about the others.
    total = posterior.sum(0)
    even = np.float32(1 / len(kept))
    return Answer(np.where(total > 0, posterior / np.where(total > 0, total, 1), even), table[labels_HW])


def load(path: Path) -> Answers:
    """The answers that `query` wrote into a folder. Raises ValueError or OSError where they are damaged."""
    index = json.loads((path / INDEX).read_text(encoding="utf-8"))
    shapes = [(h, w) for h, w in index["shapes"]]
    offsets = [0, *np.cumsum([h * w for h, w in shapes]).tolist()][:-1]
    cells = sum(h * w for h, w in shapes)
    for name, size in ((POSTERIORS, 2 * index["classes"] * cells), (LABELS, cells)):
        if (path / name).stat().st_size != size:
            raise ValueError(f"{name} has {(path / name).stat().st_size} bytes instead of {size}")
    with (path / STATISTICS).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        statistics = Statistics(**{f.name: arrays[f.name] for f in fields(Statistics)})
    stored = index["classes"]
    return Answers(path, index["ids"], shapes, offsets, stored, tuple(range(stored)), statistics)
