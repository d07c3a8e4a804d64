"""Scenes, networks and answers small enough to make inside a test, by the real classes and the real file format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mia_seg.data import IGNORE, Dataset, Scene, Scenes
from mia_seg.defenses import AnswerDefense, Defense, NetworkDefense
from mia_seg.generators import WithGenerator, cut_of
from mia_seg.generators.dfgan import DFGAN
from mia_seg.oracles import Oracle, as_is
from mia_seg.oracles.network import NetworkOracle
from mia_seg.plugins import Component
from mia_seg.query import Recording, answers, query
from mia_seg.query.answers import Answers
from mia_seg.recipes import Window
from mia_seg.segmenters import Network


class Held(Dataset):
    """A data set of hand-made scenes."""

    count: int
    held: dict[str, Any] = Field(description="scenes by id")

    def classes(self) -> tuple[str, ...]:
        return tuple(f"class {k}" for k in range(self.count))

    def ids(self, data_root: Path | None) -> list[str]:
        return sorted(self.held)

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        return self.held[scene_id]


class Toy(Network):
    """A segmenter of three layers; remembers the sizes and types of what went through it."""

    def __init__(self, classes: int, dropout: float | None = 0.1) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8))
        self.drop = nn.Identity() if dropout is None else nn.Dropout(dropout)
        self.classify = nn.Conv2d(8, classes, 3, padding=1)
        self.seen: list[tuple[torch.Size, torch.dtype]] = []

    def encode(self, image_N3HW: Tensor) -> Tensor:
        feature = self.backbone(image_N3HW)
        self.seen.append((image_N3HW.shape, feature.dtype))
        return feature

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(self.classify(self.drop(feature_NCHW.relu())), size, mode="bilinear")

    def backbone_parameters(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())


def toy(classes: int, dropout: float | None = 0.1, scale: float = 4.0) -> Toy:
    """A network in evaluation mode whose posteriors are neither flat nor certain."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Toy(classes, dropout).eval()
    with torch.no_grad():
        network.classify.weight *= scale
    return network


def paired(network: Network, classes: int, seed: int = 0) -> WithGenerator:
    """A network with a tiny generator that was never trained, but whose features depend on layout and z."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = DFGAN(width=16, aspp=8, levels=1).build(classes, *cut_of(network)).eval()
    with torch.no_grad():
        for layer in generator.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight *= 50  # what training makes of Xavier's 0.02
    return WithGenerator(network, generator, "a secret")


def picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Random uint8 RGB."""
    return np.random.default_rng(seed).integers(256, size=(*size, 3), dtype=np.uint8)


def blocky(rng: np.random.Generator, size: tuple[int, int], classes: int, side: int = 4) -> np.ndarray:
    """Labels in squares of `side` pixels, one in ten of them ignored."""
    grid = rng.integers(classes, size=[-(-s // side) for s in size], dtype=np.uint8)
    grid[rng.random(grid.shape) < 0.1] = IGNORE
    return grid.repeat(side, 0).repeat(side, 1)[: size[0], : size[1]]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the first axis, in float32 as black boxes answer."""
    powers = np.exp(logits - logits.max(0))
    return (powers / powers.sum(0)).astype(np.float32)


def scenes_of(labels: Sequence[np.ndarray], classes: int, ids: Sequence[str] | None = None) -> Scenes:
    """Scenes whose first pixel tells their place in the list, so that a stand-in for a black box knows them."""
    ids = [f"scene-{i:03d}" for i in range(len(labels))] if ids is None else ids
    content = {}
    for i, (scene_id, labels_HW) in enumerate(zip(ids, labels, strict=True)):
        image = picture(i, labels_HW.shape)
        image[0, 0] = (i // 256, i % 256, 0)
        content[scene_id] = Scene(scene_id, image, labels_HW)
    return Scenes(Held(count=classes, held=content), None, list(ids))


def tells(posteriors: Sequence[np.ndarray]) -> Any:
    """A black box that answers the scenes of `scenes_of` with these posteriors."""

    def box(image_HWC: np.ndarray, key: int) -> Tensor:
        del key
        return torch.from_numpy(posteriors[256 * int(image_HWC[0, 0, 0]) + int(image_HWC[0, 0, 1])])

    return box


def written(
    folder: Path,
    posteriors: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    stride: int = 1,
    ids: Sequence[str] | None = None,
) -> Answers:
    """Answers with these posteriors and labels, written and read as a query's are."""
    folder.mkdir(parents=True, exist_ok=True)
    return ask(tells(posteriors), scenes_of(labels, len(posteriors[0]), ids), folder, stride=stride)


def ask(oracle: Oracle, scenes: Scenes, folder: Path, *, stride: int = 1, seed: int = 0, **more: Any) -> Answers:
    """What an oracle answers to scenes, written into one folder and read again."""
    folder.mkdir(parents=True, exist_ok=True)
    query(oracle, scenes, [Recording(folder, as_is)], stride=stride, seed=seed, title="asked", **more)
    return answers.load(folder)


def defended(defense: Defense, network: Network, window: Window | None = None) -> Any:
    """The service with a defense of either kind."""
    if isinstance(defense, NetworkDefense):
        return defense.guard(network, window)
    assert isinstance(defense, AnswerDefense)
    return defense.wrap(NetworkOracle(network, window))


def small(component: type[Component], **wanted: Any) -> dict[str, Any]:
    """Those of the `wanted` settings that a component has; the rest of it stays at its defaults."""
    return {name: value for name, value in wanted.items() if name in component.model_fields}
