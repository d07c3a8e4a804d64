"""CPU seconds of a query behind SynFeat, compared with an undefended one, of PSPNet-ResNet-18 at 96 x 128 pixels.

Run: python benchmarks/synfeat_query.py [--queries 20] [--threads 1] [--generator dfgan] [--cells 5]
Weights are random, which changes no cost. Both take turns, A B A B, so a change of the machine's speed slows both; the
median ratio counts.
"""

import argparse
import statistics
import time

import numpy as np
import torch

from mia_seg import generators, plugins
from mia_seg.defenses.synfeat import SynFeat
from mia_seg.generators import Generator, WithGenerator, cut_of
from mia_seg.oracles.network import NetworkOracle
from mia_seg.segmenters.pspnet import PSPNet

CLASSES, SIZE = 8, (96, 128)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--queries", type=int, default=20)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--generator", default="dfgan")
    options.add_argument("--cells", type=int, default=5, help="of the linear path, as in the recipes; 0: none")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    network = PSPNet(backbone="resnet18").build(CLASSES).to(memory_format=torch.channels_last).eval()
    settings = plugins.build(generators, Generator, given.generator, settings={"cells": given.cells}, where="here")
    generator = settings.build(CLASSES, *cut_of(network)).eval()
    boxes = {
        "undefended": NetworkOracle(network, None),
        "synfeat": SynFeat().guard(WithGenerator(network, generator, "a secret"), None),
    }
    image = np.random.default_rng(0).integers(256, size=(*SIZE, 3), dtype=np.uint8)
    rounds = [
        {name: seconds(box, image, given.queries) for name, box in boxes.items()} for _ in range(given.rounds + 1)
    ]
    rounds = rounds[1:]  # the first warms up
    for name in boxes:
        print(f"{name:10} {statistics.median(r[name] for r in rounds) * 1000:7.1f} ms CPU a query")
    ratios = sorted(r["synfeat"] / r["undefended"] for r in rounds)
    print(
        f"ratio      {statistics.median(ratios):.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f} over {len(ratios)} rounds)"
    )


def seconds(box, image, queries: int) -> float:
    start = time.process_time()
    for key in range(queries):
        box(image, key)
    return (time.process_time() - start) / queries


if __name__ == "__main__":
    main()
