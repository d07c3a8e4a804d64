"""PASCAL VOC 2012 (Everingham et al., IJCV 2010) segmentation: 20 things and background, photographs of all sizes."""

from collections.abc import Set
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mia_seg.data import IGNORE
from mia_seg.data._example import save, save_pair, squares, write
from mia_seg.data._files import by_stem, folder, inside
from mia_seg.data._lists import READ, read_list, shown
from mia_seg.data._paired import Found, Paired, look_up, same
from mia_seg.data._pixels import Stored
from mia_seg.errors import AbsentPart, MiaSegError

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
WITHIN = {"trainval": {"train", "val"}, "trainaug": {"train"}}  # lists that hold the scenes of others
LISTS = "ImageSets/Segmentation"


class VOC(Paired):
    """`<data root>/VOCdevkit/VOC2012/JPEGImages/<stem>.jpg` and `SegmentationClass/<stem>.png`.

    Which belong together say `ImageSets/Segmentation/{train,val,trainval}.txt`. From VOCtrainval_11-May-2012.tar. The
    augmented labels of SBD lie beside them as `SegmentationClassAug/`, their list as `trainaug.txt`.
    """

    official: ClassVar[dict[str, int]] = {"train": 1464, "val": 1449, "trainaug": 10_582}

    folders: tuple[Literal["train", "val", "trainval", "trainaug"], ...] = Field(
        default=("train", "val"), description="which lists of ImageSets/Segmentation; test has no labels"
    )
    annotation: Literal["SegmentationClass", "SegmentationClassAug"] = Field(
        default="SegmentationClass", description="labels to read: VOC's own, or those augmented by SBD"
    )

    @model_validator(mode="after")
    def _no_scene_twice(self) -> "VOC":
        for outer, inner in WITHIN.items():
            both = inner.intersection(self.folders) if outer in self.folders else set()
            if both:
                raise ValueError(f"{outer} holds the scenes of {', '.join(sorted(both))}; name one of them")
        if {"trainval", "trainaug"} <= set(self.folders):
            raise ValueError("trainval and trainaug share scenes; name one of them")
        return self

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def parts(self) -> tuple[str, ...]:
        return self.folders

    def root(self, data_root: Path | None) -> Path:
        return folder(data_root, "VOCdevkit/VOC2012")

    def find(self, root: Path, part: str) -> Found:
        """The pairs that a list names; JPEGImages/ holds many more images, which have no dense labels.

        SBD's lists name an image and its labels a line: '/JPEGImages/a.jpg /SegmentationClassAug/a.png'.
        """
        where, labels = inside(root, "JPEGImages"), inside(root, self.annotation)
        sides = by_stem(where, ".jpg"), by_stem(labels, ".png")
        stems = _stems(inside(root, LISTS) / f"{part}.txt", sides[0].keys() | sides[1].keys())
        images, drawn = ({stem: side[stem] for stem in stems if stem in side} for side in sides)
        return where, images, drawn

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """VOCtrainval_11-May-2012.tar: palette labels, lists, and an image that has no dense labels."""
        root = data_root / "VOCdevkit/VOC2012"
        lists = {"train": ("2007_000032", "2007_000039"), "val": ("2007_000033",)}
        lists["trainval"] = tuple(sorted(stem for stems in lists.values() for stem in stems))
        for name, stems in lists.items():
            write(root / LISTS / f"{name}.txt", "".join(f"{stem}\n" for stem in stems))
        for k, stem in enumerate(lists["trainval"]):
            stored, labels = squares([*range(len(CLASSES)), IGNORE], (8, 16), k), root / f"SegmentationClass/{stem}.png"
            save_pair(root / f"JPEGImages/{stem}.jpg", labels, stored, seed=k, mode="P")
        save(root / "JPEGImages/2008_000001.jpg", np.zeros((8, 16, 3), np.uint8))
        return cls()

    def stored_as(self) -> Stored:
        """A palette in VOC's own labels, grey in the augmented ones."""
        return "ids"

    def decode(self, stored: np.ndarray, path: Path) -> np.ndarray:
        return look_up(stored, same(len(CLASSES)), path)

    def variants(self) -> dict[str, Paired]:
        return {
            "": VOC(),
            "SegmentationClassAug": VOC(folders=("trainaug", "val"), annotation="SegmentationClassAug"),
        }


def _stems(path: Path, known: Set[str]) -> list[str]:
    """The stems that a list names, each of which has an image or labels."""
    try:
        stems, neither = read_list(path, known)
    except FileNotFoundError:
        raise AbsentPart(f"{path} does not exist. Put the list of scenes there, or leave it out.") from None
    if neither:
        raise MiaSegError(
            f"{path} names {len(neither)} scenes that have neither image nor labels ({shown(neither)}). {READ}. "
            f"Extract the archive again, whole, or correct the list."
        )
    return stems
