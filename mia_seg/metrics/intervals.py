"""Two-sided 95% intervals of rates and AUCs, for scores that come in groups (blocks of a drive, a scene's patches).

Axes: N scores of one side (members or non-members), U groups. A *count* is the number of independent draws that the
scores are worth. It is N if each score is its own group, and smaller if the scores of a group vary together.
benchmarks/coverage.md measures how often each interval includes the truth.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrik, betaincinv, ndtri, stdtrit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Interval = tuple[float, float]

TAIL = 0.025
# The largest possible variance weighs as much as this many misranked groups; see `auc_interval`.
PRIOR = 0.1
# Student's quantile overflows if one group is nearly all of a side. From this value on the interval is [0, 1] anyway.
WIDEST = 1e6


def kish(slots_N: Integers) -> float:
    """The smallest count that N scores in groups slots_N (0, 1, ...) can be worth: all scores of a group are equal.

    (sum of sizes)^2 / sum of squared sizes (Kish, Survey Sampling, 1965, section 8.2). It is U if all groups have the
    same size, less if some are larger, and N if each score is its own group.
    """
    sizes_U = np.bincount(slots_N)
    return float(sizes_U.sum() ** 2 / np.sum(sizes_U**2))


def count_of(called_N: npt.NDArray[np.bool_], slots_N: Integers) -> float:
    """The count of the scores whose rate is the mean of `called_N`: N / design effect, from `kish` to N.

    The design effect is the variance of the rate over groups, divided by its variance if all scores were independent. A
    rate of 0 or 1 has no variance to compare, so the smallest count is taken.
    """
    fewest, rate = kish(slots_N), float(called_N.mean())
    if not 0 < rate < 1:
        return fewest
    return float(np.clip(rate * (1 - rate) / variance(called_N, slots_N), fewest, len(called_N)))


def variance(values_N: npt.NDArray[np.float64 | np.bool_], slots_N: Integers) -> float:
    """The variance of the mean of values [N] in groups, from the spread of the groups' sums; infinite for one group."""
    sums_U = np.bincount(slots_N, weights=values_N - values_N.mean())
    groups = len(sums_U)
    return float(np.sum(sums_U**2) * groups / (groups - 1) / len(values_N) ** 2) if groups > 1 else np.inf


def mean_interval(values_N: Floats, slots_N: Integers) -> Interval:
    """Student's interval of the mean of values [N] in groups slots_N (0, 1, ...); infinite for a single group."""
    groups, mean = int(slots_N.max()) + 1, float(values_N.mean())
    if groups < 2:
        return -np.inf, np.inf
    half = float(stdtrit(groups - 1, 1 - TAIL) * np.sqrt(variance(values_N, slots_N)))
    return mean - half, mean + half


def mean_of(
    rates: Sequence[tuple[float, float, float]], correlation_SS: Floats | None = None
) -> tuple[float, float, float]:
    """The mean of rates (value, low, high) in [0, 1], with its interval, within [0, 1] too.

    correlation_SS: that of the rates' errors (`paired.correlations`); None: they are independent. The distances to the
    ends are combined as standard errors are, below and above the values apart, so that an interval that is longer on
    one side stays so (Zou & Donner, Stat. Med. 2008, 27:1693). One rate is returned unchanged.
    """
    values_S, low_S, high_S = np.array(rates, np.float64).T
    value, related_SS = float(values_S.mean()), np.eye(len(values_S)) if correlation_SS is None else correlation_SS
    below, over = (
        float(np.sqrt(max(away_S @ related_SS @ away_S, 0.0))) / len(values_S)
        for away_S in (values_S - low_S, high_S - values_S)
    )
    return value, max(value - below, 0.0), min(value + over, 1.0)


def clopper_pearson(rate: float, count: float, tail: float = TAIL) -> Interval:
    """Exact bounds of a proportion (Clopper & Pearson, Biometrika 1934). Each fails with probability `tail` at most.

    rate * count need not be whole: the rate may average shares of groups.
    """
    hits = rate * count
    low = betaincinv(hits, count - hits + 1, tail) if rate > 0 else 0.0
    high = betaincinv(hits + 1, count - hits, 1 - tail) if rate < 1 else 1.0
    return float(low), float(high)


def wilson(rate: float, count: float, quantile: float = ndtri(1 - TAIL)) -> Interval:
    """All proportions that the score test does not reject (Wilson, JASA 1927, 22:209). Never empty, even at 0 and 1."""
    widening = quantile**2 / count
    middle = rate + widening / 2
    half = np.sqrt(widening * rate * (1 - rate) + widening**2 / 4)
    # At rates 0 and 1 the formula gives these ends too, except for rounding.
    low = 0.0 if rate <= 0 else (middle - half) / (1 + widening)
    high = 1.0 if rate >= 1 else (middle + half) / (1 + widening)
    return float(low), float(high)


def square_and_add(value: float, *parts: Interval) -> Interval:
    """The interval, within [0, 1], of a value with several independent errors.

    parts: the value's interval for each error alone. Squares of the distances to the ends are added (Zou & Donner,
    Stat. Med. 2008, 27:1693).
    """
    below, above = (float(np.hypot.reduce([value - part[side] for part in parts])) for side in (0, 1))
    return max(value - below, 0.0), min(value + above, 1.0)


def widened(value: float, ends: Interval, tried: int) -> Interval:
    """The interval of a value chosen among `tried` ones (Bonferroni): all their intervals hold at once at 95%."""
    if tried == 1:
        return ends
    wider = float(ndtri(1 - TAIL / tried) / ndtri(1 - TAIL))
    return value + wider * (ends[0] - value), value + wider * (ends[1] - value)


def ranks_around(rate: float, count: float) -> tuple[float, float, float]:
    """The interval of a quantile, as two ranks among `count` draws, and the probability that each of its ends fails.

    The quantile is the value that a share `rate` of the population exceeds. Rank 1 is the highest draw. The share of
    the population that exceeds the k-th highest draw follows Beta(k, count + 1 - k) (David & Nagaraja, Order
    Statistics, 2003, section 2.3). Ranks are real numbers, because whole ranks would make the interval wider than 95%.
    The first rank is 0 if even the highest draw may lie below the quantile (fewer than 368 draws for a rate of 1%).
    That end cannot fail, so the other one may fail with probability 5% instead of 2.5%.
    """
    surely = (1 - rate) ** count <= TAIL
    tail = TAIL if surely else 2 * TAIL
    few = float(bdtrik(tail, count, rate)) + 1 if surely else 0.0
    return few, float(bdtrik(1 - tail, count, rate)) + 1, tail


def auc_interval(area: float, above_N: Floats, below_M: Floats, *, slots: tuple[Integers, Integers]) -> Interval:
    """The interval of an AUC `area`, from the contribution of each member and each non-member.

    above_N: the share of non-members below each member, ties counting half. below_M: the share of members above each
    non-member. slots: the groups of members and of non-members, each numbered from 0.

    The variance is DeLong's (Biometrics 1988, 44:837) over groups (Obuchowski, Biometrics 1997, 53:567), which holds
    for any distributions of scores. It gives the number of independent draws that the scores are worth, and Wilson's
    interval takes that number. Wilson's interval stays inside [0, 1] and is longer towards 0.5, as the error of an AUC
    is. Its quantile is Student's with Welch and Satterthwaite's degrees of freedom, because the variance is itself an
    estimate from the groups.

    Near 0 and 1 the variance depends on the few misranked scores. A sample without any would give an interval without
    width. The variance is therefore averaged with the largest possible one, AUC (1 - AUC) / count of the smaller side
    (Birnbaum & Klose, Ann. Math. Stat. 1957, 28:933). That weighs as much as a tenth of a misranked group: little at an
    AUC of 0.5, everything at 1. With fewer than two groups on a side the interval is (0, 1). A group on both sides
    counts on each. Errors that its two sides share would cancel, so the interval errs on the wide side.
    """
    counts = [kish(part) for part in slots]
    fewest, groups = min(counts), [int(part.max()) + 1 for part in slots]
    if min(groups) < 2:
        return 0.0, 1.0
    parts = [variance(values, part) for values, part in zip((above_N, below_M), slots, strict=True)]
    total, at_most = sum(parts), area * (1 - area) / fewest
    freedom = fewest - 1
    if total > 0 < at_most:
        freedom = total**2 / sum(part**2 / (n - 1) for part, n in zip(parts, groups, strict=True))
        misranked = fewest * min(area, 1 - area)
        fewest *= at_most * (misranked + PRIOR) / (misranked * total + PRIOR * at_most)
    return wilson(area, fewest, min(stdtrit(freedom, 1 - TAIL), WIDEST))
