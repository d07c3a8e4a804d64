"""The best predictions that victims of codes (GSS) and of regions (superpixels) could give, from true label maps.

Run: python benchmarks/ceilings.py FOLDER     (FOLDER holds labelmefacade/)
The codebook is learnt from 150 photographs of LabelMeFacade. The label maps of 100 others are coded by it: each cell by
its nearest patch, and each pixel then gets that patch's most likely class. Superpixels are cut from the same 100
photographs, and each gets the class of most of its pixels. Where scikit-image is installed, its superpixels stand
beside ours, at the best of three compactness values.
"""

import sys
import time
from contextlib import suppress
from pathlib import Path

import torch

from mia_seg.data import Scenes
from mia_seg.data.folder import Folder
from mia_seg.metrics.segmentation import confusion, utility
from mia_seg.segmenters._codebook import learn_codes
from mia_seg.segmenters._regions import pool, superpixels
from mia_seg.segmenters.gss import GSSNetwork

LEARNT, WRITTEN = 150, 100


def main(root: Path) -> None:
    print("| size | cell | codes | mIoU of the label maps, rewritten | s to learn |\n|---|---:|---:|---:|---:|")
    for size in ((96, 128), (48, 64)):
        maps = label_maps(root, size)
        for cell, codes in ((2, 128), (4, 64), (4, 128), (4, 256), (8, 64), (8, 128), (8, 256)):
            began = time.monotonic()
            codebook = learn_codes(maps[:LEARNT], codes, classes=8, cell=cell)
            seconds, miou = time.monotonic() - began, rewritten(codebook, maps[LEARNT:])
            print(f"| {size[0]} x {size[1]} | {cell} | {codes} | {miou:.3f} | {seconds:.1f} |", flush=True)
    print("\n| size | regions | mIoU of a class a region | scikit-image's |\n|---|---:|---:|---:|")
    for size, pixels in (((96, 128), 64), ((96, 128), 16), ((48, 64), 64), ((48, 64), 16)):
        scenes = list(scenes_of(root, size))[LEARNT:]
        images = torch.stack([torch.from_numpy(scene.image_HWC).permute(2, 0, 1) / 255 for scene in scenes])
        ours, theirs = by_regions(scenes, superpixels(images, pixels)[0]), "not installed"
        with suppress(ImportError):
            theirs = f"{max(by_regions(scenes, slic(scenes, pixels, c)) for c in (5, 10, 20)):.3f}"
        print(f"| {size[0]} x {size[1]} | {size[0] * size[1] // pixels} | {ours:.3f} | {theirs} |", flush=True)


def slic(scenes, pixels: int, compactness: float) -> torch.Tensor:
    from skimage import segmentation

    regions = scenes[0].labels_HW.size // pixels
    found = [segmentation.slic(s.image_HWC, regions, compactness=compactness, start_label=0) for s in scenes]
    return torch.stack([torch.from_numpy(one) for one in found])


def by_regions(scenes, region_NHW: torch.Tensor) -> float:
    counts = 0
    for scene, region_HW in zip(scenes, region_NHW, strict=True):
        onehot = (torch.from_numpy(scene.labels_HW) == torch.arange(8)[:, None, None]).float()
        said = pool(onehot[None], region_HW[None], int(region_HW.max()) + 1)
        counts = counts + confusion(scene.labels_HW, said[0].argmax(0).numpy(), 8)
    return utility(counts)["miou"]


def label_maps(root: Path, size: tuple[int, int]) -> list[torch.Tensor]:
    return [torch.from_numpy(scene.labels_HW).long() for scene in scenes_of(root, size)]


def scenes_of(root: Path, size: tuple[int, int]) -> Scenes:
    photographs = Folder(path="labelmefacade", class_map="labelmefacade", size=size)
    order = torch.randperm(len(photographs.ids(root)), generator=torch.Generator().manual_seed(0)).tolist()
    ids = [photographs.ids(root)[index] for index in order[: LEARNT + WRITTEN]]
    return Scenes(photographs, root, ids)


def rewritten(codebook: torch.Tensor, maps: list[torch.Tensor]) -> float:
    network = GSSNetwork.__new__(GSSNetwork)
    torch.nn.Module.__init__(network)
    network.register_buffer("codebook", codebook)
    counts = 0
    for labels in maps:
        code = network.codes_of(labels[None]).clamp(min=0)
        said = network.posterior(100 * torch.eye(len(codebook))[code].permute(0, 3, 1, 2), tuple(labels.shape))
        counts = counts + confusion(labels.numpy(), said[0].argmax(0).numpy(), 8)
    return utility(counts)["miou"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
