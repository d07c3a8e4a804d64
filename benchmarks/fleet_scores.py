"""Scores of 10,000 scenes by a fleet of 64 models: seconds by base, LiRA and RMIA, megabytes a model, peak memory.

Run: OMP_NUM_THREADS=1 python benchmarks/fleet_scores.py [--scenes 10000] [--models 64]
Statistics are simulated with 19 classes and a population of 500; no file is read. As in an audit, memory holds the
statistics of the whole fleet at once. Peak memory is that of this process, including the fleet. The seed is 0.

One run on a busy machine (2 cores, load 12), one thread: 40.2 MB a model (3,824 bytes a scene, including the
population), and a peak of 3.64 GB, of which 0.93 GB were in use before the fleet. All 10,000 scores took 0.06 s of CPU
time by base, 0.06 s by LiRA and 0.04 s by RMIA. By the clock they took 5.1, 6.9 and 4.6 s, because the machine was
busy. Nearly all memory is the fleet's statistics. Nearly all time goes into reading one signal from them.
"""

import argparse
import resource
import time
from dataclasses import fields

import numpy as np

from mia_seg.attacks._fleet import FleetAttack
from mia_seg.attacks._readings import Fleet
from mia_seg.attacks.base import Base
from mia_seg.attacks.lira import LiRA
from mia_seg.attacks.rmia import RMIA
from mia_seg.query.answers import Answers, Statistics
from mia_seg.testing import Leak, World

ATTACKS = (Base(), LiRA(), RMIA())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--scenes", type=int, default=10_000)
    options.add_argument("--models", type=int, default=64)
    options.add_argument("--population", type=int, default=500)
    given = options.parse_args()
    before, world = peak(), World(Leak(2.0), given.scenes, given.population, classes=19)
    victim, members_N = world.victim()
    fleet = world.fleet(given.models)
    held = size(victim)
    print(
        f"{given.scenes} scenes, {given.models} models: {held / 1e6:.1f} MB a model, "
        f"{held / (given.scenes + given.population):.0f} bytes a scene"
    )
    print(f"peak memory {before / 1e9:.2f} GB before, {peak() / 1e9:.2f} GB with the fleet")
    for attack in ATTACKS:
        scored(attack, victim, members_N, fleet=fleet)


def scored(attack: FleetAttack, victim: Answers, members_N: np.ndarray, *, fleet: Fleet) -> None:
    """Read the fleet and score every scene."""
    started, used = time.perf_counter(), time.process_time()
    readings = fleet.read(attack.reading)
    read = time.process_time() - used
    scores_N = attack.judge(attack.reading(victim), readings)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    apart = scores_N[members_N].mean() - scores_N[~members_N].mean()
    assert apart > 0, "members score higher where a leak is planted"
    took = f"{used:6.2f} s of processor time ({read:.2f} s of it to read the fleet), {seconds:.2f} s by the clock"
    print(f"{type(attack).__name__:5} {took}; peak memory {peak() / 1e9:.2f} GB")


def size(answers: Answers) -> int:
    """Bytes of what is held of a model: the statistics of its scenes and of the population."""
    held = [one for one in (answers.statistics, answers.population) if one is not None]
    return sum(getattr(one, field.name).nbytes for one in held for field in fields(Statistics))


def peak() -> int:
    """Bytes that this process held at the most, of Linux."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
