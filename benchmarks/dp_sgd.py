"""DP-SGD: the cost of a step relative to a plain one, and whether audits of tiny trainings keep below its epsilon.

Run: python benchmarks/dp_sgd.py [--size 48 64] [--rounds 5] [--runs 20]     (some minutes on one core)
Time and peak memory are those of PSPNet-ResNet-18 with group norm and batch 8; both kinds of step take turns in one
process. Audits: a network of three layers learns 200 scenes. A fair coin puts each scene in or leaves it out, and half
of them are canaries with labels of noise. The scenes' losses give a lower bound on epsilon (one run, fair coins, 95%).
Audits of the weights: each of 4,000 canaries has a gradient of its own, at a right angle to all others. The attacker
reads off the trained weights how far they went along each (Nasr et al., USENIX Security 2023). Some trainings have too
little noise.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from mia_seg.metrics.auditing import epsilon_one_run
from mia_seg.objectives import Batch, Goal, Judged, Stage
from mia_seg.objectives.supervised import Supervised
from mia_seg.segmenters import Network
from mia_seg.segmenters._layout import laid
from mia_seg.segmenters._norm import normed
from mia_seg.segmenters.pspnet import PSPNet
from mia_seg.updates import Step, Training, Update
from mia_seg.updates.dp_sgd import DPSGD
from mia_seg.updates.sgd import SGD

BATCH, CLASSES, SCENES = 8, 8, 200


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--size", type=int, nargs=2, default=(48, 64))
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--runs", type=int, default=20)
    given = options.parse_args()
    warnings.simplefilter("ignore")
    cost(tuple(given.size), given.rounds)
    for epsilon in (None, 8.0, 2.0):
        audits(epsilon, given.runs)
    for epsilon in (4.0, 2.0):
        for share in (1, 0.25, 0):
            of_weights(epsilon, share, given.runs)


def cost(size: tuple[int, int], rounds: int) -> None:
    network = normed(PSPNet(backbone="resnet18").build(CLASSES), "group").train()
    image, labels = torch.rand(BATCH, 3, *size), torch.randint(CLASSES, (BATCH, *size))
    given = Batch(laid(image), labels, torch.arange(BATCH))
    terms = Training("cost", scenes=150, batch=BATCH, steps=10)
    steps = {
        "plain": stepping(network, SGD(), given, terms=terms),
        "dp_sgd": stepping(network, DPSGD(noise=0.01), given, terms=terms),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    ratio = statistics.median(b / a for a, b in zip(*(each[1:] for each in seconds.values()), strict=True))
    peaks = {name: resident(step) for name, step in steps.items()}
    print(
        f"{size[0]} x {size[1]}, batch {BATCH}: plain {statistics.median(seconds['plain'][1:]):.3f} s, dp_sgd "
        f"{ratio:.2f} times; peak of tensors {peaks['plain']:.0f} MiB, {peaks['dp_sgd'] / peaks['plain']:.2f} times "
        f"({torch.get_num_threads()} threads)",
        flush=True,
    )


def resident(step: Callable[[], None]) -> float:
    """The most MiB of tensors that one step holds at once, by torch's own record of allocations."""
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        step()
    held = peak = 0
    for event in seen.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak / 2**20


def stepping(network: Network, update: Update, given: Batch, *, terms: Training) -> Callable[[], None]:
    fabric = Fabric(accelerator="cpu", devices=1)
    goal = Supervised().build(network, CLASSES, ids=[])
    run = fabric.setup_module(goal)
    parameters = list(network.parameters())
    optimizer = torch.optim.SGD(parameters, 0.01)

    def step() -> None:
        optimizer.zero_grad()
        share = [torch.ones(())]
        update.gradients(Step(run, fabric, Stage("segment"), [given], share, parameters, terms, (0, 0, "step 0")))
        optimizer.step()

    return step


class Small(Network):
    """Three layers, and no batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 16, 3, 2, 1)
        self.classify = nn.Conv2d(16, 4, 3, padding=1)

    def encode(self, image_N3HW: Tensor) -> Tensor:
        return self.backbone(image_N3HW)  # type: ignore[no-any-return]

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(self.classify(feature_NCHW.relu()), size, mode="bilinear")

    def backbone_parameters(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())


def audits(epsilon: float | None, runs: int) -> None:
    """Of so many trainings the largest bound. epsilon: None trains without noise, as a control."""
    terms = Training("an audit", scenes=SCENES, batch=50, steps=60)
    method = DPSGD(noise=0, clip=1e6) if epsilon is None else DPSGD(epsilon=epsilon, delta=1e-5)
    bounds = [bound(method, terms, seed) for seed in range(runs)]
    promised = "no promise (no noise)" if epsilon is None else f"epsilon {epsilon:g}"
    print(
        f"{promised}: {runs} audits bound it from below by {max(bounds):.2f} at most, {statistics.mean(bounds):.2f} on "
        f"average{'' if epsilon is None else f'; {sum(b > epsilon for b in bounds)} exceed it'}",
        flush=True,
    )


class Directions(Goal):
    """Each scene pulls one weight of its own, by one clip a step."""

    def __init__(self, scenes: int) -> None:
        super().__init__(Small())
        self.pulled_N = nn.Parameter(torch.zeros(scenes))

    def forward(self, stage: str, batch: Batch) -> Judged:
        del stage
        return Judged(-self.pulled_N[batch.scene_N].mean(), batch.image_N3HW)


def of_weights(epsilon: float, share: float, runs: int) -> None:
    """The largest bound of audits that see the weights, for a training with a share of the noise that it takes."""
    terms = Training("an audit of weights", scenes=4000, batch=4000, steps=2)
    promised = DPSGD(epsilon=epsilon, delta=1e-5)
    method = DPSGD(noise=share * promised.amount(terms))
    bounds = [seen_in_weights(method, terms, seed) for seed in range(runs)]
    print(
        f"weights, epsilon {epsilon:g}, {share:g} of its noise: {runs} audits bound it from below by {max(bounds):.2f} "
        f"at most, {statistics.mean(bounds):.2f} on average; {sum(b > epsilon for b in bounds)} exceed it",
        flush=True,
    )


def seen_in_weights(method: DPSGD, terms: Training, seed: int) -> float:
    torch.manual_seed(seed)
    members, fabric = torch.rand(terms.scenes) < 0.5, Fabric(accelerator="cpu", devices=1)
    goal = Directions(terms.scenes)
    run, weights = fabric.setup_module(goal), goal.pulled_N
    moved = torch.zeros(terms.scenes)
    drawn = method.lists(terms, (seed, 0, "scenes"))
    assert drawn is not None
    for k, scenes in enumerate(islice(drawn, terms.steps)):
        rows = torch.tensor([scene for scene in scenes if members[scene]], dtype=torch.long)
        given = Batch(torch.zeros(len(rows), 3, 1, 1), torch.zeros(len(rows), 1, 1, dtype=torch.long), rows)
        key = (seed, 0, f"step {k}")
        method.gradients(Step(run, fabric, Stage("segment"), [given], [torch.ones(())], [weights], terms, key))
        assert weights.grad is not None
        moved -= weights.grad
    scores = moved.numpy().astype(np.float64)
    guesses = terms.scenes // 10
    return epsilon_one_run(scores, members.numpy(), guesses=guesses, randomised=True, level=0.95, seed=seed)


def bound(method: DPSGD, terms: Training, seed: int) -> float:
    torch.manual_seed(seed)
    network, fabric = Small(), Fabric(accelerator="cpu", devices=1)
    images, labels = torch.rand(SCENES, 3, 8, 8), torch.randint(4, (SCENES, 8, 8))
    labels[: SCENES // 2] = (images[: SCENES // 2].mean(1) * 8 - 2).long().clamp(0, 3)  # the rest are canaries
    members = torch.rand(SCENES) < 0.5
    goal = fabric.setup_module(Supervised().build(network, 4, ids=[]))
    optimizer, parameters = torch.optim.SGD(network.parameters(), 0.5, 0.9), list(network.parameters())
    drawn = method.lists(terms, (seed, 0, "scenes"))
    assert drawn is not None
    for k, scenes in enumerate(islice(drawn, terms.steps)):
        rows = torch.tensor([scene for scene in scenes if members[scene]], dtype=torch.long)
        given = Batch(images[rows], labels[rows], rows)
        optimizer.zero_grad()
        key = (seed, 0, f"step {k}")
        method.gradients(Step(goal, fabric, Stage("segment"), [given], [torch.ones(())], parameters, terms, key))
        optimizer.step()
    with torch.no_grad():
        losses = F.cross_entropy(network.eval()(images), labels, reduction="none").mean((1, 2))
    scores = -losses.numpy().astype(np.float64)
    return epsilon_one_run(scores, members.numpy(), guesses=SCENES // 2, randomised=True, level=0.95, seed=seed)


if __name__ == "__main__":
    main()
