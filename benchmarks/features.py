"""How even the features of a class are, layer by layer, and how far those of two classes overlap (thesis, table 6.3).

Run: python benchmarks/features.py labelmefacade_small_19 --data-root FOLDER [--store runs] > benchmarks/features.md
The victim, a network on ResNet-18, is taken from the store, where it was trained with the seeds of `--seed` (0, 1
and 2); means over them are printed. Its members are shown whole. Each scene's features of a layer are divided by
their length over channels and cells, and multiplied by 100, so that layers can be compared. For each channel the range
of 99% of its values has 64 bins. Entropy: that of a class's values in these bins, in nats, the mean over classes and
channels. Overlap: the intersection of two classes' histograms over their union, the mean over pairs of classes and
channels. A cell has the label of its middle pixel; a class counts if it has 200 cells or more.

The thesis has an entropy of 4.8 for images, 3.1 to 4.1 for layers of ResNet-101, and an overlap of 0.56 and 0.28 to
0.53. It does not tell the number of bins.
"""

import argparse
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from mia_seg.data import IGNORE, Scenes
from mia_seg.pipeline import Pipeline
from mia_seg.segmenters import Network
from mia_seg.stages.models import TrainedModel
from mia_seg.store import Store
from mia_seg.workspace import Workspace

BINS, FEWEST, LENGTH = 64, 200, 100.0
RANGE = 0.005, 0.995  # what lies beyond these quantiles is counted in the outer bins


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("victim")
    options.add_argument("--data-root", type=Path, required=True)
    options.add_argument("--store", type=Path, default=Path("runs"))
    options.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    given = options.parse_args()
    workspace = Workspace(Store(given.store), given.data_root, device="cpu")
    models = [Pipeline(workspace).trained_victim(given.victim, seed) for seed in given.seed]
    found = [measured(model, workspace) for model in models]
    command, _, about = (__doc__ or "").partition("Run: ")[2].partition("\n")
    print(
        f"# How even features are, and how far those of two classes overlap\n\nMade by `{command}`.\n{about.strip()}\n"
    )
    for model, (scenes, _) in zip(models, found, strict=True):
        print(f"* Seed {model.seed}: {scenes} members, victim `{model.digest}`.")
    print("\n| layer | channels | stride | entropy | overlap |\n|---|---:|---:|---:|---:|")
    for name, (channels, stride, *_) in found[0][1].items():
        entropy, overlap = (fmean(rows[name][place] for _, rows in found) for place in (2, 3))
        print(f"| {name} | {channels} | {stride} | {entropy:.2f} | {overlap:.2f} |")


def measured(model: TrainedModel, workspace: Workspace) -> tuple[int, dict[str, tuple[int, int, float, float]]]:
    """The number of a model's members, and of each layer channels, stride, entropy and overlap."""
    members = model.partition(workspace.store).members
    scenes = list(Scenes(model.dataset, workspace.data_root, members))
    images = torch.stack([torch.from_numpy(scene.image_HWC).permute(2, 0, 1) / 255 for scene in scenes])
    labels = torch.stack([torch.from_numpy(scene.labels_HW).long() for scene in scenes])
    rows = {}
    for name, feature_NCHW in layers(model.network(workspace.store), images).items():
        stride = images.shape[-1] // feature_NCHW.shape[-1]
        numbers = statistics(feature_NCHW, labels[:, stride // 2 :: stride, stride // 2 :: stride])
        rows[name] = (feature_NCHW.shape[1], stride, *numbers)
    return len(scenes), rows


@torch.inference_mode()
def layers(network: Network, images: Tensor) -> dict[str, Tensor]:
    """The image, and the sum of every residual block before its ReLU."""
    found = {"image": images}
    blocks = [(name, module) for name, module in network.named_modules() if type(module).__name__ == "BasicBlock"]
    hooks = []
    for name, block in blocks:
        # What enters the last ReLU is the sum; where a network is cut, this ReLU is the identity.
        def note(module: object, taken: tuple[Tensor], *, name: str = called(name)) -> None:
            found[name] = taken[0].clone()

        hooks.append(block.act2.register_forward_pre_hook(note))
    network(images)
    for hook in hooks:
        hook.remove()
    return found


def called(module: str) -> str:
    """'conv3, block 1' for `backbone.layer2.0`: the literature's names of a ResNet's layers."""
    layer, block = module.removeprefix("backbone.layer").split(".")
    return f"conv{int(layer) + 1}, block {int(block) + 1}"


def statistics(feature_NCHW: Tensor, labels_NHW: Tensor) -> tuple[float, float]:
    """Entropy and overlap."""
    length_N = feature_NCHW.flatten(1).norm(dim=1)
    feature_CP = (LENGTH * feature_NCHW / length_N[:, None, None, None]).transpose(0, 1).flatten(1)
    low_C, high_C = (torch.from_numpy(np.quantile(feature_CP.numpy(), share, axis=1)) for share in RANGE)
    place_CP = (feature_CP - low_C[:, None]) / (high_C - low_C)[:, None].clamp(min=1e-12) * BINS
    place_CP = place_CP.long().clamp(0, BINS - 1)
    flat_P = labels_NHW.flatten()
    classes = [k for k in flat_P.unique().tolist() if k != IGNORE and (flat_P == k).sum() >= FEWEST]
    histograms = np.stack([of_class(place_CP[:, flat_P == k]) for k in classes])  # [K, C, bins], each of sum 1
    entropy_KC = -(histograms * np.log(np.where(histograms > 0, histograms, 1))).sum(2)
    overlaps = [(np.minimum(a, b).sum(1) / np.maximum(a, b).sum(1)).mean() for a, b in combinations(histograms, 2)]
    return float(entropy_KC.mean()), float(np.mean(overlaps))


def of_class(place_CP: Tensor) -> np.ndarray:
    """The share of a class's cells in each bin of each channel."""
    counts = np.zeros((len(place_CP), BINS))
    for channel, place_P in enumerate(place_CP):
        counts[channel] = np.bincount(place_P.numpy(), minlength=BINS)
    return counts / place_CP.shape[1]


if __name__ == "__main__":
    main()
