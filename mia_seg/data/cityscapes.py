"""Cityscapes (Cordts et al., CVPR 2016) as downloaded: 19 classes, 2048 x 1024, 21 cities in fine labels."""

import os
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mia_seg.data import IGNORE
from mia_seg.data._example import save, save_pair, squares, write
from mia_seg.data._files import by_stem, check_case, entries, inside
from mia_seg.data._labels import CITYSCAPES, LABEL_IDS
from mia_seg.data._paired import Found, Paired, look_up, same
from mia_seg.errors import AbsentData, MiaSegError

ROOT_VARIABLE = "CITYSCAPES_DATASET"  # the official scripts' name for the root
IMAGES, TRAIN_IDS = "leftImg8bit", "_labelTrainIds.png"
LABELS = {"fine": "gtFine", "coarse": "gtCoarse"}
ARCHIVES = {
    "gtFine": "gtFine_trainvaltest.zip", "gtCoarse": "gtCoarse.zip",
    "train": "leftImg8bit_trainvaltest.zip", "val": "leftImg8bit_trainvaltest.zip",
    "train_extra": "leftImg8bit_trainextra.zip",
}  # fmt: skip
TO_TRAIN_ID = dict.fromkeys(range(34), IGNORE) | {label: k for k, label in enumerate(LABEL_IDS)}
CITIES = {
    "train": {
        "aachen": 174, "bochum": 96, "bremen": 316, "cologne": 154, "darmstadt": 85, "dusseldorf": 221, "erfurt": 109,
        "hamburg": 248, "hanover": 196, "jena": 119, "krefeld": 99, "monchengladbach": 94, "strasbourg": 365,
        "stuttgart": 196, "tubingen": 144, "ulm": 95, "weimar": 142, "zurich": 122,
    },
    "val": {"frankfurt": 267, "lindau": 59, "munster": 174},
}  # fmt: skip


class Cityscapes(Paired):
    """`<data root>/cityscapes/leftImg8bit/<folder>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png`.

    Labels: `gtFine/<folder>/<city>/..._gtFine_labelIds.png` (or `gtCoarse/`, `_gtCoarse_`), as downloaded; a
    `labelTrainIds.png` beside it goes first. From cityscapes-dataset.com, with an account: leftImg8bit_trainvaltest.zip
    and gtFine_trainvaltest.zip; for coarse labels also gtCoarse.zip and leftImg8bit_trainextra.zip. The data root may
    itself be the folder that holds `leftImg8bit/`; where neither is there, CITYSCAPES_DATASET names it.
    """

    official: ClassVar[dict[str, int]] = {"train_extra": 19_998} | {
        f"{folder}/{city}": count for folder, cities in CITIES.items() for city, count in cities.items()
    }

    folders: tuple[Literal["train", "val", "train_extra"], ...] = Field(
        default=("train", "val"), description="which folders; train_extra has coarse labels alone, test has none"
    )
    annotation: Literal["fine", "coarse"] = Field(default="fine", description="labels to read: gtFine or gtCoarse")
    group_by: Literal["city", "sequence"] = Field(
        default="city", description="what the scenes of a group have in common"
    )

    @model_validator(mode="after")
    def _extra_is_coarse(self) -> "Cityscapes":
        if self.annotation == "fine" and "train_extra" in self.folders:
            raise ValueError("train_extra has coarse labels alone; leave it out or set annotation = 'coarse'")
        return self

    def classes(self) -> tuple[str, ...]:
        return tuple(CITYSCAPES)

    def parts(self) -> tuple[str, ...]:
        return self.folders

    def group(self, scene_id: str) -> str:
        """'aachen', or 'aachen_000000' by sequence; ids that are not of this form are groups of their own."""
        city, sequence = (*scene_id.rpartition("/")[2].split("_"), "")[:2]
        return city if self.group_by == "city" else f"{city}_{sequence}"

    def root(self, data_root: Path | None) -> Path:
        variable = os.environ.get(ROOT_VARIABLE)
        if data_root is not None and (data_root / "cityscapes").is_dir():
            return data_root / "cityscapes"
        for place in (data_root, Path(variable) if variable else None):
            if place is not None:
                check_case(place, IMAGES)
                if (place / IMAGES).is_dir():
                    return place
        if data_root is not None:
            check_case(data_root, "cityscapes")
        raise _absent(data_root, variable)

    def find(self, root: Path, part: str) -> Found:
        kind = LABELS[self.annotation]
        where = inside(root, f"{IMAGES}/{part}", f"Extract {ARCHIVES[part]} there.")
        images = _of_cities(where, f"_{IMAGES}.png")
        beside = inside(root, f"{kind}/{part}", f"Extract {ARCHIVES[kind]} there.")
        labels = _of_cities(beside, f"_{kind}_labelIds.png") | _of_cities(beside, f"_{kind}{TRAIN_IDS}")
        return where, images, labels

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, a test image without labels too."""
        root = data_root / "cityscapes"
        counts = {"train/aachen/aachen": 3, "train/zurich/zurich": 2, "val/munster/munster": 2}
        stems = [f"{city}_{k:06d}_000019" for city, count in counts.items() for k in range(count)]
        for k, stem in enumerate(stems):
            stored, below = squares(range(len(TO_TRAIN_ID)), (8, 16), k), root / "gtFine"
            image = root / f"{IMAGES}/{stem}_{IMAGES}.png"
            save_pair(image, below / f"{stem}_gtFine_labelIds.png", stored, seed=k)
            save(below / f"{stem}_gtFine_instanceIds.png", stored.astype(np.uint16) * 1000)
            save(below / f"{stem}_gtFine_color.png", np.zeros((8, 16, 4), np.uint8))
            write(below / f"{stem}_gtFine_polygons.json", "{}")
        save(root / f"{IMAGES}/test/berlin/berlin_000000_000019_{IMAGES}.png", np.zeros((8, 16, 3), np.uint8))
        return cls()

    def decode(self, stored: np.ndarray, path: Path) -> np.ndarray:
        in_train_ids = path.name.lower().endswith(TRAIN_IDS.lower())
        return look_up(stored, same(len(CITYSCAPES)) if in_train_ids else TO_TRAIN_ID, path)

    def variants(self) -> dict[str, Paired]:
        return {
            "fine": Cityscapes(),
            "coarse": Cityscapes(folders=("train", "val", "train_extra"), annotation="coarse"),
        }


def _absent(data_root: Path | None, variable: str | None) -> MiaSegError:
    """Which three places were looked at; a root that is not there hides every data set, and is no absent one."""
    below = "no --data-root (or MIA_SEG_DATA) is given"
    if data_root is not None:
        below = f"{data_root / 'cityscapes'} does not exist, {data_root} holds no '{IMAGES}/'"
    named = f"{variable} ({ROOT_VARIABLE}) holds none either" if variable else f"{ROOT_VARIABLE} is not set"
    return (AbsentData if data_root is not None and data_root.is_dir() else MiaSegError)(
        f"Data set 'cityscapes' was looked for in three places: {below}, and {named}. Point --data-root (or "
        f"MIA_SEG_DATA) to the folder that has 'cityscapes/'."
    )


def _of_cities(path: Path, tail: str) -> dict[str, Path]:
    """'<city>/<city>_<sequence>_<frame>' -> file, over the folders of the cities."""
    cities = [city for city in entries(path) if (path / city).is_dir()]
    return {f"{city}/{stem}": file for city in cities for stem, file in by_stem(path / city, tail).items()}
