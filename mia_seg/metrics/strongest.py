"""The AUC of the strongest of several attacks on a fleet, without the error of choosing the best one afterwards.

The best of many AUCs is too high by chance alone. So an attack is chosen on one half of the fleet's pairs and measured
on the other half. Then the halves change places, and the mean of both AUCs counts (data splitting: Cox, Biometrika
1975, 62:441). Each model's scores come from all pairs but its own, as in `equal_gap`. Axes: A attacks; 2 halves; B
bootstrap rounds; P pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mia_seg.metrics.equal_gap import Arm, areas_again, check_halves, ends, jackknife
from mia_seg.metrics.in_turn import bounded
from mia_seg.metrics.intervals import Floats, Integers
from mia_seg.metrics.membership import CHANCE
from mia_seg.metrics.per_scene import area


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


@dataclass(frozen=True, eq=False)
class Choice:
    """Several attacks on one fleet, of which the strongest counts. arms: each attack's arm, by the attack's name."""

    arms: Mapping[str, Arm]

    @property
    def first(self) -> Arm:
        """The arm of the first attack. Scenes, halves and mIoU are the same for all attacks."""
        return next(iter(self.arms.values()))

    @cached_property
    def areas_A2(self) -> Floats:
        """The AUC of each attack on each half. Two pairs at the least have halves."""
        return np.array([_areas(arm.scores_MN, arm.inside_MN) for arm in self.arms.values()])

    @property
    def value(self) -> float:
        """The AUC of the attack that is best on the other half, averaged over both halves."""
        return float(_crossed(self.areas_A2))

    @cached_property
    def drawn_B(self) -> Floats:
        """The same in each bootstrap round over units, for an attack that is chosen anew."""
        halves = _halves(len(self.first.inside_MN))
        return _crossed(np.array([[areas_again(arm, half) for half in halves] for arm in self.arms.values()]))

    @cached_property
    def without_P(self) -> Floats:
        """The same without each pair; empty below three pairs. The pairs that are left are halved anew."""
        found = []
        for pair in range(self.first.pairs if self.first.pairs > 2 else 0):
            left = [(arm, *arm.left_out[pair]) for arm in self.arms.values()]
            found.append(_crossed(np.array([_areas(scores, arm.inside_MN[kept]) for arm, kept, scores in left])))
        return np.array(found, np.float64)


def strongest(choice: Choice) -> Strongest:
    """The strongest of several attacks on a fleet.

    Two variances are added, as in `equal_gap`: over bootstrap draws of units, and over pairs left out in turn. Attacks
    are chosen anew in every draw and without every pair. The interval is Wilson's, as in `in_turn.pooled`. Raises
    MiaSegError as `per_scene.divided` does.
    """
    names, first = list(choice.arms), choice.first
    if first.pairs < 2:
        return Strongest(area(first.scores_MN, first.inside_MN), None, None, (names[0],))
    variances = float(np.var(choice.drawn_B, ddof=1)), jackknife(choice.without_P)
    found = bounded(choice.value, variances, (first.units, first.pairs))
    return Strongest(found.value, found.low, found.high, tuple(names[k] for k in choice.areas_A2.argmax(0)))


def leaks_less(one: Choice, other: Choice) -> bool:
    """Whether the strongest attack on one fleet is shown to reach less than that on another, over the same halves.

    The interval of the difference leaves out zero. Rounds draw the same units for both fleets, and the jackknife leaves
    the same pair out of both, as in `equal_miou`. An AUC below 0.5 is turned around first. False below three pairs, and
    if nothing varies. Raises MiaSegError if halves differ.
    """
    check_halves([one.first, other.first])
    if one.first.pairs < 3:
        return False
    (value, mine_B, mine_P), (least, other_B, other_P) = (_turned(each) for each in (one, other))
    variances = float(np.var(mine_B - other_B, ddof=1)), jackknife(mine_P - other_P)
    _, high = ends(value - least, variances, (one.first.units, one.first.pairs))
    return high is not None and high < 0


def _turned(fleet: Choice) -> tuple[float, Floats, Floats]:
    """The AUC, in each bootstrap round and without each pair; 1 minus each if the AUC is below 0.5."""
    found = fleet.value, fleet.drawn_B, fleet.without_P
    return found if fleet.value >= CHANCE else (1 - found[0], 1 - found[1], 1 - found[2])


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
