"""Memory formats on one core: CPU time with planes (channels first) divided by that with channels last.

Run: OMP_NUM_THREADS=1 python benchmarks/layout.py [--rounds 3]
It is measured for a training step and for a query. Below 1 planes are faster. Both formats take turns. A step is of
PSPNet-ResNet-18 on 8 scenes; a step of DP-SGD is on a single one.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch

from mia_seg import recipes
from mia_seg.train import _made

SIZES = ((48, 64), (64, 96), (96, 128))
LAYOUTS = {"planes": torch.contiguous_format, "channels last": torch.channels_last}
CLASSES = 8


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    torch.set_num_threads(1)
    network = _made.fresh_network(recipes.load("victim", "protect_group_norm"), CLASSES, 0)
    print("size      precision  step of 8  step of 1  question")
    for size in SIZES:
        for precision in ("float32", "bfloat16"):
            found = [ratio(network, of, given.rounds) for of in works(size, precision)]
            print(f"{size[0]:3} x {size[1]:3} {precision:9}", *(f"{one:9.2f}" for one in found))


def works(size: tuple[int, int], precision: str) -> list[Callable[[torch.nn.Module, torch.memory_format], None]]:
    def step(scenes: int) -> Callable[[torch.nn.Module, torch.memory_format], None]:
        image, labels = torch.rand(scenes, 3, *size), torch.randint(0, CLASSES, (scenes, *size))

        def one(network: torch.nn.Module, layout: torch.memory_format) -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss, _ = network.train().loss(image.contiguous(memory_format=layout), labels)
            loss.backward()

        return one

    def question(network: torch.nn.Module, layout: torch.memory_format) -> None:
        with torch.inference_mode():
            network.eval()(torch.rand(1, 3, *size).contiguous(memory_format=layout))

    return [step(8), step(1), *([question] if precision == "float32" else [])]


def ratio(network: torch.nn.Module, work: Callable[..., None], rounds: int) -> float:
    networks = {name: copy.deepcopy(network).to(memory_format=layout) for name, layout in LAYOUTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in LAYOUTS}
    for _ in range(rounds + 1):
        for name, layout in LAYOUTS.items():
            started = time.process_time()
            for _ in range(3):
                work(networks[name], layout)
            seconds[name].append(time.process_time() - started)
    planes, last = (statistics.median(seconds[name][1:]) for name in LAYOUTS)
    return planes / last


if __name__ == "__main__":
    main()
