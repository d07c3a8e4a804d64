"""Does a kind of training leak more than plain training that overfits as much? Fleets compared at equal gaps.

The gap of a fleet is the mean over its models of the mIoU on the scenes that a model trained on, less that on the
others. Plain fleets of several lengths, and the untrained network (no gap, AUC 0.5), give the leak of plain training at
every gap by straight lines between them. Axes as in `in_turn`; K classes; B bootstrap rounds.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from mia_seg.errors import MiaSegError
from mia_seg.metrics._ranking import Booleans, Groups, area_under, called, called_again, rank
from mia_seg.metrics.intervals import TAIL, Floats, Integers
from mia_seg.metrics.per_scene import Estimate, divided
from mia_seg.metrics.segmentation import utilities

DRAWS = 400  # of the bootstrap over units, for a variance


@dataclass(frozen=True, eq=False)
class Arm:
    """A fleet: how it scores its scenes, who trained on what [M, N], and confusion counts int64 [M, N, K, K]."""

    estimate: Estimate
    inside_MN: Booleans
    confusion_MNKK: Integers

    def without(self, pair: int) -> "Arm":
        """The fleet without a pair."""
        kept = np.flatnonzero(np.arange(len(self.inside_MN)) // 2 != pair)
        inside_MN, whole = self.inside_MN[kept], self.estimate

        def estimate(models: Integers, inside: Booleans) -> Floats:
            return whole(kept[models], inside)

        return Arm(estimate, inside_MN, self.confusion_MNKK[kept])

    @cached_property
    def scores_MN(self) -> Floats:
        """Each model in the victim's place."""
        return self.estimate(np.arange(len(self.inside_MN)), self.inside_MN)


@dataclass(frozen=True)
class Place:
    """Where a fleet stands: mIoU on scenes that its models trained on and on the others, their gap, and the leak."""

    members: float
    others: float
    gap: float
    auc: float


@dataclass(frozen=True)
class Above:
    """By how much a fleet's AUC exceeds that of plain training at its gap; 95% interval, None below three pairs
    and where nothing varies: fleets that all tell every scene are not compared by that.

    inside: whether its gap is one that plain fleets reach; beyond the widest the last line goes on.
    """

    plain: float
    value: float
    low: float | None
    high: float | None
    inside: bool


def place(arm: Arm) -> Place:
    """Means over models. Raises MiaSegError where no pixel is labelled."""
    ones = np.ones((1, arm.inside_MN.shape[1]))
    (members,), (others,) = (_miou(arm, side_MN, ones) for side_MN in (arm.inside_MN, ~arm.inside_MN))
    return Place(members, others, members - others, float(area_under(*called(rank(*_flat(arm))))))


def above(arm: Arm, curve: Sequence[Arm], *, groups: Sequence[Hashable] | None = None, seed: int = 0) -> Above:
    """An arm against the curve of plain fleets.

    All have the same scenes and halves: each bootstrap round draws the same units for all (the same scenes are easy for
    all), and the jackknife leaves the same pair out of all; the two variances are added, with Student's quantile for
    Satterthwaite's degrees of freedom. Raises MiaSegError where halves differ, or as `per_scene.divided`.
    """
    arms = [arm, *curve]
    if any(not np.array_equal(arm.inside_MN, other.inside_MN) for other in curve):
        raise MiaSegError("Fleets are compared on the same scenes and halves. Give them the same split, seed and size.")
    inside_MN, units_N = divided(arm.inside_MN, groups)
    units, pairs = int(units_N.max()) + 1, len(inside_MN) // 2
    places = [place(one) for one in arms]
    plain = _on_curve(places[0].gap, *_points(places[1:]))
    value, widest = places[0].auc - float(plain), max(one.gap for one in places[1:])
    low, high = _ends(value, [_over_units(arms, units_N, seed=seed), _over_pairs(arms)], (units, pairs))
    return Above(float(plain), value, low, high, bool(places[0].gap <= widest))


def _points(places: Sequence[Place]) -> tuple[Floats, Floats]:
    return np.array([one.gap for one in places]), np.array([one.auc for one in places])


def _on_curve(gap: Floats | float, gaps_P: Floats, aucs_P: Floats) -> Floats:
    """The leak of plain training at a gap: lines from (0, 0.5) through the points by gap; the last one goes on."""
    order = np.argsort(gaps_P, kind="stable")
    x, y = np.append(0.0, gaps_P[order]), np.append(0.5, aucs_P[order])
    k = np.clip(np.searchsorted(x, gap) - 1, 0, len(x) - 2)
    width = np.maximum(x[k + 1] - x[k], 1e-9)
    return np.asarray(y[k] + (gap - x[k]) / width * (y[k + 1] - y[k]))


def _over_units(arms: Sequence[Arm], units_N: Integers, *, seed: int) -> float:
    """The variance of the difference over draws of the units, the same for all arms."""
    count = int(units_N.max()) + 1
    draws_BU = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    drawn = [(_gaps(arm, draws_BU[:, units_N]), _aucs(arm, draws_BU, units_N)) for arm in arms]
    (gap_B, auc_B), *others = drawn
    curves = zip(*(zip(*pair, strict=True) for pair in others), strict=True)
    found = [
        auc - _on_curve(gap, *(np.array(side) for side in zip(*points, strict=True)))
        for gap, auc, points in zip(gap_B, auc_B, curves, strict=True)
    ]
    return float(np.var(found, ddof=1))


def _over_pairs(arms: Sequence[Arm]) -> float:
    """The jackknife's variance over pairs, left out of all arms; NaN below three pairs."""
    pairs = len(arms[0].inside_MN) // 2
    if pairs < 3:
        return float("nan")
    found = []
    for pair in range(pairs):
        first, *others = [place(arm.without(pair)) for arm in arms]
        found.append(first.auc - float(_on_curve(first.gap, *_points(others))))
    return float((pairs - 1) * np.var(found))


def _ends(value: float, parts: Sequence[float], counts: Sequence[int]) -> tuple[float | None, float | None]:
    total = sum(parts)
    if np.isnan(total) or not total:  # too few pairs; or nothing varies, as where all fleets tell every scene
        return None, None
    freedom = total**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    reach = float(stdtrit(freedom, 1 - TAIL)) * float(np.sqrt(total))
    return value - reach, value + reach


def _flat(arm: Arm) -> tuple[Floats, Booleans]:
    return arm.scores_MN.ravel(), arm.inside_MN.ravel()


def _gaps(arm: Arm, weights_BN: Integers) -> Floats:
    return _miou(arm, arm.inside_MN, weights_BN) - _miou(arm, ~arm.inside_MN, weights_BN)


def _miou(arm: Arm, side_MN: Booleans, weights_BN: Integers | Floats) -> Floats:
    """The mean over models of the mIoU on one side's scenes, drawn so often: [B]."""
    counts = arm.confusion_MNKK
    found = [
        utilities(np.tensordot(weights_BN[:, side_N].astype(np.float64), counts_NKK[side_N], axes=1))["miou"]
        for counts_NKK, side_N in zip(counts, side_MN, strict=True)
    ]
    return np.asarray(np.mean(found, 0))


def _aucs(arm: Arm, draws_BU: Integers, units_N: Integers) -> Floats:
    """The pooled AUC when units are drawn so often, each with all models' scores."""
    ranking, count = rank(*_flat(arm)), draws_BU.shape[1]
    slots = np.tile(units_N, len(arm.scores_MN))[ranking.order_N]
    both = Groups(np.where(ranking.members_N, slots, slots + count), count, count)
    return area_under(*called_again(np.hstack([draws_BU, draws_BU]), both, called(ranking)))
