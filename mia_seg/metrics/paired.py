"""Differences of AUC, TPR and accuracy between two attacks on the same scenes, with paired intervals.

Paired intervals are narrower than those of two separate results, because the same scenes are often hard for both.
Axes: N scores in the order of the input; S steps and R bootstrap rounds as in `membership`.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from mia_seg.metrics._ranking import Groups, Ranking, area_under, called, called_again, groups_of, placements, rank
from mia_seg.metrics.intervals import TAIL, Floats, Integers, Interval, auc_interval, kish, variance, widened
from mia_seg.metrics.membership import NOT_RESOLVABLE, TARGETS, Rate

ROUNDING = 1e-12  # a group's share in an AUC that is smaller comes from rounding


class Difference(TypedDict):
    """The first attack's AUC and TPRs minus the second's, each with its 95% interval; all in [-1, 1]."""

    auc: Rate
    tpr_at_fpr: dict[str, Rate | str]


def above(
    scores: npt.ArrayLike,
    others: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    groups: Iterable[Hashable] | None = None,
    seed: int = 0,
    rounds: int = 1000,
) -> Difference:
    """AUC and TPR of one attack's scores minus those of another's `others`, on the same scenes.

    scores, others: [N], finite. members, groups: as for `membership.measure`. seed, rounds: of the bootstrap.

    - auc: the variance is that of DeLong, DeLong & Clarke-Pearson for two AUCs on the same scenes (Biometrics 1988,
      44:837), over groups. Each scene contributes to both AUCs, and the variance is of the difference of both
      contributions. The quantile is Student's with Welch and Satterthwaite's degrees of freedom. If no difference
      varies, the interval has no width where both attacks rank the scenes alike. Else, as for a faultless attack beside
      a constant one, it is made from the intervals of both AUCs (`unpaired`).
    - tpr_at_fpr: each TPR is taken at the largest realised FPR <= target. The interval is a percentile bootstrap that
      draws the same groups for both attacks and sets both thresholds anew in every round. "not resolvable" as in
      `membership.measure`.

    Ends are cut at -1 and 1. With a single group on one side the interval is [-1, 1]. Raises MiaSegError as
    `membership.measure` does.
    """
    first, second, both = _ranked(scores, others, members, groups=groups)
    rates = _rates(first, second, both, seed=seed, rounds=rounds)
    resolved = kish(both.slots[1]) * np.array(TARGETS) >= 1 - 1e-9
    return {
        "auc": _areas(first, second, both),
        "tpr_at_fpr": {
            f"{target:g}": _rate(value, tuple(np.quantile(samples_R, (TAIL, 1 - TAIL)))) if there else NOT_RESOLVABLE
            for target, there, (value, samples_R) in zip(TARGETS, resolved, rates, strict=True)
        },
    }


def auc_above(
    scores: npt.ArrayLike,
    others: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    groups: Iterable[Hashable] | None = None,
) -> Rate:
    """The difference of AUC alone, as in `above`."""
    return _areas(*_ranked(scores, others, members, groups=groups))


def accuracy_above(
    called: npt.ArrayLike,
    others: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    groups: Iterable[Hashable] | None = None,
) -> Rate:
    """The balanced accuracy of the calls `called` minus that of `others`, on the same scenes.

    called, others: bool [N], true if the scene is called a member. members, groups: as in `above`. Calls are scores of
    0 and 1, whose AUC is the balanced accuracy, so the interval is that of `above`. Raises MiaSegError as
    `membership.measure` does.
    """
    return auc_above(np.asarray(called, np.bool_), np.asarray(others, np.bool_), members, groups=groups)


def unpaired(first: Rate, second: Rate) -> Rate:
    """The first of two independent rates minus the second, with an interval made from both of their intervals.

    Squares of the distances to the ends are added (Zou & Donner, Stat. Med. 2008, 27:1693). For two rates on the same
    scenes the interval errs on the wide side, because the same scenes are often hard for both.
    """
    value = first["value"] - second["value"]
    below = np.hypot(first["value"] - first["low"], second["high"] - second["value"])
    over = np.hypot(first["high"] - first["value"], second["value"] - second["low"])
    return _rate(value, (value - below, value + over))


def over_seeds(found: Sequence[Rate], *, related: npt.ArrayLike | None = None, tried: int = 1) -> Rate:
    """The mean difference over several seeds, with its 95% interval for the mean over all possible seeds and scenes.

    related: [S, S], the correlation of the errors that scenes add to the differences, since splits share scenes
    (`difference_correlations`, `overlaps`); None: seeds share none. tried: the difference was chosen among so many,
    whose intervals shall hold all at once (Bonferroni).

    The interval is the wider of two: Student's, by the variance between the seeds, and a normal one by the variance
    within them, which their own intervals give. Few seeds may agree by chance, and Student's is then narrower than what
    the scenes of each seed allow. What shared scenes add is the same in several seeds. It does not show between them,
    and no mean makes it smaller, so it is added to both: its half width squared to theirs (Zou & Donner, Stat. Med.
    2008, 27:1693). At least 95% of the intervals hold, and more where seeds do not differ (benchmarks/over_seeds.md).
    The difference of a single seed is its own, `widened`.
    """
    seeds, values_S = len(found), np.array([one["value"] for one in found])
    value = float(values_S.mean())
    if seeds == 1:
        return _rate(value, widened(value, (found[0]["low"], found[0]["high"]), tried))
    # Intervals over few groups are wider than normal ones, and count as a larger error here.
    errors_S = np.array([(one["high"] - one["low"]) / 2 / ndtri(1 - TAIL) for one in found])
    each_SS = np.outer(errors_S, errors_S) * (np.eye(seeds) if related is None else np.asarray(related))
    own, common = float(each_SS.trace()), max(float(each_SS.sum() - each_SS.trace()), 0.0)
    shared, between = common / (seeds * (seeds - 1)), float(values_S.var(ddof=1)) / seeds
    level = 1 - TAIL / tried
    student, normal = stdtrit(seeds - 1, level), ndtri(level)
    half = float(max(np.hypot(student * between**0.5, normal * shared**0.5), normal * (own + common) ** 0.5 / seeds))
    return _rate(value, (value - half, value + half))


def correlations(seeds: Sequence[tuple[npt.ArrayLike, npt.ArrayLike, Sequence[Hashable]]]) -> Floats:
    """The correlation of the errors that the AUCs of several seeds have, since their splits share scenes; [S, S].

    seeds: scores [N], memberships [N] and groups [N] of each. A group's name means the same in all seeds.

    The error of an AUC is a sum over scenes (DeLong, DeLong & Clarke-Pearson, Biometrics 1988, 44:837), here over
    groups. Two AUCs vary together as far as the same groups add to both. A group that is a member of one split and not
    of another adds errors that mostly cancel. Values are in [-1, 1]: 0 for two seeds that share no group, 1 for the
    same scores. Where the error of a seed does not vary, as with an AUC of 1 or a single group on each side, the two
    are as related as the groups that they have in common. Raises MiaSegError as `membership.measure` does.
    """
    return _matrix([_errors(*seed) for seed in seeds])


def difference_correlations(
    seeds: Sequence[tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, Sequence[Hashable]]],
) -> Floats:
    """The correlation of the errors that differences of AUC have over several seeds [S, S], as in `correlations`.

    seeds: scores [N], those of the other attack [N], memberships [N] and groups [N] of each.
    """
    found = list[dict[Hashable, float]]()
    for scores, others, members, groups in seeds:
        first, second = _errors(scores, members, groups), _errors(others, members, groups)
        found.append({group: _unless_rounding(first[group] - second[group]) for group in first})
    return _matrix(found)


def overlaps(seeds: Sequence[Iterable[Hashable]]) -> Floats:
    """The share of things that two seeds have in common [S, S]: their number over the geometric mean of both.

    seeds: hashable things, which count once, such as the groups of one side. If what a scene adds to a rate is the same
    in all seeds, this is the correlation of the rates' errors; else they are less related.
    """
    found = [frozenset(one) for one in seeds]
    return np.array([[len(one & other) / np.sqrt(len(one) * len(other)) for other in found] for one in found])


def _matrix(found: Sequence[dict[Hashable, float]]) -> Floats:
    rows = [[1.0 if one is other else _related(one, other) for other in found] for one in found]
    return np.reshape(rows, (len(found), len(found)))


def _related(one: dict[Hashable, float], other: dict[Hashable, float]) -> float:
    if not (any(one.values()) and any(other.values())):
        one, other = dict.fromkeys(one, 1.0), dict.fromkeys(other, 1.0)
    sizes = (sum(value**2 for value in each.values()) for each in (one, other))
    return sum(value * other.get(group, 0.0) for group, value in one.items()) / float(np.sqrt(np.prod([*sizes])))


def _errors(scores: npt.ArrayLike, members: npt.ArrayLike, groups: Sequence[Hashable]) -> dict[Hashable, float]:
    """What each group adds to the error of the AUC; all are 0 if it does not vary."""
    ranking = rank(scores, members)
    added_N, members_N = _added(ranking), np.asarray(members, np.bool_)
    for side_N in (members_N, ~members_N):
        added_N[side_N] = (added_N[side_N] - added_N[side_N].mean()) / side_N.sum()
    found: Counter[Hashable] = Counter()
    for group, value in zip(groups, added_N.tolist(), strict=True):
        found[group] += value
    return {group: _unless_rounding(value) for group, value in found.items()}


def _unless_rounding(value: float) -> float:
    return value if abs(value) > ROUNDING else 0.0


def _ranked(
    scores: npt.ArrayLike, others: npt.ArrayLike, members: npt.ArrayLike, *, groups: Iterable[Hashable] | None
) -> tuple[Ranking, Ranking, Groups]:
    first, second = rank(scores, members), rank(others, members)
    drawn = groups_of(first, groups)
    return first, second, Groups(_unranked(first, drawn.slots_N), drawn.members, drawn.nonmembers)


def _areas(first: Ranking, second: Ranking, both: Groups) -> Rate:
    areas, added = [float(area_under(*called(one))) for one in (first, second)], (_added(first), _added(second))
    value = areas[0] - areas[1]
    low, high = _interval(value, added[0] - added[1], both)
    if value and low == high:  # nothing varies, which few scenes reach by chance
        return unpaired(*(_alone(area, added_N, both) for area, added_N in zip(areas, added, strict=True)))
    return _rate(value, (low, high))


def _alone(area: float, added_N: Floats, groups: Groups) -> Rate:
    members_N = groups.slots_N < groups.members
    low, high = auc_interval(area, added_N[members_N], added_N[~members_N], slots=groups.slots)
    return {"value": area, "low": low, "high": high}


def _rate(value: float, ends: Interval) -> Rate:
    return {"value": value, "low": float(max(ends[0], -1.0)), "high": float(min(ends[1], 1.0))}


def _unranked(ranking: Ranking, values_N: Integers) -> Integers:
    """Reorders values of ranked scores into the order of the input."""
    return values_N[np.argsort(ranking.order_N)]


def _added(ranking: Ranking) -> Floats:
    """Each score's contribution to the AUC [N]: the share of the other side that it is ranked rightly against."""
    added_N = np.empty(len(ranking.order_N))
    above_N, below_M = placements(ranking, *called(ranking))
    added_N[ranking.order_N[ranking.members_N]], added_N[ranking.order_N[~ranking.members_N]] = above_N, below_M
    return added_N


def _interval(value: float, difference_N: Floats, groups: Groups) -> Interval:
    members_N = groups.slots_N < groups.members
    sides = zip((difference_N[members_N], difference_N[~members_N]), groups.slots, strict=True)
    parts, counts = [variance(values, slots) for values, slots in sides], (groups.members, groups.nonmembers)
    total = sum(parts)
    if total in (0, np.inf):
        return value - total, value + total
    freedom = total**2 / sum(part**2 / (n - 1) for part, n in zip(parts, counts, strict=True))
    half = stdtrit(freedom, 1 - TAIL) * np.sqrt(total)
    return value - half, value + half


def _rates(first: Ranking, second: Ranking, groups: Groups, *, seed: int, rounds: int) -> list[tuple[float, Floats]]:
    """For each target FPR the difference of the TPRs, and the same difference in each bootstrap round [R]."""
    values = [_tpr(*called(first), target) - _tpr(*called(second), target) for target in TARGETS]
    passes = []
    ranked = [(replace(groups, slots_N=groups.slots_N[r.order_N]), _last(*called(r))) for r in (first, second)]
    for draws in groups.draws(seed, rounds):
        ours, theirs = (called_again(draws, own, points) for own, points in ranked)
        passes.append([_tpr(*ours, target) - _tpr(*theirs, target) for target in TARGETS])
    return [(float(v), samples_R) for v, samples_R in zip(values, np.concatenate(passes, axis=1), strict=True)]


def _last(tp: Integers, fp: Integers) -> tuple[Integers, Integers]:
    """The points whose next step calls a non-member. Whatever a bootstrap round draws, its TPR lies at one of them."""
    last = np.append(np.diff(fp) > 0, True)
    return tp[last], fp[last]


def _tpr(tp: Integers, fp: Integers, target: float) -> Floats:
    """The TPR [...] at the last operating point whose FPR is at most the target."""
    point = np.count_nonzero(fp <= target * fp[..., -1:] + 1e-9, axis=-1, keepdims=True) - 1
    return np.asarray((np.take_along_axis(tp, point, -1) / tp[..., -1:])[..., 0])
