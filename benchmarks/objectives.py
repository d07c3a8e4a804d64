"""The cost of each objective in a training step: CPU time relative to the plain objective.

Run: python benchmarks/objectives.py [--rounds 7] [--threads 1]
PSPNet-ResNet-18, 48 x 64 pixels, 8 classes, batch 8, float32, without loading. Half of the batch of `dual` has only
image-level tags. The objectives take turns within a round, so a change of the machine's speed slows all. The ratio is
the median over rounds of a step's time divided by the plain step's.
"""

import argparse
import statistics
import time

import torch

from mia_seg import objectives, plugins, segmenters
from mia_seg.objectives import Batch, Objective
from mia_seg.objectives.dual import is_weak
from mia_seg.recipes import Train
from mia_seg.segmenters import Segmenter
from mia_seg.segmenters._layout import laid, layout
from mia_seg.train._optimizers import modules_of, optimizers_of, train_alone

CLASSES, CROP, SCENES = 8, (48, 64), 8
PLAIN = "supervised"
ARMS = {
    PLAIN: ("pspnet", {"name": "supervised"}, 0),
    "image_level": ("image_level", {"name": "supervised"}, 0),
    "reconstruction, joint alone": ("pspnet", {"name": "reconstruction", "stages": "joint"}, 0),
    "reconstruction, three stages": ("pspnet", {"name": "reconstruction"}, 0),
    "dual, before it infers": ("pspnet", {"name": "dual"}, 0),
    "dual": ("pspnet", {"name": "dual"}, 99),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    steps = {name: stepper(*arm) for name, arm in ARMS.items()}
    rounds = [{name: seconds(step) for name, step in steps.items()} for _ in range(1 + given.rounds)][1:]
    for name in steps:
        ratios = sorted(found[name] / found[PLAIN] for found in rounds)
        took = statistics.median(found[name] for found in rounds)
        print(f"{name:28} {took:6.2f} s   {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def stepper(segmenter, section, epoch):
    """One step of every stage, as training takes it."""
    torch.manual_seed(0)
    settings = {"name": segmenter, "backbone": "resnet18"}
    network = plugins.from_section(segmenters, Segmenter, settings, where="[segmenter]").build(CLASSES)
    made = plugins.from_section(objectives, Objective, section, where="[objective]")
    goal = made.build(network.to(memory_format=layout()), CLASSES, ids=half_weak()).train()
    optimizers = optimizers_of(goal, Train(epochs=1, batch=SCENES, lr=0.02, crop=CROP))
    image = laid(torch.rand(SCENES, 3, *CROP))
    labels = (
        torch.randint(CLASSES, (SCENES, CROP[0] // 8, CROP[1] // 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    )

    def step() -> None:
        batch = Batch(image, labels, torch.arange(SCENES), epoch=epoch)
        for stage in goal.stages:
            train_alone(stage, modules_of(goal))
            for name in stage.trains:
                optimizers[name].zero_grad()
            goal(stage.name, batch).loss.backward()
            for name in stage.trains:
                optimizers[name].step()

    return step


def half_weak():
    """Ids of which every other one is weak."""
    sides = [[i for i in map(str, range(100)) if is_weak(i, 0.5) == side] for side in (True, False)]
    return [i for pair in zip(*sides, strict=False) for i in pair][:SCENES]


def seconds(step):
    """CPU seconds, which a machine's other work moves less than the clock's."""
    started = time.process_time()
    step()
    return time.process_time() - started


if __name__ == "__main__":
    main()
