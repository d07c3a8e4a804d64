"""The examples of all data sets below one root, what they hold, and other forms that their archives have had."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from helpers_files import write
from PIL import Image

from mia_seg import data, plugins
from mia_seg.data import Dataset
from mia_seg.data._example import squares

CITIES = {"train": {"aachen": 3, "zurich": 2}, "val": {"munster": 2}, "train_extra": {"troisdorf": 2}}
BDD_STEMS = {"train": ["0004a4c0-d4dff0ad", "0004a4c0-e5c0a3b1", "00054602-3bf57337"], "val": ["7d06fefd-f7be05a6"]}
MAPILLARY_KEYS = {
    "training": ["--NSVcUgfVhFd6uzkqHOOg", "zDZ-0pmuW1X2XyjwGfjT9w"],
    "validation": ["-3-MmXdwhyIQhtb4-8NqHQ"],
}
VOC_LISTS = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033"]}
ADE_STEMS = {"training": ["ADE_train_00000001", "ADE_train_00000002"], "validation": ["ADE_val_00000001"]}
SIZE = (8, 16)


def values(first: int, last: int, *more: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Label values [H, W] that run through `first` to `last` and `more`, over and over, as in a first example scene."""
    return squares([*range(first, last + 1), *more], size)


def stored(path: Path) -> np.ndarray:
    """The pixels of an image file as they are."""
    with Image.open(path) as image:
        return np.array(image)


def write_examples(data_root: Path) -> None:
    """The example of every data set."""
    for name in plugins.names(data):
        plugins.load(data, Dataset, name).example(data_root)


def city_stems(folder: str) -> list[str]:
    return [f"{city}/{city}_{k:06d}_000019" for city, count in CITIES[folder].items() for k in range(count)]


def write_config(path: Path, names: Sequence[str]) -> None:
    write(path, json.dumps({"labels": [{"name": f"a--{k}", "readable": name} for k, name in enumerate(names)]}))


def add_coarse(data_root: Path) -> None:
    """Coarse labels of the cities that have fine ones, and of train_extra/troisdorf, which has Munster's scenes."""
    root = data_root / "cityscapes"
    for path in sorted((root / "gtFine").rglob("*.*")):
        _copy(path, Path(str(path).replace("gtFine", "gtCoarse")))
    for path in sorted(root.rglob("munster_*")):
        if "gtFine" not in path.name:
            _copy(path, Path(str(path).replace("/val/", "/train_extra/").replace("munster", "troisdorf")))


def make_old_bdd100k(data_root: Path) -> None:
    """The layout of bdd100k_seg.zip."""
    root = data_root / "bdd100k"
    (root / "seg").mkdir()
    for now, old in (
        ("images/10k", "images"),
        ("labels/sem_seg/masks", "labels"),
        ("labels/sem_seg/colormaps", "color_labels"),
    ):
        (root / now).rename(root / "seg" / old)
    for path in [*(root / "seg").rglob("*.png")]:
        path.rename(path.with_name(f"{path.stem}_train_id.png"))


def make_old_mapillary(data_root: Path) -> None:
    """The archive that had v1.2 alone."""
    root = data_root / "mapillary"
    (root / "config_v1.2.json").rename(root / "config.json")
    (root / "config_v2.0.json").unlink()
    for folder in MAPILLARY_KEYS:
        (root / folder / "v1.2" / "labels").rename(root / folder / "labels")
        for version in ("v1.2", "v2.0"):
            shutil.rmtree(root / folder / version)


def add_val(data_root: Path) -> None:
    """CamVid's val/: frames that lie 15 numbers behind those of train."""
    root = data_root / "camvid"
    for below in ("", "annot"):
        for path in sorted((root / f"train{below}").iterdir()):
            number = path.stem[-5:]
            stem = f"{path.stem.removesuffix(number)}{int(number) + 15:05d}"
            _copy(path, root / f"val{below}" / f"{stem}.png")


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
