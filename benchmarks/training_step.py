"""CPU seconds of a training step, compared with a bare PyTorch loop of the same network, batch, precision and scenes.

Run: python benchmarks/training_step.py [--steps 20] [--threads 2]
Both take turns, A B A B, so a change of the machine's speed slows both; the median ratio counts.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric

from mia_seg import recipes, train
from mia_seg.data import Scenes
from mia_seg.segmenters._layout import laid
from mia_seg.workspace import fastest


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--precision", default=fastest("cpu"))
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    settings = recipes.load("victim", "demo")
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"precision": given.precision})})
    dataset = settings.dataset()
    scenes = Scenes(dataset, None, dataset.ids(None)[: settings.train.batch * given.steps], room=1 << 30)
    list(scenes)  # painted once, as in any epoch but the first
    with tempfile.TemporaryDirectory() as folder:
        loops = {"bare": bare_loop(settings, scenes), "mia-seg": our_loop(settings, scenes, Path(folder))}
        for loop in loops.values():
            loop()
        rounds = [{name: seconds(loop) for name, loop in loops.items()} for _ in range(given.rounds)]
    ratios = sorted(r["mia-seg"] / r["bare"] for r in rounds)
    for name in loops:
        print(f"{name:8} {statistics.median(r[name] for r in rounds) / given.steps * 1000:7.1f} ms CPU a step")
    print(
        f"ratio    {statistics.median(ratios):.3f}   ({ratios[0]:.3f} to {ratios[-1]:.3f} over {given.rounds} rounds)"
    )


def bare_loop(settings, scenes):
    """What one would write in a notebook: autocast, loss, backward, step, on tensors that are ready."""
    network = train._made.fresh_network(settings, len(scenes.dataset.classes()), 0)
    backbone = {id(p) for p in network.backbone_parameters()}
    heads = [p for p in network.parameters() if id(p) not in backbone]
    wanted = settings.train
    groups = [{"params": network.backbone_parameters()}, {"params": heads, "lr": wanted.lr * wanted.head_lr}]
    optimizer = torch.optim.SGD(groups, wanted.lr, wanted.momentum, weight_decay=wanted.weight_decay)
    network.train()
    batch = settings.train.batch
    pairs = [train.crop(scene, settings.train) for scene in scenes]
    stacked = [tuple(map(torch.stack, zip(*pairs[k : k + batch], strict=True))) for k in range(0, len(pairs), batch)]

    def loop() -> None:
        for images, labels in stacked:
            placed = laid(images)
            with torch.autocast("cpu", torch.bfloat16, enabled=wanted.precision == "bf16-mixed"):
                loss, _ = network.loss(placed, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    return loop


def our_loop(settings, scenes, folder):
    """One epoch as `train` runs it: loading, augmentation, schedule, running mIoU."""
    fabric = Fabric(accelerator="cpu", devices=1, precision=settings.train.precision)
    training = train.Training(settings, scenes, seed=0, folder=folder, fabric=fabric, workers=0, title="a benchmark")
    training.prepare(None)

    def loop() -> None:
        training.epoch([])
        training.done.epochs = 0

    return loop


def seconds(loop) -> float:
    start = time.process_time()
    loop()
    return time.process_time() - start


if __name__ == "__main__":
    main()
