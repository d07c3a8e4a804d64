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
from mia_seg.metrics.in_turn import CELLS, DRAWS
from mia_seg.metrics.intervals import TAIL, Floats, Integers
from mia_seg.metrics.per_scene import Estimate, divided
from mia_seg.metrics.segmentation import utilities


@dataclass(frozen=True, eq=False)
class Arm:
    """A fleet: how it scores its scenes, who trained on what [M, N], and confusion counts int64 [M, N, K, K].

    groups: of the N scenes, those of one are drawn together; None: each is one. seed: of these draws. All fleets of a
    comparison have the same. Raises MiaSegError as `per_scene.divided`.
    """

    estimate: Estimate
    inside_MN: Booleans
    confusion_MNKK: Integers
    groups: Sequence[Hashable] | None = None
    seed: int = 0

    @cached_property
    def units_N(self) -> Integers:
        """The unit of each scene."""
        return divided(self.inside_MN, self.groups)[1]

    @property
    def units(self) -> int:
        return int(self.units_N.max()) + 1

    @property
    def pairs(self) -> int:
        return len(self.inside_MN) // 2

    @cached_property
    def scores_MN(self) -> Floats:
        """Each model in the victim's place."""
        return self.estimate(np.arange(len(self.inside_MN)), self.inside_MN)

    @cached_property
    def left_out(self) -> list[tuple[Integers, Floats]]:
        """For each pair the other models, and their scores [M - 2, N] where none is compared with that pair."""
        every, found = np.arange(len(self.inside_MN)), []
        for pair in range(self.pairs):
            kept = every[every // 2 != pair]
            found.append((kept, self.estimate(kept, self.inside_MN[kept])))
        return found

    @cached_property
    def miou_SM(self) -> Floats:
        """Of each model, on the scenes that it trained on and on the others."""
        ones = np.ones((1, self.inside_MN.shape[1]))
        return np.stack([_miou(self, side_MN, ones)[:, 0] for side_MN in (self.inside_MN, ~self.inside_MN)])

    @cached_property
    def draws_BU(self) -> Integers:
        """How often each unit is drawn: the same for all fleets, because the same scenes are easy for all."""
        chances = np.full(self.units, 1 / self.units)
        return np.random.default_rng(self.seed).multinomial(self.units, chances, size=DRAWS)

    @cached_property
    def drawn_B(self) -> tuple[Floats, Floats]:
        """Gap and AUC where units are drawn so often."""
        weights_BN = self.draws_BU[:, self.units_N]
        members_MB, others_MB = (_miou(self, side_MN, weights_BN) for side_MN in (self.inside_MN, ~self.inside_MN))
        return (members_MB - others_MB).mean(0), areas_again(self, np.arange(len(self.inside_MN)))


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
    members, others = arm.miou_SM.mean(1).tolist()
    return Place(members, others, members - others, area(arm.scores_MN, arm.inside_MN))


def above(arm: Arm, curve: Sequence[Arm]) -> Above:
    """An arm against the curve of plain fleets.

    All have the same scenes and halves: each bootstrap round draws the same units for all (the same scenes are easy for
    all), and the jackknife leaves the same pair out of all; the two variances are added, with Student's quantile for
    Satterthwaite's degrees of freedom. Raises MiaSegError where halves differ, or as `per_scene.divided`.
    """
    arms = [arm, *curve]
    if any(not np.array_equal(arm.inside_MN, other.inside_MN) for other in curve):
        raise MiaSegError("Fleets are compared on the same scenes and halves. Give them the same split, seed and size.")
    places = [place(one) for one in arms]
    plain = _on_curve(places[0].gap, *_points(places[1:]))
    value, widest = places[0].auc - float(plain), max(one.gap for one in places[1:])
    low, high = _ends(value, [_over_units(arms), _over_pairs(arms)], (arm.units, arm.pairs))
    return Above(float(plain), value, low, high, bool(places[0].gap <= widest))


def area(scores_MN: Floats, inside_MN: Booleans) -> float:
    """The AUC of all these scores on one scale."""
    return float(area_under(*called(rank(scores_MN.ravel(), inside_MN.ravel()))))


def areas_again(arm: Arm, models: Integers) -> Floats:
    """The AUC [B] of some models' scores on one scale where units are drawn so often, each with all these scores."""
    scores_MN, inside_MN = arm.scores_MN[models], arm.inside_MN[models]
    ranking = rank(scores_MN.ravel(), inside_MN.ravel())
    slots = np.tile(arm.units_N, len(models))[ranking.order_N]
    both = Groups(np.where(ranking.members_N, slots, slots + arm.units), arm.units, arm.units)
    passes = np.array_split(arm.draws_BU, -(-DRAWS * scores_MN.size // CELLS))
    again = (called_again(np.hstack([draws, draws]), both, called(ranking)) for draws in passes)
    return np.concatenate([area_under(*points) for points in again])


def _points(places: Sequence[Place]) -> tuple[Floats, Floats]:
    return np.array([one.gap for one in places]), np.array([one.auc for one in places])


def _on_curve(gap: Floats | float, gaps_P: Floats, aucs_P: Floats) -> Floats:
    """The leak of plain training at a gap: lines from (0, 0.5) through the points by gap; the last one goes on."""
    order = np.argsort(gaps_P, kind="stable")
    x, y = np.append(0.0, gaps_P[order]), np.append(0.5, aucs_P[order])
    k = np.clip(np.searchsorted(x, gap) - 1, 0, len(x) - 2)
    width = np.maximum(x[k + 1] - x[k], 1e-9)
    return np.asarray(y[k] + (gap - x[k]) / width * (y[k + 1] - y[k]))


def _over_units(arms: Sequence[Arm]) -> float:
    """The variance of the difference over draws of the units, the same for all arms."""
    (gap_B, auc_B), *others = [arm.drawn_B for arm in arms]
    gaps_BP, aucs_BP = (np.stack(side, 1) for side in zip(*others, strict=True))
    drawn = zip(gap_B, auc_B, gaps_BP, aucs_BP, strict=True)
    return float(np.var([auc - _on_curve(gap, gaps_P, aucs_P) for gap, auc, gaps_P, aucs_P in drawn], ddof=1))


def _over_pairs(arms: Sequence[Arm]) -> float:
    """The jackknife's variance over pairs, left out of all arms; NaN below three pairs."""
    pairs = arms[0].pairs
    if pairs < 3:
        return float("nan")
    found = []
    for pair in range(pairs):
        (gap, auc), *others = [_without(arm, pair) for arm in arms]
        found.append(auc - float(_on_curve(gap, *(np.array(side) for side in zip(*others, strict=True)))))
    return float((pairs - 1) * np.var(found))


def _without(arm: Arm, pair: int) -> tuple[float, float]:
    """Gap and AUC of the fleet without a pair."""
    kept, scores_MN = arm.left_out[pair]
    members, others = arm.miou_SM[:, kept].mean(1)
    return float(members - others), area(scores_MN, arm.inside_MN[kept])


def _ends(value: float, parts: Sequence[float], counts: Sequence[int]) -> tuple[float | None, float | None]:
    total = sum(parts)
    if np.isnan(total) or not total:  # too few pairs; or nothing varies, as where all fleets tell every scene
        return None, None
    freedom = total**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    reach = float(stdtrit(freedom, 1 - TAIL)) * float(np.sqrt(total))
    return value - reach, value + reach


def _miou(arm: Arm, side_MN: Booleans, weights_BN: Integers | Floats) -> Floats:
    """Each model's mIoU on one side's scenes, drawn so often: [M, B]."""
    found = [
        utilities(np.tensordot(weights_BN[:, side_N].astype(np.float64), counts_NKK[side_N], axes=1))["miou"]
        for counts_NKK, side_N in zip(arm.confusion_MNKK, side_MN, strict=True)
    ]
    return np.asarray(found)
