"""What a victim of codes could answer at best: label maps of photographs put together from a codebook of others.

Run: python benchmarks/ceilings.py FOLDER     (FOLDER holds labelmefacade/)
The codebook is learnt of 150 photographs of LabelMeFacade, and 100 others are written by it: every cell as its nearest
patch, every pixel as that patch's likeliest class. The mIoU of that is what no network that names patches exceeds.
"""

import sys
import time
from pathlib import Path

import torch

from mia_seg.data import Scenes
from mia_seg.data.folder import Folder
from mia_seg.metrics.segmentation import confusion, utility
from mia_seg.segmenters._codebook import learn_codes
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


def label_maps(root: Path, size: tuple[int, int]) -> list[torch.Tensor]:
    photographs = Folder(path="labelmefacade", class_map="labelmefacade", size=size)
    order = torch.randperm(len(photographs.ids(root)), generator=torch.Generator().manual_seed(0)).tolist()
    ids = [photographs.ids(root)[index] for index in order[: LEARNT + WRITTEN]]
    return [torch.from_numpy(scene.labels_HW).long() for scene in Scenes(photographs, root, ids)]


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
