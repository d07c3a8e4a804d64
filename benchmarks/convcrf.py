"""The cost of Seg-GAN's objective in a training step: CPU time relative to plain training, with and without ConvCRFs.

Run: python benchmarks/convcrf.py [--rounds 7] [--threads 1]
PSPNet-ResNet-18, 8 classes, batch 8, float32, without loading. The four variants take turns within a round, so a change
of the machine's speed slows all. The ratio is the median over rounds of a step's time divided by the plain step's.

One core of an AMD EPYC that was shared with much other work, 5 rounds:

    48 x 64
      supervised                     0.59 s   1.00 (1.00 to 1.00)
      adversarial, no CRF            0.78 s   1.37 (1.23 to 1.54)
      adversarial, 4 CRFs, blur 4    0.95 s   1.67 (1.51 to 1.74)
      adversarial, 4 CRFs, no blur   1.14 s   1.88 (1.72 to 2.11)
    96 x 128
      supervised                     1.95 s   1.00 (1.00 to 1.00)
      adversarial, no CRF            2.60 s   1.33 (1.17 to 1.38)
      adversarial, 4 CRFs, blur 4    2.92 s   1.50 (1.45 to 1.63)
      adversarial, 4 CRFs, no blur   3.77 s   1.94 (1.80 to 2.04)
"""

import argparse
import statistics
import time

import torch

from mia_seg import objectives, plugins
from mia_seg.objectives import Batch, Objective
from mia_seg.recipes import Train
from mia_seg.segmenters.pspnet import PSPNet
from mia_seg.train._optimizers import modules_of, optimizers_of, train_alone

CLASSES = 8
ARMS = {
    "supervised": {"name": "supervised"},
    "adversarial, no CRF": {"name": "adversarial", "crf": 0},
    "adversarial, 4 CRFs, blur 4": {"name": "adversarial", "crf": 4, "crf_blur": 4},
    "adversarial, 4 CRFs, no blur": {"name": "adversarial", "crf": 4, "crf_blur": 1},
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    for crop in ((48, 64), (96, 128)):
        steps = {name: stepper(section, crop) for name, section in ARMS.items()}
        for step in steps.values():
            step()
        rounds = [{name: seconds(step) for name, step in steps.items()} for _ in range(given.rounds)]
        print(f"{crop[0]} x {crop[1]}, {given.rounds} rounds")
        for name in steps:
            ratios = sorted(found[name] / found["supervised"] for found in rounds)
            took = statistics.median(found[name] for found in rounds)
            print(f"  {name:28} {took:6.2f} s   {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def stepper(section, crop):
    """One step of every stage, as training takes it."""
    torch.manual_seed(0)
    network = PSPNet(backbone="resnet18").build(CLASSES).to(memory_format=torch.channels_last)
    made = plugins.from_section(objectives, Objective, section, where="[objective]")
    goal = made.build(network, CLASSES, ids=["one"]).train()
    optimizers = optimizers_of(goal, Train(epochs=1, batch=8, lr=0.02, crop=crop))
    image = torch.rand(8, 3, *crop).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (8, crop[0] // 8, crop[1] // 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)

    def step() -> None:
        batch = Batch(image, labels, torch.zeros(8, dtype=torch.long))
        for stage in goal.stages:
            train_alone(stage, modules_of(goal))
            for name in stage.trains:
                optimizers[name].zero_grad()
            goal(stage.name, batch).loss.backward()
            for name in stage.trains:
                optimizers[name].step()

    return step


def seconds(step) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


if __name__ == "__main__":
    main()
