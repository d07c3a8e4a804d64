"""Compares fleets at equal gaps: does a kind of training leak more than plain training that overfits as much?

The gap of a model is its mIoU on the scenes that it trained on minus its mIoU on the others. The gap of a fleet is the
mean over its models. Plain fleets of several training lengths give the leak of plain training at some gaps, and the
untrained network has gap 0 and AUC 0.5. Straight lines between these points give the leak at every other gap: the
curve. An arm is one fleet in such a comparison. Axes as in `in_turn`; K classes; B bootstrap rounds; S = 2 sides,
members first.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from mia_seg.errors import MiaSegError
from mia_seg.metrics._ranking import Booleans, area_under
from mia_seg.metrics.in_turn import DRAWS, again
from mia_seg.metrics.intervals import TAIL, Floats, Integers
from mia_seg.metrics.membership import CHANCE
from mia_seg.metrics.per_scene import Estimate, area, divided
from mia_seg.metrics.segmentation import utilities

UNTRAINED = (0.0, CHANCE)  # its gap and AUC


@dataclass(frozen=True, eq=False)
class Arm:
    """A fleet in a comparison, with one attack on it.

    estimate: the attack's scores. inside_MN: bool, whether the model trained on the scene. confusion_MNKK: confusion
    counts of each model on each scene, int64. groups: one key a scene; scenes with the same key are drawn together, and
    None makes each scene a unit. seed: of the draws. All fleets of a comparison have the same groups and seed. Raises
    MiaSegError as `per_scene.divided` does.
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
        """The scores [M, N], each model the victim in turn."""
        return self.estimate(np.arange(len(self.inside_MN)), self.inside_MN)

    @cached_property
    def left_out(self) -> list[tuple[Integers, Floats]]:
        """For each pair: the numbers of the other models, and their scores [M - 2, N] estimated without the pair."""
        every, found = np.arange(len(self.inside_MN)), []
        for pair in range(self.pairs):
            kept = every[every // 2 != pair]
            found.append((kept, self.estimate(kept, self.inside_MN[kept])))
        return found

    @cached_property
    def miou_SM(self) -> Floats:
        """The mIoU of each model [2, M]: on the scenes that it trained on, then on the others."""
        ones = np.ones((1, self.inside_MN.shape[1]))
        return np.stack([_miou(self, side_MN, ones)[:, 0] for side_MN in (self.inside_MN, ~self.inside_MN)])

    @cached_property
    def draws_BU(self) -> Integers:
        """How often each bootstrap round draws each unit. All fleets share it: the same scenes are easy for all."""
        chances = np.full(self.units, 1 / self.units)
        return np.random.default_rng(self.seed).multinomial(self.units, chances, size=DRAWS)

    @cached_property
    def drawn_miou_SB(self) -> Floats:
        """The mIoU of both sides in each bootstrap round [2, B], as means over models."""
        weights_BN = self.draws_BU[:, self.units_N]
        sides = (self.inside_MN, ~self.inside_MN)
        return np.stack([_miou(self, side_MN, weights_BN).mean(0) for side_MN in sides])

    @cached_property
    def drawn_B(self) -> tuple[Floats, Floats]:
        """The gap and the AUC in each bootstrap round, [B] each."""
        members_B, others_B = self.drawn_miou_SB
        return members_B - others_B, areas_again(self, np.arange(len(self.inside_MN)))


@dataclass(frozen=True)
class Place:
    """A fleet's mIoU on the scenes that its models trained on, that on the others, the gap of both, and the AUC."""

    members: float
    others: float
    gap: float
    auc: float


@dataclass(frozen=True)
class Above:
    """A fleet's AUC minus that of plain training at the same place: the same gap, or the same mIoU on others.

    plain: the AUC of plain training there. value: the difference. low, high: its 95% interval; None below three pairs,
    below the narrowest gap of a plain fleet, and if nothing varies, for example because all attacks are faultless.
    inside: whether there are plain fleets on both sides of that place; beyond the last of them the line is extended.
    """

    plain: float
    value: float
    low: float | None
    high: float | None
    inside: bool


@dataclass(frozen=True, eq=False)
class Placed:
    """Where a fleet lies: x, which is a gap or an mIoU, and the AUC, [2]. Then where it might, again [2, ...].

    drawn_2B: in each bootstrap round. without_2P: without each pair; empty below three pairs.
    """

    found_2: Floats
    drawn_2B: Floats
    without_2P: Floats


def place(arm: Arm) -> Place:
    """The place of a fleet in the comparison, as means over its models. Raises MiaSegError if no pixel is labelled."""
    members, others = arm.miou_SM.mean(1).tolist()
    return Place(members, others, members - others, area(arm.scores_MN, arm.inside_MN))


def above(arm: Arm, curve: Sequence[Arm]) -> Above:
    """The distance of an arm above the curve of plain fleets. curve: the plain fleets, in any order.

    All fleets have the same scenes, and models of the same number trained on the same halves. Each bootstrap round
    draws the same units for all fleets, because the same scenes are easy for all. The jackknife leaves the same pair
    out of all. The two variances are added, and the quantile is Student's with Satterthwaite's degrees of freedom.

    Leaks rise less than in proportion to gaps. So the line lies too low between two plain fleets, by as much as
    `concave` says at the most. From chance to the narrowest gap of a plain fleet that can be all of the leak, so there
    is no interval. Nor is there with one plain fleet alone. Raises MiaSegError if halves differ, and as
    `per_scene.divided` does.
    """
    check_halves([arm, *curve])
    fleets = [Placed(_found(one), np.stack(one.drawn_B), _without(one)) for one in (arm, *curve)]
    found = distance(fleets, (arm.units, arm.pairs), through=[UNTRAINED])
    gap, *plain = (one.found_2[0] for one in fleets)
    return found if len(curve) > 1 and gap >= min(plain) else replace(found, low=None, high=None)


def distance(fleets: Sequence[Placed], counts: Sequence[int], *, through: Sequence[tuple[float, float]] = ()) -> Above:
    """The distance of the first fleet above the lines through the others.

    counts: the number of units and of pairs. through: further points (x, AUC) of the lines. If there are any, the lines
    go on beyond the last point, else they end flat: where two points lie close together, a slope says little. Two
    variances are added: over the bootstrap rounds, and the jackknife's over pairs.
    """
    fixed_Q2 = np.reshape(through, (-1, 2))
    found = [np.stack([one.found_2[:, None] for one in fleets]), np.stack([one.drawn_2B for one in fleets])]
    (value,), drawn_B = (_above_lines(each, fixed_Q2) for each in found)
    without_P = _above_lines(np.stack([one.without_2P for one in fleets]), fixed_Q2)
    low, high = ends(float(value), (float(np.var(drawn_B, ddof=1)), jackknife(without_P)), counts)
    x, auc = fleets[0].found_2.tolist()
    others = [one.found_2[0] for one in fleets[1:]]
    return Above(auc - float(value), float(value), low, high, bool(min(others) <= x <= max(others)))


def jackknife(values_P: Floats) -> float:
    """The variance of a value that was estimated without each of P pairs; NaN if there are none."""
    return float((len(values_P) - 1) * np.var(values_P)) if len(values_P) else float("nan")


def _above_lines(fleets_F2R: Floats, fixed_Q2: Floats) -> Floats:
    """The distance of the first fleet from the lines through the others and through fixed points, R times [R]."""
    x_FR, auc_FR = np.moveaxis(fleets_F2R, 1, 0)
    at_R = x_FR[0] if len(fixed_Q2) else np.clip(x_FR[0], x_FR[1:].min(0), x_FR[1:].max(0))
    lines = (np.vstack([fixed_Q2, one_F2[1:]]).T for one_F2 in np.moveaxis(fleets_F2R, 2, 0))
    return auc_FR[0] - np.array([on_lines(x, *points_2P) for x, points_2P in zip(at_R, lines, strict=True)], np.float64)


def check_halves(arms: Sequence[Arm]) -> None:
    """Raise MiaSegError if models of the same number trained on other scenes."""
    if any(not np.array_equal(arms[0].inside_MN, other.inside_MN) for other in arms):
        raise MiaSegError("Fleets are compared on the same scenes and halves. Give them the same split, seed and size.")


def on_lines(x: Floats | float, xs_P: Floats, ys_P: Floats) -> Floats:
    """The height at x of the lines through two points and more, by their x; the first and the last are extended."""
    order = np.argsort(xs_P, kind="stable")
    xs_P, ys_P = xs_P[order], ys_P[order]
    k = np.clip(np.searchsorted(xs_P, x) - 1, 0, len(xs_P) - 2)
    width = np.maximum(xs_P[k + 1] - xs_P[k], 1e-9)
    return np.asarray(ys_P[k] + (x - xs_P[k]) / width * (ys_P[k + 1] - ys_P[k]))


def concave(x: float, xs_P: Floats, ys_P: Floats) -> tuple[float, float]:
    """The least and the largest height at x, up to 1, of a curve through points that rises ever less steeply.

    Between two points it lies above the line that joins them, and below the lines through the points on either side,
    extended. Where such a line lies below the first one, the points do not rise ever less steeply, and it says nothing.
    Beyond the last point the curve lies below the last line, extended; it is taken not to fall there.
    """
    order = np.argsort(xs_P, kind="stable")
    xs_P, ys_P = xs_P[order], ys_P[order]
    line, last = float(on_lines(x, xs_P, ys_P)), len(xs_P) - 1
    if x > xs_P[last]:
        return min(line, float(ys_P[last])), line
    k = int(np.clip(np.searchsorted(xs_P, x) - 1, 0, last - 1))
    beside = [slice(start, start + 2) for start in (k - 1, k + 1) if 0 <= start < last]
    extended = [float(on_lines(x, xs_P[pair], ys_P[pair])) for pair in beside]
    return line, min([1.0, *(height for height in extended if height >= line)])


def ends(value: float, parts: Sequence[float], counts: Sequence[int]) -> tuple[float | None, float | None]:
    """The 95% interval of a value. parts: variances that are added. counts: what each was estimated from.

    The quantile is Student's with Satterthwaite's degrees of freedom. None where a variance is NaN or nothing varies,
    as if all attacks are faultless.
    """
    total = sum(parts)
    if np.isnan(total) or not total:
        return None, None
    freedom = total**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    reach = float(stdtrit(freedom, 1 - TAIL)) * float(np.sqrt(total))
    return value - reach, value + reach


def areas_again(arm: Arm, models: Integers) -> Floats:
    """The AUC [B] of some models' pooled scores in each bootstrap round; a unit is drawn with all its scores."""
    passes = again(arm.scores_MN[models], arm.inside_MN[models], arm.units_N, draws_BU=arm.draws_BU)
    return np.concatenate([area_under(*points) for points in passes])


def _found(arm: Arm) -> Floats:
    one = place(arm)
    return np.array([one.gap, one.auc])


def _without(arm: Arm) -> Floats:
    """The gap and the AUC without each pair [2, P]; empty below three pairs."""
    found = []
    for kept, scores_MN in arm.left_out if arm.pairs > 2 else ():
        members, others = arm.miou_SM[:, kept].mean(1)
        found.append((members - others, area(scores_MN, arm.inside_MN[kept])))
    return np.reshape(found, (-1, 2)).T


def _miou(arm: Arm, side_MN: Booleans, weights_BN: Integers | Floats) -> Floats:
    """The mIoU [M, B] of each model on the scenes of one side. weights_BN: how often each round draws each scene."""
    found = [
        utilities(np.tensordot(weights_BN[:, side_N].astype(np.float64), counts_NKK[side_N], axes=1))["miou"]
        for counts_NKK, side_N in zip(arm.confusion_MNKK, side_MN, strict=True)
    ]
    return np.asarray(found)
