"""The speed of training, queries and fleets on a GPU, in at most eight minutes; on a CPU a short form of the same.

Run: python benchmarks/gpu.py [--batch 8] [--seconds 15] [--workers 12] [--folder FOLDER]
Training: PSPNet-ResNet-101 on crops of 713 x 713 pixels, as the recipe `cityscapes` trains it. It is measured on ready
tensors, and through the loader on made-up pairs of 1024 x 2048. The comparison is torchvision's deeplabv3_resnet101 at
the same batch, crop, precision and memory format. Both take turns; medians of three rounds. The share of the peak is
the speed by counted operations, forward and backward, divided by the speed of a large matrix product on the same
device. Queries: scenes of 1024 x 2048 pixels, in windows of 713 with their mirror images. Fleet: minutes for 64 shadows
of PSPNet-ResNet-18 at 96 x 128, each trained for 30 epochs of 150 scenes, one after the other. Scores: the image loss
of one network's answers on this device and on the CPU.

The short form is smaller in all respects and says nothing about a GPU. It shows, in less than a minute of CPU time,
that the script runs. There are no measurements on a GPU here yet.
"""

import argparse
import copy
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from loading import write_pairs
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.segmentation import deeplabv3_resnet101

from mia_seg import query, recipes, train
from mia_seg.attacks.image_loss import ImageLoss
from mia_seg.data import IGNORE, Scenes
from mia_seg.data.cityscapes import Cityscapes
from mia_seg.data.streets import Streets
from mia_seg.metrics.membership import auc
from mia_seg.objectives import Batch
from mia_seg.oracles import as_is
from mia_seg.oracles.network import NetworkOracle
from mia_seg.query import Recording, answers
from mia_seg.recipes import Recipe, Window
from mia_seg.segmenters import Network
from mia_seg.workspace import fastest

CLASSES, STRIDE = 19, 8
SHADOWS, EPOCHS, SCENES = 64, 30, 150
Step = Callable[[], None]


@dataclass(frozen=True)
class Sizes:
    """crop, image, small: height and width. pairs: read by the loader, so often each; asked: scenes of a query."""

    crop: tuple[int, int]
    image: tuple[int, int]
    small: tuple[int, int]
    pairs: int
    times: int
    asked: int
    shadow: int
    product: int
    rounds: int


FULL = Sizes((713, 713), (1024, 2048), (96, 128), pairs=16, times=20, asked=24, shadow=SCENES, product=8192, rounds=3)
SHORT = Sizes((65, 65), (96, 192), (48, 64), pairs=2, times=1, asked=1, shadow=16, product=512, rounds=1)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--batch", type=int, help="default: 8, of the short form 2")
    options.add_argument("--seconds", type=float, default=15, help="of each measurement; the short form's are 3")
    options.add_argument("--workers", type=int, default=min(12, os.cpu_count() or 1))
    options.add_argument("--folder", type=Path, help="where the pairs are kept; default: a temporary folder")
    given = options.parse_args()
    on = "cuda" if torch.cuda.is_available() else "cpu"
    sizes, batch = (FULL, given.batch or 8) if on == "cuda" else (SHORT, given.batch or 2)
    seconds = given.seconds if on == "cuda" else min(3.0, given.seconds)
    print(f"{torch.cuda.get_device_name() if on == 'cuda' else platform.machine()}, torch {torch.__version__}")
    if on == "cpu":
        print(f"SHORT FORM, no GPU here: crops of {sizes.crop}, images of {sizes.image}; figures of a GPU are open")
    fabric = Fabric(accelerator=on, devices=1, precision=fastest(on))
    with tempfile.TemporaryDirectory() as temporary:
        root = given.folder or Path(temporary)
        for part in (
            partial(training, fabric, sizes, batch=batch, seconds=seconds),
            partial(loaded, fabric, sizes, batch=batch, workers=given.workers, root=root),
            partial(asked, fabric, sizes, scratch=Path(temporary)),
            partial(fleet, fabric, sizes, scratch=Path(temporary)),
        ):
            started = time.perf_counter()
            part()
            print(f"  ({time.perf_counter() - started:.0f} s)", flush=True)


def recipe_of(kind: Any, name: str, fabric: Fabric, **changed: Any) -> Recipe:
    """A recipe with other settings of [train], in the precision of the device."""
    found = recipes.load(kind, name)
    assert isinstance(found, Recipe)
    changed |= {"precision": fastest(fabric.device.type)}
    return found.model_copy(update={"train": found.train.model_copy(update=changed)})


# Training on tensors that are ready.


def training(fabric: Fabric, sizes: Sizes, *, batch: int, seconds: float) -> None:
    images = torch.rand(batch, 3, *sizes.crop)
    labels = torch.randint(CLASSES, (batch, *sizes.crop))
    ready = train._made.placed((fabric.to_device(images), fabric.to_device(labels), torch.arange(batch)))
    steps = {"mia-seg, PSPNet-ResNet-101": ours(fabric, sizes, ready), "torchvision, deeplabv3": theirs(fabric, ready)}
    speeds = [
        {name: speed(step, fabric, seconds / sizes.rounds) for name, step in steps.items()} for _ in range(sizes.rounds)
    ]
    peak = product(fabric, sizes.product, seconds / sizes.rounds)
    for name, step in steps.items():
        rate, operations = statistics.median(one[name] for one in speeds), counted(step)
        print(
            f"{name:28} {rate * batch:7.2f} images a second at batch {batch}, {operations / 1e12:.2f} Tflop a step: "
            f"{rate * operations / peak:.0%} of what a matrix product reaches ({peak / 1e12:.3g} Tflop/s)"
        )


def ours(fabric: Fabric, sizes: Sizes, ready: train.Part) -> Step:
    settings = recipe_of("victim", "cityscapes", fabric, crop=sizes.crop)
    network = train._made.fresh_network(settings, CLASSES, 0)
    goal = train._made.goal_of(settings, network.train(), CLASSES, ids=[])
    run, optimizer = fabric.setup(goal, *train.optimizers_of(goal, settings.train).values())

    def step() -> None:
        optimizer.zero_grad()
        fabric.backward(run("segment", Batch(*ready)).loss)
        optimizer.step()

    return step


def theirs(fabric: Fabric, ready: train.Part) -> Step:
    """As torchvision's reference trains it: an auxiliary head of half the weight."""
    network = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)
    network = network.to(memory_format=torch.channels_last).train()
    model, optimizer = fabric.setup(network, torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=1e-4))

    def step() -> None:
        optimizer.zero_grad()
        found = model(ready[0])
        loss, other = (F.cross_entropy(found[head].float(), ready[1], ignore_index=IGNORE) for head in ("out", "aux"))
        fabric.backward(loss + 0.5 * other)
        optimizer.step()

    return step


def speed(step: Step, fabric: Fabric, seconds: float) -> float:
    """Steps a second, after one that is not counted."""
    step()
    wait(fabric)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        wait(fabric)
        done += 1
    return done / (time.perf_counter() - started)


def wait(fabric: Fabric) -> None:
    if fabric.device.type == "cuda":
        torch.cuda.synchronize()


def counted(step: Step) -> int:
    """Floating-point operations of a step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def product(fabric: Fabric, side: int, seconds: float) -> float:
    """Operations a second that a square matrix product reaches in the precision of the training."""
    dtype = torch.float32 if fastest(fabric.device.type) == "32-true" else torch.bfloat16
    first, second = (torch.rand(side, side, device=fabric.device, dtype=dtype) for _ in range(2))

    def step() -> None:
        torch.mm(first, second)

    return 2 * side**3 * speed(step, fabric, seconds)


# Training through the loader.


def loaded(fabric: Fabric, sizes: Sizes, *, batch: int, workers: int, root: Path) -> None:
    write_pairs(root, sizes.pairs)
    dataset = Cityscapes(folders=("train",))
    scenes = Scenes(dataset, root, dataset.ids(root) * sizes.times)
    settings = recipe_of("victim", "cityscapes", fabric, crop=sizes.crop, batch=batch, steps=None, epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        rate = trained(settings, scenes, fabric, folder=Path(folder), workers=workers)[1]
    print(f"mia-seg with the loader      {rate:7.2f} images a second, {workers} workers, pairs of 1024 x 2048")


def trained(
    settings: Recipe, scenes: Scenes, fabric: Fabric, *, folder: Path, workers: int = 0
) -> tuple[Network, float]:
    """A network after an epoch, and the scenes a second of that epoch."""
    run = train.Training(settings, scenes, seed=0, folder=folder, fabric=fabric, workers=workers, title="a benchmark")
    run.prepare(None)
    row = run.epoch([])
    return run.network, float(row["scenes_per_second"])


# Queries, fleets and scores.


def asked(fabric: Fabric, sizes: Sizes, *, scratch: Path) -> None:
    network = train._made.fresh_network(recipe_of("victim", "cityscapes", fabric), CLASSES, 0).eval().to(fabric.device)
    oracle = NetworkOracle(network, Window(size=sizes.crop, mirror=True))
    scenes = painted(sizes.image, sizes.asked)
    oracle(scenes[0].image_HWC, 0)
    started = time.perf_counter()
    ask(oracle, scenes, scratch / "asked")
    rate = len(scenes) / (time.perf_counter() - started)
    print(f"query of {sizes.image[0]} x {sizes.image[1]}, windows of {sizes.crop[0]}: {rate:.2f} scenes a second")


def fleet(fabric: Fabric, sizes: Sizes, *, scratch: Path) -> None:
    scenes = painted(sizes.small, sizes.shadow)
    settings = recipe_of("shadow", "labelmefacade_small_fleet", fabric, crop=sizes.small)
    trained(settings, scenes, fabric, folder=scratch / "warm")
    network, rate = trained(settings, scenes, fabric, folder=scratch / "shadow")
    minutes = SHADOWS * EPOCHS * SCENES / rate / 60
    height, width = sizes.small
    print(f"a shadow at {height} x {width}: {rate:.0f} scenes a second; {SHADOWS} of them: {minutes:.0f} minutes")
    compared(network.eval(), scenes, scratch)
    if fabric.device.type == "cpu":
        print("  (here is the CPU: how far a GPU's scores are from these is open)")


def compared(network: Network, scenes: Scenes, scratch: Path) -> None:
    """The same network's scores by both devices, and an AUC of every other scene against the rest."""
    places = {"here": network, "CPU": copy.deepcopy(network).cpu()}
    scores = {name: ImageLoss().signal(ask(NetworkOracle(one), scenes, scratch / name)) for name, one in places.items()}
    members_N = np.arange(len(scenes)) % 2 == 0
    aucs = {name: auc(score_N, members_N) for name, score_N in scores.items()}
    furthest = float(np.abs(scores["here"] - scores["CPU"]).max())
    print(
        f"image loss here and on the CPU: {furthest:.1g} apart at most, of a mean of {-scores['CPU'].mean():.2g}; "
        f"AUC {aucs['here']:.4f} and {aucs['CPU']:.4f}"
    )


def ask(oracle: NetworkOracle, scenes: Scenes, folder: Path) -> answers.Answers:
    folder.mkdir()
    query.query(oracle, scenes, [Recording(folder, as_is)], stride=STRIDE, seed=0, title="  asking")
    return answers.load(folder)


def painted(size: tuple[int, int], count: int) -> Scenes:
    """Street scenes that stay in memory."""
    dataset = Streets(size=size, count=count)
    scenes = Scenes(dataset, None, dataset.ids(None), room=1 << 32)
    list(scenes)
    return scenes


if __name__ == "__main__":
    main()
