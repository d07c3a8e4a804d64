"""Pairs per second of reading and augmenting Cityscapes-size pairs, compared with plain torchvision pipelines.

Run: python benchmarks/loading.py [--pairs 24] [--rounds 5] [--folder FOLDER]
One process, like one worker of a loader. All pipelines read the same files from the disk's cache and take turns,
A B C A B C, so a change of the machine's speed slows all; the median ratio counts. torchvision's data sets decode by
PIL. Its decode_image, deprecated since 0.29, reads the same PNG faster and is shown too. Neither torchvision pipeline
maps label ids to train ids, which mia-seg does.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.io import decode_image
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor

from mia_seg.data import IGNORE, Scenes
from mia_seg.data._labels import LABEL_IDS
from mia_seg.data.cityscapes import Cityscapes
from mia_seg.data.streets import Streets
from mia_seg.recipes import Train
from mia_seg.train import Crops

IMAGES = Path("cityscapes/leftImg8bit/train/aachen")
SIZE, CROP, MEAN = (1024, 2048), (713, 713), (124, 116, 104)
SETTINGS = Train(epochs=1, batch=2, lr=0.01, crop=CROP, scale=(0.5, 2.0), fill=MEAN)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=24)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--folder", type=Path, help="where the pairs are kept; default: a temporary folder")
    given = options.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        root = given.folder or Path(temporary)
        write_pairs(root, given.pairs)
        readers = {
            "torchvision, PIL": torchvision_reader(root, lambda path: pil_to_tensor(Image.open(path))),
            "torchvision, decode_image": torchvision_reader(root, decode_image),
            "mia-seg": our_reader(root),
        }
        rounds = [{name: seconds(read, k) for name, read in readers.items()} for k in range(given.rounds + 1)][1:]
    for name in readers:
        rate = given.pairs / statistics.median(r[name] for r in rounds)
        ratios = sorted(r[name] / r["mia-seg"] for r in rounds)
        print(
            f"{name:26} {rate:6.1f} pairs a CPU second   "
            f"mia-seg is {statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def write_pairs(root: Path, count: int) -> None:
    """Street scenes as Cityscapes' files, labels by its official ids."""
    dataset = Streets(size=SIZE, count=count)
    for index, scene_id in enumerate(dataset.ids(None)):
        path = root / IMAGES / f"aachen_{index:06d}_000019_leftImg8bit.png"
        if not path.is_file():
            scene = dataset.scene(None, scene_id)
            for file in (path, labels_of(path)):
                file.parent.mkdir(parents=True, exist_ok=True)
            stored = np.append(LABEL_IDS, np.zeros(237, int)).astype(np.uint8)[scene.labels_HW]
            Image.fromarray(stored).save(labels_of(path))
            Image.fromarray(scene.image_HWC).save(path)


def labels_of(image: Path) -> Path:
    return Path(str(image).replace("leftImg8bit", "gtFine").replace("_gtFine.png", "_gtFine_labelIds.png"))


def our_reader(root: Path):
    dataset = Cityscapes(folders=("train",))
    crops = Crops(Scenes(dataset, root, dataset.ids(root)), SETTINGS, 0)

    def read(epoch: int) -> None:
        crops.epoch = epoch
        for index in range(len(crops)):
            crops[index]

    return read


def torchvision_reader(folder: Path, decode):
    """What torchvision's own examples do, at the same crop and scales."""
    augment = v2.Compose(
        [
            v2.ScaleJitter(SIZE[::-1], SETTINGS.scale),  # it divides target_size[1] by the height
            v2.RandomCrop(CROP, pad_if_needed=True, fill={tv_tensors.Image: MEAN, tv_tensors.Mask: IGNORE}),
            v2.RandomHorizontalFlip(),
            v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64}, scale=True),
        ]
    )
    paths = sorted((folder / IMAGES).iterdir())

    def read(epoch: int) -> None:
        torch.manual_seed(epoch)
        for path in paths:
            augment(tv_tensors.Image(decode(path)), tv_tensors.Mask(decode(labels_of(path))))

    return read


def seconds(read, epoch: int) -> float:
    start = time.process_time()
    read(epoch)
    return time.process_time() - start


if __name__ == "__main__":
    main()
