"""The data sets that a user downloads, made tiny: every file where its archive puts it, named and stored as there."""

import json
from pathlib import Path

import numpy as np
from helpers_files import photograph, write
from PIL import Image

# Mapillary's readable label names; the position is the pixel value.
V1_2 = """
Bird; Ground Animal; Curb; Fence; Guard Rail; Barrier; Wall; Bike Lane; Crosswalk - Plain; Curb Cut; Parking;
Pedestrian Area; Rail Track; Road; Service Lane; Sidewalk; Bridge; Building; Tunnel; Person; Bicyclist; Motorcyclist;
Other Rider; Lane Marking - Crosswalk; Lane Marking - General; Mountain; Sand; Sky; Snow; Terrain; Vegetation; Water;
Banner; Bench; Bike Rack; Billboard; Catch Basin; CCTV Camera; Fire Hydrant; Junction Box; Mailbox; Manhole;
Phone Booth; Pothole; Street Light; Pole; Traffic Sign Frame; Utility Pole; Traffic Light; Traffic Sign (Back);
Traffic Sign (Front); Trash Can; Bicycle; Boat; Bus; Car; Caravan; Motorcycle; On Rails; Other Vehicle; Trailer;
Truck; Wheeled Slow; Car Mount; Ego Vehicle; Unlabeled
"""
V2_0 = """
Bird; Ground Animal; Ambiguous Barrier; Concrete Block; Curb; Fence; Guard Rail; Barrier; Road Median; Road Side;
Lane Separator; Temporary Barrier; Wall; Bike Lane; Crosswalk - Plain; Curb Cut; Driveway; Parking; Parking Aisle;
Pedestrian Area; Rail Track; Road; Road Shoulder; Service Lane; Sidewalk; Traffic Island; Bridge; Building; Garage;
Tunnel; Person; Person Group; Bicyclist; Motorcyclist; Other Rider; Lane Marking - Dashed Line;
Lane Marking - Straight Line; Lane Marking - Zigzag Line; Lane Marking - Ambiguous; Lane Marking - Arrow (Left);
Lane Marking - Arrow (Other); Lane Marking - Arrow (Right); Lane Marking - Arrow (Split Left or Straight);
Lane Marking - Arrow (Split Right or Straight); Lane Marking - Arrow (Straight); Lane Marking - Crosswalk;
Lane Marking - Give Way (Row); Lane Marking - Give Way (Single); Lane Marking - Hatched (Chevron);
Lane Marking - Hatched (Diagonal); Lane Marking - Other; Lane Marking - Stop Line; Lane Marking - Symbol (Bicycle);
Lane Marking - Symbol (Other); Lane Marking - Text; Lane Marking (only) - Dashed Line;
Lane Marking (only) - Crosswalk; Lane Marking (only) - Other; Lane Marking (only) - Test; Mountain; Sand; Sky; Snow;
Terrain; Vegetation; Water; Banner; Bench; Bike Rack; Catch Basin; CCTV Camera; Fire Hydrant; Junction Box; Mailbox;
Manhole; Parking Meter; Phone Booth; Pothole; Signage - Advertisement; Signage - Ambiguous; Signage - Back;
Signage - Information; Signage - Other; Signage - Store; Street Light; Pole; Pole Group; Traffic Sign Frame;
Utility Pole; Traffic Cone; Traffic Light - General (Single); Traffic Light - Pedestrians;
Traffic Light - General (Upright); Traffic Light - General (Horizontal); Traffic Light - Cyclists;
Traffic Light - Other; Traffic Sign - Ambiguous; Traffic Sign (Back); Traffic Sign - Direction (Back);
Traffic Sign - Direction (Front); Traffic Sign (Front); Traffic Sign - Parking; Traffic Sign - Temporary (Back);
Traffic Sign - Temporary (Front); Trash Can; Bicycle; Boat; Bus; Car; Caravan; Motorcycle; On Rails; Other Vehicle;
Trailer; Truck; Vehicle Group; Wheeled Slow; Water Valve; Car Mount; Dynamic; Ego Vehicle; Ground; Static; Unlabeled
"""
READABLE = {version: text.strip().replace("\n", " ").split("; ") for version, text in (("v1.2", V1_2), ("v2.0", V2_0))}

CITIES = {"train": {"aachen": 3, "zurich": 2}, "val": {"munster": 2}, "train_extra": {"troisdorf": 1}}
BDD_STEMS = {"train": ["0004a4c0-d4dff0ad", "0004a4c0-e5c0a3b1", "00054602-3bf57337"], "val": ["7d06fefd-f7be05a6"]}
MAPILLARY_KEYS = {
    "training": ["--NSVcUgfVhFd6uzkqHOOg", "zDZ-0pmuW1X2XyjwGfjT9w"],
    "validation": ["-3-MmXdwhyIQhtb4-8NqHQ"],
}
VOC_LISTS = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033"]}
ADE_STEMS = {"training": ["ADE_train_00000001", "ADE_train_00000002"], "validation": ["ADE_val_00000001"]}
SIZE = (8, 16)


def values(first: int, last: int, *more: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Label values [H, W] that run through `first` to `last` and `more`, over and over."""
    return np.resize(np.array([*range(first, last + 1), *more], np.uint8), size)


def save(path: Path, pixels: np.ndarray, mode: str = "") -> None:
    """An image or label file; 'P' keeps the values and gives them colours, as Mapillary and VOC do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette([(37 * k + channel) % 256 for k in range(256) for channel in range(3)])
    image.save(path)


def save_pair(image: Path, labels: Path, stored: np.ndarray, mode: str = "") -> None:
    image.parent.mkdir(parents=True, exist_ok=True)
    photograph(stored, 0).save(image)
    save(labels, stored, mode)


def city_stems(folder: str) -> list[str]:
    return [f"{city}/{city}_{k:06d}_000019" for city, count in CITIES[folder].items() for k in range(count)]


def write_cityscapes(data_root: Path, kind: str = "gtFine", folders: tuple[str, ...] = ("train", "val")) -> None:
    """leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip (or gtCoarse.zip), test images without labels too."""
    root = data_root / "cityscapes"
    for folder in folders:
        for stem in city_stems(folder):
            labels = root / kind / folder / f"{stem}_{kind}"
            image = root / "leftImg8bit" / folder / f"{stem}_leftImg8bit.png"
            save_pair(image, labels.with_name(f"{labels.name}_labelIds.png"), values(0, 33))
            save(labels.with_name(f"{labels.name}_instanceIds.png"), values(0, 33).astype(np.uint16) * 1000)
            save(labels.with_name(f"{labels.name}_color.png"), np.zeros((*SIZE, 4), np.uint8))
            write(labels.with_name(f"{labels.name}_polygons.json"), "{}")
    save(
        root / "leftImg8bit" / "test" / "berlin" / "berlin_000000_000019_leftImg8bit.png",
        np.zeros((*SIZE, 3), np.uint8),
    )


def write_bdd100k(data_root: Path, old: bool = False) -> None:
    """The 10K images with the segmentation labels, or bdd100k_seg.zip; colour maps and test images too."""
    images, labels, colours, tail = "images/10k", "labels/sem_seg/masks", "labels/sem_seg/colormaps", ".png"
    if old:
        images, labels, colours, tail = "seg/images", "seg/labels", "seg/color_labels", "_train_id.png"
    root = data_root / "bdd100k"
    for folder, stems in BDD_STEMS.items():
        for stem in stems:
            save_pair(
                root / images / folder / f"{stem}.jpg", root / labels / folder / f"{stem}{tail}", values(0, 18, 255)
            )
            save(root / colours / folder / f"{stem}{tail}", np.zeros((*SIZE, 3), np.uint8))
    save(root / images / "test" / "ffffffff-00000000.jpg", np.zeros((*SIZE, 3), np.uint8))


def write_config(path: Path, names: list[str]) -> None:
    write(path, json.dumps({"labels": [{"name": f"a--{k}", "readable": name} for k, name in enumerate(names)]}))


def write_mapillary(data_root: Path, old: bool = False) -> None:
    """The archive with v1.2 and v2.0, or the older one with v1.2 alone; photographs of several sizes."""
    root = data_root / "mapillary"
    folders = {"v1.2": "labels"} if old else {"v1.2": "v1.2/labels", "v2.0": "v2.0/labels"}
    for version, below in folders.items():
        write_config(root / ("config.json" if old else f"config_{version}.json"), READABLE[version])
        for folder, keys in MAPILLARY_KEYS.items():
            for k, key in enumerate(keys):
                stored = values(0, len(READABLE[version]) - 1, size=(12 + 4 * k, 24))
                save_pair(root / folder / "images" / f"{key}.jpg", root / folder / below / f"{key}.png", stored, "P")
    save(root / "testing" / "images" / "AAAAAAAAAAAAAAAAAAAAAA.jpg", np.zeros((*SIZE, 3), np.uint8))


def write_voc(data_root: Path) -> None:
    """VOCtrainval_11-May-2012.tar: palette labels, lists, and an image that has no dense labels."""
    root = data_root / "VOCdevkit" / "VOC2012"
    for name, stems in VOC_LISTS.items():
        write(root / "ImageSets" / "Segmentation" / f"{name}.txt", "".join(f"{stem}\n" for stem in stems))
        for stem in stems:
            labels = root / "SegmentationClass" / f"{stem}.png"
            save_pair(root / "JPEGImages" / f"{stem}.jpg", labels, values(0, 20, 255), "P")
    every = sorted(stem for stems in VOC_LISTS.values() for stem in stems)
    write(root / "ImageSets" / "Segmentation" / "trainval.txt", "".join(f"{stem}\n" for stem in every))
    save(root / "JPEGImages" / "2008_000001.jpg", np.zeros((*SIZE, 3), np.uint8))


def write_ade20k(data_root: Path) -> None:
    """ADEChallengeData2016.zip; a photograph may be grey."""
    root = data_root / "ADEChallengeData2016"
    for folder, stems in ADE_STEMS.items():
        for stem in stems:
            labels = root / "annotations" / folder / f"{stem}.png"
            save_pair(root / "images" / folder / f"{stem}.jpg", labels, values(0, 150, size=(10, 16)))
    save(root / "images" / "training" / "ADE_train_00000002.jpg", values(0, 150, size=(10, 16)))


def write_downloads(data_root: Path) -> None:
    """Every data set of this file below one root."""
    for write_one in (write_cityscapes, write_bdd100k, write_mapillary, write_voc, write_ade20k):
        write_one(data_root)
