"""Membership metrics: how well an attack's scores tell members from non-members. A higher score = more likely a member.

Axes: N scores, from the highest down; S steps, one for each distinct score, because no threshold separates equal
scores; R bootstrap rounds. tp and fp count the members and the non-members that are called members; entry 0 calls
nobody.

Intervals are two-sided, at 95%. Their samples are groups, such as a scene with its patches or a block of a drive.
Members and non-members are two samples of fixed sizes, since the split and not chance says how many of each there are.
benchmarks/coverage.md measures how often the intervals include the truth.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from mia_seg.errors import MiaSegError
from mia_seg.metrics._ranking import (
    Groups,
    Ranking,
    area_under,
    called,
    called_again,
    groups_of,
    placements,
    rank,
)
from mia_seg.metrics.intervals import (
    TAIL,
    Floats,
    Integers,
    Interval,
    auc_interval,
    clopper_pearson,
    count_of,
    kish,
    ranks_around,
    square_and_add,
    wilson,
)

RECALL = 0.8  # the recall at which He's thesis (doi:10.22028/D291-30218, section 7.4) reports precision
CHANCE = 0.5  # the AUC of scores that say nothing
TARGETS = (0.1, 0.01, 0.001)
BASE_RATES = (0.5, 0.1, 0.01)
CURVE_POINTS = 101
# Intervals of cluster bootstraps are too narrow with "few (five to thirty)" groups: Cameron, Gelbach & Miller, REStat
# 2008.
FEW_GROUPS = 30

NOT_RESOLVABLE = "not resolvable"
NOBODY_CALLED = "nobody called"


class RateAtFpr(TypedDict):
    """The TPR at a target FPR.

    tpr: at the largest `realised_fpr` <= target, where `false_positives` non-members are called members. [low, high]:
    the interval of the TPR at the threshold whose *true* FPR is the target. [fpr_low, fpr_high]: the interval of the
    true FPR of the threshold that was used.
    """

    tpr: float
    low: float
    high: float
    realised_fpr: float
    false_positives: int
    fpr_low: float
    fpr_high: float


class Rate(TypedDict):
    """A rate and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measurement:
    """What one attack achieved at one level (images, groups or patches); plain JSON through `dataclasses.asdict`.

    Rates are fractions in [0, 1]; x_low and x_high are the ends of the interval of x. `measure` defines all of them.
    n_members, n_nonmembers: numbers of scores. n_member_groups, n_nonmember_groups: numbers of groups. roc_points: at
    most 101 pairs [fpr, tpr]. pr_points: at most 101 pairs [recall, precision]. The first of each pair ascends.
    """

    n_members: int
    n_nonmembers: int
    n_member_groups: int
    n_nonmember_groups: int
    auc: float
    auc_low: float
    auc_high: float
    precision_at_recall_80: float
    precision_at_recall_80_low: float
    precision_at_recall_80_high: float
    tpr_at_fpr: dict[str, RateAtFpr | str]
    threshold: float
    tpr: float
    tpr_low: float
    tpr_high: float
    fpr: float
    fpr_low: float
    fpr_high: float
    balanced_accuracy: float
    balanced_accuracy_low: float
    balanced_accuracy_high: float
    ppv: dict[str, Rate | str]
    roc_points: list[list[float]]
    pr_points: list[list[float]]


def roc(scores: npt.ArrayLike, members: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """False positive rates, true positive rates and thresholds, float64 [S + 1] each. Ties are one step.

    Thresholds fall, and the first is infinite. scores: [N], finite; members: [N], bool or 0/1. Raises MiaSegError as
    `measure` does.
    """
    ranking = rank(scores, members)
    tp, fp = called(ranking)
    return fp / fp[-1], tp / tp[-1], np.append(np.inf, ranking.scores_S)


def precision_recall(scores: npt.ArrayLike, members: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Precision and recall, float64 [S + 1], as the threshold rises.

    The last entry calls nobody: its precision is 1 and its recall 0. scores: [N], finite; members: [N], bool or 0/1.
    Raises MiaSegError as `measure` does.
    """
    tp, fp = called(rank(scores, members))
    precision = np.append(1.0, tp[1:] / (tp + fp)[1:])
    return precision[::-1], (tp / tp[-1])[::-1]


def auc(scores: npt.ArrayLike, members: npt.ArrayLike) -> float:
    """The chance that a member has a higher score than a non-member, in [0, 1]; ties count half.

    It is the Mann-Whitney statistic divided by the number of pairs. scores: [N], finite; members: [N], bool or 0/1.
    Raises MiaSegError as `measure` does.
    """
    return float(area_under(*called(rank(scores, members))))


def best_threshold(scores: npt.ArrayLike, members: npt.ArrayLike) -> float:
    """The threshold t with the best balanced accuracy of "member where score >= t". Attackers choose it on the shadow.

    It lies halfway between two neighbouring scores; if calling everyone is best, it is the lowest score. Of several
    best thresholds the highest is taken, which accuses the fewest. Raises MiaSegError as `measure` does.
    """
    ranking = rank(scores, members)
    tp, fp = called(ranking)
    # Youden's J (TPR - FPR) times both counts: as integers, equally good thresholds compare equal without rounding.
    step = int(np.argmax(tp[1:] * fp[-1] - fp[1:] * tp[-1]))
    above, below = ranking.scores_S[step], ranking.scores_S[min(step + 1, len(ranking.scores_S) - 1)]
    middle = above / 2 + below / 2
    # Between adjacent floats there is no middle. It may round to `below`, and then call that step too.
    return float(middle if middle > below else above)


def measure(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    threshold: float,
    groups: Iterable[Hashable] | None = None,
    seed: int = 0,
    rounds: int = 1000,
) -> Measurement:
    """All membership metrics of an attack's scores at one level; the same definitions hold at every level.

    scores: [N], finite. members: [N], bool or 0/1. threshold: scores >= threshold are called members; it was chosen on
    other models, the shadow for example. groups: one key a score; scores with the same key are resampled together, and
    None makes each score its own group. A group with members and non-members counts once on each side. seed, rounds: of
    the bootstrap.

    - auc: its interval is Wilson's with DeLong's variance over groups; `intervals.auc_interval` says how and why.
    - precision_at_recall_80: the best precision of all operating points with recall >= 0.8. It depends on the share of
      members among the scores. A maximum errs upwards, most where nothing leaks, and its bootstrap errs upwards again.
      The lower end is therefore the smaller of the percentile end and the reflected end (the "basic" bootstrap: Davison
      & Hinkley 1997, section 5.2). It is at least the share of members, which is the precision of calling everyone. A
      bootstrap of faultless scores would claim [1, 1]. The interval is therefore joined with one made from
      Clopper-Pearson bounds of the FPR at that point if it touches 0 or 1, has no width, or a side has fewer than 30
      groups.
    - tpr_at_fpr: the TPR at the largest realised FPR <= target. Its interval is for the threshold whose *true* FPR is
      the target. That threshold lies between two ranks of non-members (`intervals.ranks_around`). The TPRs at these
      ranks give the error of the threshold, Wilson's interval that of the members, and square-and-add joins them. Fewer
      than 36 (10%), 368 (1%) or 3,688 (0.1%) non-members put no upper bound on the threshold. The interval then begins
      at 0, and the whole 5% lies beyond its upper end. "not resolvable" if non-members are worth fewer than 1 / target
      independent draws: a single one would exceed the target.
    - tpr, fpr, balanced_accuracy = (TPR + TNR) / 2: at `threshold`. Both rates have Clopper-Pearson intervals;
      square-and-add joins these for the balanced accuracy.
    - ppv: the share of members among scenes called members at `threshold`, if a share b of 0.5, 0.1 or 0.01 of all
      scenes asked about were members: TPR b / (TPR b + FPR (1 - b)). Its interval combines the bounds of both rates,
      each of which fails with probability 1.25%. "nobody called" if no score reaches the threshold.
    - roc_points, pr_points: operating points of `roc` and `precision_recall`, never interpolated; all of them if there
      are at most 101. Otherwise the ROC keeps [0, 0] and the last point at or before each FPR of a grid: 50 values up
      to 0.1 (0, then logarithmic from 1e-4) and 50 evenly spaced ones up to 1. The precision-recall curve keeps the
      first point, which is the most precise, that reaches each recall 0, 0.01, ..., 1.

    Clopper-Pearson counts a group of equal size as one draw (`kish`). It errs on the wide side, because a group's share
    of called scores varies at most as a single 0 or 1 does. The other intervals use how much scores of a group vary
    together.

    No threshold separates equal scores. A constant score has AUC 0.5, and TPR 0 with the interval [0, 1] at any FPR
    below 1. With a single group on one side the AUC's interval is [0, 1]. Raises MiaSegError for NaN or infinite
    values, unlike lengths, no members or no non-members.
    """
    ranking = rank(scores, members)
    drawn = groups_of(ranking, groups)
    tp, fp = called(ranking)
    samples_R = _bootstrap(ranking, drawn, seed, rounds=rounds)
    precision, precision_low, precision_high = _precision_at_recall(tp, fp, samples_R, groups=drawn.fewest)
    return Measurement(
        n_members=int(tp[-1]),
        n_nonmembers=int(fp[-1]),
        n_member_groups=drawn.members,
        n_nonmember_groups=drawn.nonmembers,
        **_ranked(ranking, tp, fp, groups=drawn),
        precision_at_recall_80=precision,
        precision_at_recall_80_low=precision_low,
        precision_at_recall_80_high=precision_high,
        **_at_threshold(ranking, tp, fp, threshold=threshold, groups=drawn),
        roc_points=_roc_points(tp, fp),
        pr_points=_pr_points(tp, fp),
    )


def ranked(
    scores: npt.ArrayLike, members: npt.ArrayLike, *, groups: Iterable[Hashable] | None = None
) -> dict[str, Any]:
    """The metrics of `measure` that depend on the order of the scores alone: auc, auc_low, auc_high and tpr_at_fpr.

    Arguments and errors are those of `measure`.
    """
    ranking = rank(scores, members)
    return _ranked(ranking, *called(ranking), groups=groups_of(ranking, groups))


def _ranked(ranking: Ranking, tp: Integers, fp: Integers, *, groups: Groups) -> dict[str, Any]:
    area = float(area_under(tp, fp))
    low, high = auc_interval(area, *placements(ranking, tp, fp), slots=groups.slots)
    rates = {f"{target:g}": _rate_at_fpr(ranking, tp, fp, target=target, groups=groups) for target in TARGETS}
    return {"auc": area, "auc_low": low, "auc_high": high, "tpr_at_fpr": rates}


def _precision_where_recalled(tp: Integers, fp: Integers) -> Floats:
    """Precision [..., S] of each step, 0 where recall is below 0.8."""
    # The first steps may be empty in a bootstrap round. Their recall is 0, so their denominator does not matter.
    precision = tp[..., 1:] / np.maximum(tp + fp, 1)[..., 1:]
    return np.where(tp[..., 1:] / tp[..., -1:] >= RECALL, precision, 0.0)


def _bootstrap(ranking: Ranking, groups: Groups, seed: int, *, rounds: int) -> Floats:
    """Precision at recall 0.8 in each bootstrap round [R]."""
    points = _peaks(*called(ranking))
    drawn = (called_again(draws, groups, points) for draws in groups.draws(seed, rounds))
    return np.concatenate([_precision_where_recalled(tp, fp).max(-1) for tp, fp in drawn])


def _peaks(tp: Integers, fp: Integers) -> tuple[Integers, Integers]:
    """tp and fp at the points that can have the best precision in a bootstrap round, whatever it draws, and at 0.

    A step that adds members alone lowers neither precision nor recall, so the point before it is not needed. A step
    that adds non-members alone raises neither, so the point after it is not needed.
    """
    peaks = (np.diff(tp) > 0) & np.append(np.diff(fp)[1:] > 0, True)
    points = np.append(0, np.flatnonzero(peaks) + 1)
    return tp[points], fp[points]


def _widened(samples_R: Floats, exact: tuple[float, float], groups: int) -> tuple[float, float]:
    """The percentile interval, joined with the exact one if resampling cannot show all errors that are possible."""
    low, high = (float(bound) for bound in np.quantile(samples_R, (TAIL, 1 - TAIL)))
    if 0 < low < high < 1 and groups >= FEW_GROUPS:
        return low, high
    return min(low, exact[0]), max(high, exact[1])


def _precision_at_recall(tp: Integers, fp: Integers, samples_R: Floats, *, groups: int) -> tuple[float, float, float]:
    """The best precision with recall >= 0.8 and the ends of its interval, as `measure` defines them."""
    precision_S = _precision_where_recalled(tp, fp)
    # Of equally precise thresholds the lowest is taken: it calls the most members.
    best = int(np.flatnonzero(precision_S == precision_S.max())[-1])
    hits, precision = float(tp[best + 1]), float(precision_S[best])
    fpr_low, fpr_high = clopper_pearson(fp[best + 1] / fp[-1], groups)
    low, high = _widened(samples_R, (hits / (hits + fpr_high * fp[-1]), hits / (hits + fpr_low * fp[-1])), groups)
    return precision, float(max(min(low, 2 * precision - high), tp[-1] / (tp[-1] + fp[-1]))), float(high)


def _rate_at_fpr(ranking: Ranking, tp: Integers, fp: Integers, *, target: float, groups: Groups) -> RateAtFpr | str:
    member_slots, slots = groups.slots
    worst = kish(slots)
    if worst * target < 1 - 1e-9:
        return NOT_RESOLVABLE

    point = int(np.flatnonzero(fp <= target * fp[-1] + 1e-9)[-1])
    called_N = np.arange(len(ranking.members_N)) <= (ranking.ends_S[point - 1] if point else -1)
    tpr, fpr = float(tp[point] / tp[-1]), float(fp[point] / fp[-1])
    count = count_of(called_N[~ranking.members_N], slots)
    few, many, tail = ranks_around(target, count)
    moved = _tpr_at_rank(tp, fp, few, count=count, beside=False), _tpr_at_rank(tp, fp, many, count=count, beside=True)
    called_members = count_of(called_N[ranking.members_N], member_slots)
    low, high = square_and_add(tpr, wilson(tpr, called_members, ndtri(1 - tail)), moved)
    fpr_low, fpr_high = clopper_pearson(fpr, worst)
    return {
        "tpr": tpr, "low": low if few else 0.0, "high": high, "realised_fpr": fpr, "false_positives": int(fp[point]),
        "fpr_low": fpr_low, "fpr_high": fpr_high,
    }  # fmt: skip


def _tpr_at_rank(tp: Integers, fp: Integers, rank: float, *, count: float, beside: bool) -> float:
    """The TPR at a rank of non-members that are worth `count` draws, interpolated linearly between whole ranks.

    beside: whether members whose score equals that of the non-member at this rank are called too.
    """
    whole = np.floor(rank) + np.arange(2)
    # Where scores come in groups, a rank stands for several non-members; the last of them counts.
    places = np.ceil(np.clip(whole, 1, count) * fp[-1] / count - 1e-9)
    shares = tp[np.searchsorted(fp, places) - (not beside)] / tp[-1]
    shares = np.where(whole < 1, 0, np.where(whole > count, 1, shares))
    return float(np.interp(rank, whole, shares))


def _at_threshold(ranking: Ranking, tp: Integers, fp: Integers, *, threshold: float, groups: Groups) -> dict[str, Any]:
    """The metrics at the attacker's own threshold: both rates, balanced accuracy and predictive values."""
    if not np.isfinite(threshold):
        raise MiaSegError(f"The threshold is {threshold}; it must be finite.")
    point = int(np.count_nonzero(ranking.scores_S >= threshold))
    rates = float(tp[point] / tp[-1]), float(fp[point] / fp[-1])
    counts = [kish(slots) for slots in groups.slots]
    tprs, fprs = (clopper_pearson(rate, count) for rate, count in zip(rates, counts, strict=True))
    accuracy = (rates[0] + 1 - rates[1]) / 2
    # Each rate adds half of its error to the mean of both.
    halves = [
        (accuracy + (low - rate) / 2, accuracy + (high - rate) / 2)
        for rate, (low, high) in ((rates[0], tprs), (1 - rates[1], (1 - fprs[1], 1 - fprs[0])))
    ]
    low, high = square_and_add(accuracy, *halves)
    return {
        "threshold": float(threshold), "tpr": rates[0], "tpr_low": tprs[0], "tpr_high": tprs[1],
        "fpr": rates[1], "fpr_low": fprs[0], "fpr_high": fprs[1],
        "balanced_accuracy": accuracy, "balanced_accuracy_low": low, "balanced_accuracy_high": high,
        "ppv": {f"{base:g}": _predictive(rates, counts, base) for base in BASE_RATES},
    }  # fmt: skip


def _predictive(rates: Interval, counts: list[float], base: float) -> Rate | str:
    """The predictive value if a share `base` are members. rates: TPR and FPR; counts: the draws that each is worth."""

    def value(tpr: float, fpr: float) -> float:
        return tpr * base / (tpr * base + fpr * (1 - base)) if tpr > 0 else 0.0

    if not any(rates):
        return NOBODY_CALLED
    tprs, fprs = (clopper_pearson(rate, count, TAIL / 2) for rate, count in zip(rates, counts, strict=True))
    return {"value": value(*rates), "low": value(tprs[0], fprs[1]), "high": value(tprs[1], fprs[0])}


def _roc_points(tp: Integers, fp: Integers) -> list[list[float]]:
    fpr, tpr = fp / fp[-1], tp / tp[-1]
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 0.1, 49), np.linspace(0.1, 1.0, 51)[1:]])
    # The last point of a vertical run is its upper corner, the highest TPR at that FPR.
    kept = np.append(0, np.searchsorted(fpr, grid, side="right") - 1)
    return _pairs(fpr, tpr, kept)


def _pr_points(tp: Integers, fp: Integers) -> list[list[float]]:
    recall, precision = tp / tp[-1], np.append(1.0, tp[1:] / (tp + fp)[1:])
    # The first point to reach a recall has the fewest false positives of all that reach it.
    kept = np.searchsorted(recall, np.arange(CURVE_POINTS) / 100, side="left")
    return _pairs(recall, precision, kept)


def _pairs(x: Floats, y: Floats, kept: npt.NDArray[np.intp]) -> list[list[float]]:
    kept = np.arange(len(x)) if len(x) <= CURVE_POINTS else np.unique(kept)
    return [[float(a), float(b)] for a, b in zip(x[kept], y[kept], strict=True)]
