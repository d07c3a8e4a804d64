"""Two-sided 95% intervals of rates and AUCs, for scores that come in groups (blocks of a drive, a scene's patches).

Axes: N scores of one side (members or non-members), U groups. A *count* is how many independent draws the scores are
worth: as many as there are scores where each is a group by itself, fewer where a group's scores resemble each other.
How often each interval holds the truth is measured in benchmarks/coverage.md.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrik, betaincinv, ndtri, stdtrit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Interval = tuple[float, float]

TAIL = 0.025
# How many misrankings the largest possible variance weighs as much as; see `auc_interval`.
PRIOR = 0.1
# Student's quantile overflows where one group is nearly all of a side; from here on the interval is [0, 1] anyway.
WIDEST = 1e6


def kish(slots_N: Integers) -> float:
    """The count that N scores in groups slots_N (0, 1, ...) are worth at worst, where a group's scores are all equal.

    (sum of sizes)^2 / sum of squared sizes (Kish, Survey Sampling, 1965, section 8.2): U where groups are equally
    large, fewer where one outweighs the others, N where each score is a group.
    """
    sizes_U = np.bincount(slots_N)
    return float(sizes_U.sum() ** 2 / np.sum(sizes_U**2))


def count_of(called_N: npt.NDArray[np.bool_], slots_N: Integers) -> float:
    """The count behind the rate of `called_N`: N over the design effect, never less than `kish` nor more than N.

    The design effect is the variance of the rate over groups against that of independent scores. A rate of 0 or 1 shows
    none, so the worst is taken.
    """
    fewest, rate = kish(slots_N), float(called_N.mean())
    if not 0 < rate < 1:
        return fewest
    return float(np.clip(rate * (1 - rate) / variance(called_N, slots_N), fewest, len(called_N)))


def variance(values_N: npt.NDArray[np.float64 | np.bool_], slots_N: Integers) -> float:
    """Variance of the mean of values that come in groups: the spread of groups' sums; infinite with a single group."""
    sums_U = np.bincount(slots_N, weights=values_N - values_N.mean())
    groups = len(sums_U)
    return float(np.sum(sums_U**2) * groups / (groups - 1) / len(values_N) ** 2) if groups > 1 else np.inf


def mean_interval(values_N: Floats, slots_N: Integers) -> Interval:
    """The mean's, of values [N] that come in groups slots_N (0, 1, ...): Student's over groups, infinite with one."""
    groups, mean = int(slots_N.max()) + 1, float(values_N.mean())
    if groups < 2:
        return -np.inf, np.inf
    half = float(stdtrit(groups - 1, 1 - TAIL) * np.sqrt(variance(values_N, slots_N)))
    return mean - half, mean + half


def clopper_pearson(rate: float, count: float, tail: float = TAIL) -> Interval:
    """Bounds of a proportion (Biometrika 1934) that each fail with chance `tail` at most; shares of a group count."""
    hits = rate * count
    low = betaincinv(hits, count - hits + 1, tail) if rate > 0 else 0.0
    high = betaincinv(hits + 1, count - hits, 1 - tail) if rate < 1 else 1.0
    return float(low), float(high)


def wilson(rate: float, count: float, quantile: float = ndtri(1 - TAIL)) -> Interval:
    """Where a proportion lies whose score test does not reject it (Wilson, JASA 1927, 22:209): never empty."""
    widening = quantile**2 / count
    middle = rate + widening / 2
    half = np.sqrt(widening * rate * (1 - rate) + widening**2 / 4)
    # At 0 and 1 the formula gives exactly these ends, but for rounding.
    low = 0.0 if rate <= 0 else (middle - half) / (1 + widening)
    high = 1.0 if rate >= 1 else (middle + half) / (1 + widening)
    return float(low), float(high)


def square_and_add(value: float, *parts: Interval) -> Interval:
    """The interval of a value that errs for several independent reasons, each alone with a known interval around it.

    Distances to the ends are added as squares (Zou & Donner, Stat. Med. 2008, 27:1693).
    """
    below, above = (float(np.hypot.reduce([value - part[side] for part in parts])) for side in (0, 1))
    return max(value - below, 0.0), min(value + above, 1.0)


def widened(value: float, ends: Interval, tried: int) -> Interval:
    """The interval of one value that was chosen out of so many (Bonferroni): all of them hold at 95% together."""
    wider = float(ndtri(1 - TAIL / tried) / ndtri(1 - TAIL))
    return value + wider * (ends[0] - value), value + wider * (ends[1] - value)


def ranks_around(rate: float, count: float) -> tuple[float, float, float]:
    """Between which two of `count` draws, counted from the highest, lies the value that a share `rate` of all exceeds.

    Then the chance that each end fails. The share of all that exceeds the k-th highest draw is Beta(k, count + 1 - k)
    distributed (David & Nagaraja, Order Statistics, 2003, section 2.3). Ranks are real numbers, because whole ones
    would make the interval wider than it says. The first is 0 where not even the highest draw is surely above the value
    (fewer than 368 draws for a rate of 1%): that end then cannot fail, so the other may do so in 5% and not in 2.5%.
    """
    surely = (1 - rate) ** count <= TAIL
    tail = TAIL if surely else 2 * TAIL
    few = float(bdtrik(tail, count, rate)) + 1 if surely else 0.0
    return few, float(bdtrik(1 - tail, count, rate)) + 1, tail


def auc_interval(area: float, above_N: Floats, below_M: Floats, *, slots: tuple[Integers, Integers]) -> Interval:
    """The AUC's, from what each member and each non-member adds to it.

    above_N: the share of non-members that each member outranks, ties counting half; below_M: the share of members that
    outrank each non-member. slots: the groups of both, numbered from 0.

    The variance is DeLong's (Biometrics 1988, 44:837) over groups (Obuchowski, Biometrics 1997, 53:567), which takes
    any distributions of scores. It says what number of independent pairs the scores are worth; Wilson's interval for
    as many stays inside [0, 1] and leans towards 0.5, as the AUC's error does. Its quantile is Student's with Welch and
    Satterthwaite's degrees of freedom, because the variance itself comes from the groups.

    Near 0 and 1 that variance hangs on the few misranked scores, and a sample that happens to lack them would claim to
    be sure. It is therefore averaged with the largest that there can be, AUC (1 - AUC) / count of the smaller side
    (Birnbaum & Klose, Ann. Math. Stat. 1957, 28:933), which weighs as much as a tenth of a misranked group: little at
    0.5, all at 1. Scores in fewer than two groups a side say nothing: (0, 1). A group on both sides is counted on each;
    what its two sides share would cancel, so that errs on the wide side.
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
