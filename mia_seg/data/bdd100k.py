"""BDD100K (Yu et al., CVPR 2020), its 10K images with semantic segmentation: Cityscapes' 19 classes, 1280 x 720."""

from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from mia_seg.data import IGNORE
from mia_seg.data._example import save, save_pair, squares
from mia_seg.data._files import by_stem, check_case, folder, inside
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data._paired import Found, Paired, look_up, same

# Where images lie -> where their labels lie, in the present archives and in the older bdd100k_seg.zip.
LAYOUTS = {"images/10k": "labels/sem_seg/masks", "seg/images": "seg/labels"}


class BDD100K(Paired):
    """`<data root>/bdd100k/images/10k/<folder>/<stem>.jpg` and `labels/sem_seg/masks/<folder>/<stem>.png`.

    From bdd-data.berkeley.edu: "10K Images" and "Semantic Segmentation". The older bdd100k_seg.zip, with
    `seg/images/<folder>/<stem>.jpg` and `seg/labels/<folder>/<stem>_train_id.png`, is read too; both names of label
    files are known in both. Their colour maps are not read.
    """

    official: ClassVar[dict[str, int]] = {"train": 7000, "val": 1000}

    folders: tuple[Literal["train", "val"], ...] = Field(
        default=("train", "val"), description="which folders; test has no labels"
    )

    def classes(self) -> tuple[str, ...]:
        return tuple(CITYSCAPES)

    def parts(self) -> tuple[str, ...]:
        return self.folders

    def group(self, scene_id: str) -> str:
        """The video: the part of the stem before '-'."""
        return scene_id.rpartition("/")[2].partition("-")[0]

    def root(self, data_root: Path | None) -> Path:
        root = folder(data_root, "bdd100k")
        # Its archives hold a folder bdd100k/ of their own: extracted inside one, they nest.
        return root / "bdd100k" if (root / "bdd100k").is_dir() else root

    def find(self, root: Path, part: str) -> Found:
        for layout in LAYOUTS:
            check_case(root, layout)
        layout = next((layout for layout in LAYOUTS if (root / layout).is_dir()), "images/10k")
        where = inside(root, f"{layout}/{part}", "Extract the 10K images there.")
        labels = inside(root, f"{LAYOUTS[layout]}/{part}", "Extract the labels there; colormaps/ holds no ids.")
        return where, by_stem(where, ".jpg"), by_stem(labels, "_train_id.png", ".png")

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """The 10K images with the segmentation labels; colour maps and test images too."""
        root = data_root / "bdd100k"
        stems = (
            "train/0004a4c0-d4dff0ad",
            "train/0004a4c0-e5c0a3b1",
            "train/00054602-3bf57337",
            "val/7d06fefd-f7be05a6",
        )
        for k, stem in enumerate(stems):
            stored, below = squares([*range(len(CITYSCAPES)), IGNORE], (8, 16), k), root / "labels/sem_seg"
            save_pair(root / f"images/10k/{stem}.jpg", below / f"masks/{stem}.png", stored, seed=k)
            save(below / f"colormaps/{stem}.png", np.zeros((8, 16, 3), np.uint8))
        save(root / "images/10k/test/ffffffff-00000000.jpg", np.zeros((8, 16, 3), np.uint8))
        return cls()

    def decode(self, stored: np.ndarray, path: Path) -> np.ndarray:
        return look_up(stored, same(len(CITYSCAPES)), path)
