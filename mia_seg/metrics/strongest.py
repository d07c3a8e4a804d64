"""The strongest of several attacks on a fleet, none picked after the fact.

The best of many AUCs is too high by chance alone. So an attack is chosen on one half of the fleet's pairs and judged on
the other half, and the reverse; the mean of both AUCs counts (data splitting: Cox, Biometrika 1975, 62:441). Each model
is judged as in `equal_gap`: it is compared with all pairs but its own. Axes: A attacks; 2 halves; B bootstrap rounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mia_seg.metrics.equal_gap import Arm, area, areas_again
from mia_seg.metrics.in_turn import bounded
from mia_seg.metrics.intervals import Floats, Integers


@dataclass(frozen=True)
class Strongest:
    """The AUC of the strongest attack; 95% interval, None below three pairs.

    chosen: the best attack on the first half, which the second judged, and the best on the second. Below two pairs no
    half is left: it is the first attack alone, whatever the others reach.
    """

    value: float
    low: float | None
    high: float | None
    chosen: tuple[str, ...]


def strongest(arms: Mapping[str, Arm]) -> Strongest:
    """Over attacks on one fleet by name.

    Two variances are added, as in `equal_gap`, and attacks are chosen anew each time: units are drawn again, and each
    pair is left out. The interval is Wilson's, as in `in_turn.pooled`. Raises MiaSegError as `per_scene.divided`.
    """
    names, attacks = list(arms), list(arms.values())
    first = attacks[0]
    if first.pairs < 2:
        return Strongest(area(first.scores_MN, first.inside_MN), None, None, (names[0],))
    areas_A2 = np.array([_areas(arm.scores_MN, arm.inside_MN) for arm in attacks])
    variances = _over_units(attacks), _over_pairs(attacks)
    found = bounded(float(_crossed(areas_A2)), variances, (first.units, first.pairs))
    return Strongest(found.value, found.low, found.high, tuple(names[k] for k in areas_A2.argmax(0)))


def _halves(models: int) -> list[Integers]:
    """The first pairs and the others; of an odd number the others are more."""
    return np.split(np.arange(models), [models // 4 * 2])


def _areas(scores_MN: Floats, inside_MN: np.ndarray) -> list[float]:
    """The AUC of either half's scores."""
    return [area(scores_MN[half], inside_MN[half]) for half in _halves(len(scores_MN))]


def _crossed(areas_A2: Floats) -> Floats:
    """The mean AUC of what is best on one half, on the other; [A, 2], or [A, 2, B] for each round."""
    best_2 = areas_A2.argmax(0)[None]
    judged = (np.take_along_axis(areas_A2[:, 1 - k], best_2[:, k], 0)[0] for k in (0, 1))
    return np.asarray(sum(judged) / 2)


def _over_units(attacks: Sequence[Arm]) -> float:
    """The variance over draws of the units."""
    halves = _halves(len(attacks[0].inside_MN))
    areas_A2B = np.array([[areas_again(arm, half) for half in halves] for arm in attacks])
    return float(np.var(_crossed(areas_A2B), ddof=1))


def _over_pairs(attacks: Sequence[Arm]) -> float:
    """The jackknife's variance over pairs; those that are left are halved anew. NaN below three."""
    pairs = attacks[0].pairs
    if pairs < 3:
        return float("nan")
    found = []
    for pair in range(pairs):
        left = [arm.left_out[pair] for arm in attacks]
        areas_A2 = np.array([_areas(s, arm.inside_MN[kept]) for arm, (kept, s) in zip(attacks, left, strict=True)])
        found.append(float(_crossed(areas_A2)))
    return float((pairs - 1) * np.var(found))
