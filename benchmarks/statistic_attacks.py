"""CPU seconds of each fleet attack on 3,500 scenes with 64 shadows, compared with a loop over images.

Run: python benchmarks/statistic_attacks.py [--scenes 3500] [--models 64] [--rounds 3]
Statistics are simulated. The loops are the attacks' definitions, image by image in Python with numpy and scipy. The
time to read the statistics of all shadows counts for the attack, but not for the loop. Both take turns, so a change of
the machine's speed slows both. The largest difference of their scores is printed.
"""

import argparse
import math
import statistics
import time
from functools import partial

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from mia_seg.attacks._fleet import FleetAttack
from mia_seg.attacks._population import PopulationAttack
from mia_seg.attacks._readings import Fleet, Readings, Signals, read_signal
from mia_seg.attacks.attack_p import AttackP
from mia_seg.attacks.attack_r import AttackR
from mia_seg.attacks.base import Base
from mia_seg.attacks.calibration import Calibration
from mia_seg.attacks.lira import LiRA
from mia_seg.attacks.quantile_regression import QuantileRegression
from mia_seg.attacks.rmia import RMIA
from mia_seg.query.answers import Answers
from mia_seg.testing import Leak, World


def sides(fleet: Readings, scene: int) -> tuple[np.ndarray, np.ndarray]:
    seen = fleet.members_MN[:, scene]
    return fleet.scenes_MN[seen, scene], fleet.scenes_MN[~seen, scene]


def lira(target: Signals, fleet: Readings, scene: int) -> float:
    seen, unseen = sides(fleet, scene)
    x = target.scenes_N[scene]
    return norm.logpdf(x, np.median(seen), seen.std()) - norm.logpdf(x, np.median(unseen), unseen.std())


def lira_cdf(target: Signals, fleet: Readings, scene: int) -> float:
    unseen = sides(fleet, scene)[1]
    return norm.logcdf(target.scenes_N[scene], np.median(unseen), unseen.std())


def attack_r(target: Signals, fleet: Readings, scene: int) -> float:
    unseen = sides(fleet, scene)[1]
    return norm.logsf(target.scenes_N[scene], unseen.mean(), unseen.std())


def calibration(target: Signals, fleet: Readings, scene: int) -> float:
    return sides(fleet, scene)[1].mean() - target.scenes_N[scene]


def base(target: Signals, fleet: Readings, scene: int) -> float:
    return target.scenes_N[scene] - logsumexp(fleet.scenes_MN[:, scene]) + math.log(len(fleet))


def rmia(target: Signals, fleet: Readings, scene: int) -> float:
    seen, unseen = sides(fleet, scene)
    ratio = target.scenes_N[scene] / ((seen.mean() + unseen.mean()) / 2)
    return float((ratio / (target.population_Z / fleet.population_MZ.mean(0)) >= 1).mean())


def rmia_offline(target: Signals, fleet: Readings, scene: int) -> float:
    prior, others = ((1.3 * p.mean(0) + 0.7) / 2 for p in (sides(fleet, scene)[1], fleet.population_MZ))
    return float((target.scenes_N[scene] / prior / (target.population_Z / others) >= 1).mean())


def attack_p(target: Signals, fleet: Readings, scene: int) -> float:
    return float((target.population_Z[:, 0] > target.scenes_N[scene, 0]).mean())


PAIRS = [
    (LiRA(variance="scene"), lira), (LiRA(mode="offline_cdf", variance="scene"), lira_cdf), (AttackR(), attack_r),
    (Calibration(), calibration), (Base(), base), (RMIA(), rmia), (RMIA(mode="offline", a=0.3), rmia_offline),
    (AttackP(), attack_p), (LiRA(statistic="vector"), None), (QuantileRegression(), None),
]  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--scenes", type=int, default=3500)
    options.add_argument("--models", type=int, default=64)
    options.add_argument("--population", type=int, default=500)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    world = World(Leak(2.0), given.scenes, given.population, classes=19)
    fleet, victim = world.fleet(given.models), world.victim()[0]
    total = looped = compared = 0.0
    for method, loop in PAIRS:
        fast, slow, apart = [], [], 0.0
        for _ in range(given.rounds):
            seconds, scores = timed(lambda m=method: judged(m, victim, fleet))
            fast.append(seconds)
            if loop is not None:
                of_many = isinstance(method, FleetAttack)
                reading = method.reading if of_many else partial(read_signal, signal=method.read)
                target, readings = reading(victim), fleet.read(reading)
                seconds, told = timed(lambda f=loop, t=target, r=readings: [f(t, r, n) for n in range(given.scenes)])
                slow.append(seconds)
                apart = float(np.abs(np.array(told) - scores).max())
        total += statistics.median(fast)
        said = f"{name(method):44} {statistics.median(fast) * 1000:8.1f} ms"
        if slow:
            looped, compared = looped + statistics.median(slow), compared + statistics.median(fast)
            said += (
                f"   loop {statistics.median(slow):6.2f} s   {statistics.median(slow) / statistics.median(fast):6.0f}x"
            )
            said += f"   differ by {apart:.0e} at most"
        print(said, flush=True)
    print(f"\nall scores: {total:.2f} s; those with a loop beside them: {looped / compared:.0f} times as fast as it")
    rehearsed = fleet.read(Calibration().reading)
    seconds, _ = timed(lambda: LiRA(variance="fixed").rehearse(rehearsed))
    print(f"LiRA's rehearsals, {given.models} times {given.scenes} scores: {seconds:.2f} s")


def judged(method: FleetAttack | PopulationAttack, victim: Answers, fleet: Fleet) -> np.ndarray:
    if isinstance(method, PopulationAttack):
        return method.signal(victim)
    return method.judge(method.reading(victim), fleet.read(method.reading))


def name(method: FleetAttack | PopulationAttack) -> str:
    changed = [f"{key}={value}" for key, value in method.model_dump(exclude_defaults=True).items()]
    return " ".join([type(method).__name__, *changed])


def timed(work):
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


if __name__ == "__main__":
    main()
