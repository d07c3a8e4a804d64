"""Whether a fleet's own audit keeps its promises: null bands, lists of exposed scenes, and pooled intervals.

Run: PYTHONPATH=tests python benchmarks/per_scene.py > benchmarks/per_scene.md
An audit has 60 scenes and 16 models (8 pairs). Difficulties of scenes are normal with a standard deviation of 2, and
readings have a normal noise of 1. The leak is added to the readings of members. "A third" means a leak of 4 in 20 of
the 60 scenes and none in the others. Where models vary, each model's leak is multiplied by exp(0.3 x) with a normal x.
Each row has 1,000 audits with their own seeds, and each audit 99 shuffles. The estimators: "Calibrated" is
the reading minus the mean reading by models that were not trained on the scene. "LiRA" has a mean and a variance for
each scene, "LiRA, one variance" a mean for each and one variance for all. All leave the victim's own pair out.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from helpers_in_turn import calibrated, likelihood, one_variance, simulated

from mia_seg.metrics import in_turn, log_ratios, per_scene
from mia_seg.metrics.per_scene import SLACK, Estimate

AUDITS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
FEWER = max(3 * AUDITS // 10, 1)  # of likelihood ratios, whose shuffles take twenty times as long
SCENES, SHUFFLES = 60, 99
THIRD = np.where(np.arange(SCENES) < 20, 4.0, 0.0)
LEAKS = {"none": 0 * THIRD, "a third": THIRD}
MOST = np.where(np.arange(SCENES) < 40, 8.0, 0.0)
RATIOS = {"none": 0 * THIRD, "a third": THIRD, "two thirds, 8": MOST}
EVERYWHERE = (0.0, 1.0, 3.0)
How = Callable[[np.ndarray], Estimate]
HOWS: dict[str, How] = {"calibrated": calibrated, "LiRA": likelihood}
ALL_HOWS = HOWS | {"LiRA, one variance": one_variance}
SCENEWISE = (
    "estimator", "leak", "mean AUC of scenes without a leak", "of these above their band",
    "exposed, of those that leak", "false ones in the list", "pooled p at most 0.05",
)  # fmt: skip
ODDS = (
    "estimator", "leak", "log-ratio of scenes without a leak", "of these above their band", "of these below",
    "scenes that leak above theirs",
)  # fmt: skip
APART = (
    "estimator", "models", "leak", "leak of the 15", "difference", "intervals with the difference", "their mean width",
)  # fmt: skip
SIDES = ((0.0, 0.0), (1.0, 1.0), (1.0, 2.0), (3.0, 3.0), (3.0, 5.0))
POOLED = ("estimator", "models", "leak everywhere", "AUC", "intervals that include it", "their mean width")


@dataclass(frozen=True)
class Looked:
    """Of one audit the shares that the first table averages."""

    null_auc: float
    above: float
    hit: float
    false: float
    small: bool


def main() -> None:
    command, _, about = (__doc__ or "").partition("Run: ")[2].partition("\n")
    print(f"# Each model the victim in turn\n\nMade by `{command}`.\n{about.strip()}\n")
    print("Scene by scene. Promised: at most 2.5% above their band, 5% false ones in a list on average, and p at most")
    print("0.05 in 5% of audits without a leak.\n")
    _table(SCENEWISE, (_scenewise(name, leak) for name, leak in product(HOWS, LEAKS)))
    print(f"\nLikelihood ratios of scenes: {FEWER} audits a row, with 39 shuffles each. Promised: at most 2.5% beyond")
    print("either end. In the strongest case 40 of the 60 scenes leak 8.\n")
    _table(ODDS, (_odds(name, leak) for name, leak in product(ALL_HOWS, RATIOS)))
    print("\nPooled over scenes and models. All scenes leak alike, and models vary. Promised: 95%.\n")
    _table(POOLED, (_pooled(name, models, leak) for name, models, leak in product(HOWS, (8, 16), EVERYWHERE)))
    print("\nThe mean AUC of 15 scenes minus that of the other 45. Models vary. Promised: 95%.\n")
    _table(APART, (_apart(name, models, sides) for name, models, sides in product(HOWS, (8, 16), SIDES)))


def _scenewise(name: str, leak: str) -> list[str]:
    found = [_looked(HOWS[name], LEAKS[leak], seed) for seed in range(AUDITS)]
    null_auc, above, hit, false, small = (
        np.mean([getattr(one, part) for one in found]) for part in ("null_auc", "above", "hit", "false", "small")
    )
    told = f"{100 * hit:.0f}%" if LEAKS[leak].any() else ""
    return [name, leak, f"{null_auc:.3f}", f"{100 * above:.1f}%", told, f"{100 * false:.1f}%", f"{100 * small:.1f}%"]


def _looked(how: How, leak_N: np.ndarray, seed: int) -> Looked:
    world, leaks_N = simulated(16, leak_N, seed), leak_N > 0
    found = per_scene.per_scene(how(world.readings_MN), world.inside_MN, seed=seed, rounds=SHUFFLES)
    named_N = found.exposed_U()
    assert named_N is not None
    hit = float(named_N[leaks_N].mean()) if leaks_N.any() else 0.0
    false = float((named_N & ~leaks_N).sum() / max(named_N.sum(), 1))
    null_auc, above = found.auc_U[~leaks_N].mean(), found.above_U[~leaks_N].mean()
    return Looked(float(null_auc), float(above), hit, false, found.together().p <= 0.05)


def _odds(name: str, leak: str) -> list[str]:
    leaks_N, own, above, below = RATIOS[leak] > 0, list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    for seed in range(FEWER):
        world = simulated(16, RATIOS[leak], seed)
        found = log_ratios.ratios(ALL_HOWS[name](world.readings_MN), world.inside_MN, seed=seed, rounds=SHUFFLES)
        low_N, high_N = found.band_U
        own.append(found.own_U)
        above.append(found.own_U > high_N + SLACK)
        below.append(found.own_U < low_N - SLACK)
    null = [f"{100 * np.stack(ends)[:, ~leaks_N].mean():.1f}%" for ends in (above, below)]
    told = f"{100 * np.stack(above)[:, leaks_N].mean():.0f}%" if leaks_N.any() else ""
    return [name, leak, f"{np.stack(own)[:, ~leaks_N].mean():.2f}", *null, told]


def _pooled(name: str, models: int, leak: float) -> list[str]:
    worlds = (simulated(models, np.full(SCENES, leak), seed, varies=0.3) for seed in range(AUDITS))
    found = [in_turn.pooled(HOWS[name](world.readings_MN), world.inside_MN).auc for world in worlds]
    return [name, str(models), f"{leak:g}", *_held(found)]


def _apart(name: str, models: int, sides: tuple[float, float]) -> list[str]:
    mine_N, (leak, kept) = np.arange(SCENES) < 15, sides
    worlds = (simulated(models, np.where(mine_N, kept, leak), seed, varies=0.3) for seed in range(AUDITS))
    found = [in_turn.apart(HOWS[name](world.readings_MN), world.inside_MN, mine_N) for world in worlds]
    return [name, str(models), f"{leak:g}", f"{kept:g}", *_held(found)]


def _held(found: list[in_turn.Bounded]) -> list[str]:
    """The mean value, how many intervals include it, and their mean width."""
    truth = float(np.mean([one.value for one in found]))
    ends = [(one.low, one.high) for one in found if one.low is not None and one.high is not None]
    held, width = np.mean([low <= truth <= high for low, high in ends]), np.mean([high - low for low, high in ends])
    return [f"{truth:.3f}", f"{100 * held:.1f}%", f"{width:.3f}"]


def _table(columns: tuple[str, ...], rows: Iterable[list[str]]) -> None:
    print(f"| {' | '.join(columns)} |\n|{'---|' * 2}{'---:|' * (len(columns) - 2)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
