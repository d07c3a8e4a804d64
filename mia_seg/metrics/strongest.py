"""The AUC of the strongest of several attacks on a fleet, without the error of choosing the best one afterwards.

The best of many AUCs is too high by chance alone. So an attack is chosen on one half of the fleet's pairs and measured
on the other half. Then the halves change places, and the mean of both AUCs counts (data splitting: Cox, Biometrika
1975, 62:441). Each model's scores come from all pairs but its own, as in `equal_gap`. Axes: A attacks; 2 halves; B
bootstrap rounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mia_seg.metrics.equal_gap import Arm, area, areas_again
from mia_seg.metrics.in_turn import bounded
from mia_seg.metrics.intervals import Floats, Integers


@dataclass(frozen=True)
class Strongest:
    """The AUC of the strongest attack with its 95% interval; low and high are None below three pairs.

    chosen: the best attack on the first half, which is measured on the second, then the best on the second half. With
    one pair there are no halves, and the first attack given is taken.
    """

    value: float
    low: float | None
    high: float | None
    chosen: tuple[str, ...]


def strongest(arms: Mapping[str, Arm]) -> Strongest:
    """The strongest of several attacks. arms: each attack's arm of the same fleet, by the attack's name.

    Two variances are added, as in `equal_gap`: over bootstrap draws of units, and over pairs left out in turn. Attacks
    are chosen anew in every draw and without every pair. The interval is Wilson's, as in `in_turn.pooled`. Raises
    MiaSegError as `per_scene.divided` does.
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
    """The models of the first half of the pairs and of the second, which has one pair more if their number is odd."""
    return np.split(np.arange(models), [models // 4 * 2])


def _areas(scores_MN: Floats, inside_MN: np.ndarray) -> list[float]:
    """The AUC of the pooled scores of each half."""
    return [area(scores_MN[half], inside_MN[half]) for half in _halves(len(scores_MN))]


def _crossed(areas_A2: Floats) -> Floats:
    """The AUC, on one half, of the attack that is best on the other, averaged over both halves.

    areas_A2: [A, 2], or [A, 2, B] with one entry a bootstrap round.
    """
    best_2 = areas_A2.argmax(0)[None]
    judged = (np.take_along_axis(areas_A2[:, 1 - k], best_2[:, k], 0)[0] for k in (0, 1))
    return np.asarray(sum(judged) / 2)


def _over_units(attacks: Sequence[Arm]) -> float:
    """The variance over bootstrap draws of units."""
    halves = _halves(len(attacks[0].inside_MN))
    areas_A2B = np.array([[areas_again(arm, half) for half in halves] for arm in attacks])
    return float(np.var(_crossed(areas_A2B), ddof=1))


def _over_pairs(attacks: Sequence[Arm]) -> float:
    """The jackknife variance over pairs. The pairs that are left are halved anew. NaN below three pairs."""
    pairs = attacks[0].pairs
    if pairs < 3:
        return float("nan")
    found = []
    for pair in range(pairs):
        left = [arm.left_out[pair] for arm in attacks]
        areas_A2 = np.array([_areas(s, arm.inside_MN[kept]) for arm, (kept, s) in zip(attacks, left, strict=True)])
        found.append(float(_crossed(areas_A2)))
    return float((pairs - 1) * np.var(found))
