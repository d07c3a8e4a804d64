"""The leak of a kind of training, from a fleet: each model is the victim in turn, and all scores are pooled.

Axes: M models in pairs, N scenes in U units as in `per_scene`; B bootstrap rounds; 4 rates: AUC and three TPRs.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from mia_seg.metrics._ranking import Booleans, Groups, area_under, called, called_again, rank
from mia_seg.metrics.intervals import TAIL, Floats, Integers, wilson
from mia_seg.metrics.membership import NOT_RESOLVABLE, TARGETS
from mia_seg.metrics.per_scene import SLACK, Estimate, areas, divided, united

DRAWS = 400  # rounds of the bootstrap over units, which estimates a variance
CELLS = 2**21  # how many counts are held in memory at once


@dataclass(frozen=True)
class Bounded:
    """A rate with its 95% interval; low and high are None if there are too few pairs to tell how models differ."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pooled:
    """Rates of the pooled scores of all models.

    tpr_at_fpr: by target FPR; "not resolvable" if a single unit is a larger share of all units than the target.
    """

    auc: Bounded
    tpr_at_fpr: dict[str, Bounded | str]


def pooled(
    estimate: Estimate, inside_MN: npt.ArrayLike, *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> Pooled:
    """AUC and TPR at FPR 10%, 1% and 0.1% of all M x N scores together, with 95% intervals for other scenes and models.

    inside_MN, groups: as in `per_scene.per_scene`. seed: of the bootstrap. Two variances are added. The variance over
    units comes from a bootstrap that draws units, each with its scores by all models. The variance over pairs comes
    from a jackknife: each pair is left out in turn, and all scores are estimated without it. The jackknife is needed
    because each model is a victim once and is compared with the other victims too. Intervals are Wilson's for the
    number of independent draws that gives this variance, with Student's quantile at Satterthwaite's degrees of freedom.
    Below three pairs there is none. benchmarks/per_scene.md measures how often the intervals include the truth. Raises
    MiaSegError as `per_scene.divided` does.
    """
    inside_MN, units_N = divided(inside_MN, groups)
    counts = int(units_N.max()) + 1, len(inside_MN) // 2
    scores_MN = estimate(np.arange(len(inside_MN)), inside_MN)
    variances = _over_units(scores_MN, inside_MN, units_N, seed=seed), _over_pairs(estimate, inside_MN)
    values_T = _rates(*_called(scores_MN, inside_MN)).tolist()
    auc, *rates = (bounded(value, parts, counts) for value, *parts in zip(values_T, *variances, strict=True))
    there = (target * counts[0] >= 1 - SLACK for target in TARGETS)
    told = zip(TARGETS, there, rates, strict=True)
    return Pooled(auc, {f"{target:g}": rate if resolved else NOT_RESOLVABLE for target, resolved, rate in told})


def apart(
    estimate: Estimate,
    inside_MN: npt.ArrayLike,
    kept_U: Booleans,
    *,
    groups: Sequence[Hashable] | None = None,
) -> Bounded:
    """The mean AUC of some units minus that of all others, with its 95% interval for other units and models.

    inside_MN, groups: as in `per_scene.per_scene`. kept_U: which units, in the order of `per_scene.units`; some and not
    all. Three errors are added by their squares (Zou & Donner, Stat. Med. 2008, 27:1693): those of the units on either
    side, with Wilson's interval for the variance of their AUCs, and that of the models. The last is the variance by the
    jackknife over pairs, less what it would be if models erred on each unit by itself: that shows between units too,
    and would count twice (Cameron, Gelbach & Miller, JBES 2011, 29:238). benchmarks/per_scene.md measures how often the
    interval includes the truth. Below three pairs there is none. Raises MiaSegError as `per_scene.divided` does.
    """
    inside_MN, units_N = divided(inside_MN, groups)
    weights_U = np.where(kept_U, 1 / kept_U.sum(), -1 / (~kept_U).sum())

    def of_units(scores_MN: Floats, members_MN: Booleans) -> Floats:
        auc_U = areas(*united(scores_MN, members_MN, units_N))
        return np.append(auc_U, auc_U @ weights_U)

    auc_U = of_units(estimate(np.arange(len(inside_MN)), inside_MN), inside_MN)[:-1]
    value, pairs = float(auc_U[kept_U].mean() - auc_U[~kept_U].mean()), len(inside_MN) // 2
    if pairs < 3:
        return Bounded(value, None, None)
    *each_U, together = over_pairs(estimate, inside_MN, of_units)
    models = float(stdtrit(pairs - 1, 1 - TAIL)) * max(together - weights_U**2 @ each_U, 0.0) ** 0.5
    mine, others = _of_units(auc_U[kept_U]), _of_units(auc_U[~kept_U])
    below = np.hypot.reduce([mine[0] - mine[1], others[2] - others[0], models])
    above = np.hypot.reduce([mine[2] - mine[0], others[0] - others[1], models])
    return Bounded(value, value - float(below), value + float(above))


def _of_units(auc_U: Floats) -> tuple[float, float, float]:
    """A mean over units with its interval for other units. A single unit says nothing of how others differ."""
    count, value = len(auc_U), float(auc_U.mean())
    own = bounded(value, (float(auc_U.var(ddof=1)) / count if count > 1 else 0.0,), (count,))
    assert own.low is not None
    assert own.high is not None
    return value, own.low, own.high


def _called(scores_MN: Floats, inside_MN: Booleans) -> tuple[Integers, Integers]:
    return called(rank(scores_MN.ravel(), inside_MN.ravel()))


def _rates(tp: Integers, fp: Integers) -> Floats:
    """The AUC, and the TPR at the last operating point whose FPR is at most each target: [..., 4]."""
    rates = [area_under(tp, fp)]
    for target in TARGETS:
        point = np.count_nonzero(fp <= target * fp[..., -1:] + SLACK, axis=-1, keepdims=True) - 1
        rates.append((np.take_along_axis(tp, point, -1) / tp[..., -1:])[..., 0])
    return np.stack(rates, -1)


def _over_units(scores_MN: Floats, inside_MN: Booleans, units_N: Integers, *, seed: int) -> Floats:
    """The variance of the rates [4] over bootstrap draws of units."""
    count = int(units_N.max()) + 1
    draws_BU = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    passes = again(scores_MN, inside_MN, units_N, draws_BU=draws_BU)
    return np.asarray(np.concatenate([_rates(tp, fp) for tp, fp in passes]).var(0, ddof=1))


def again(
    scores_MN: Floats, inside_MN: Booleans, units_N: Integers, *, draws_BU: Integers
) -> Iterator[tuple[Integers, Integers]]:
    """tp and fp [b, S + 1] of all scores pooled in bootstrap rounds, a few rounds at a time.

    draws_BU: how often each round draws each unit. A unit is drawn with the scores of its scenes by all models.
    """
    ranking, units = rank(scores_MN.ravel(), inside_MN.ravel()), draws_BU.shape[1]
    slots = np.tile(units_N, len(scores_MN))[ranking.order_N]
    both = Groups(np.where(ranking.members_N, slots, slots + units), units, units)
    for draws in np.array_split(draws_BU, -(-len(draws_BU) * scores_MN.size // CELLS)):
        yield called_again(np.hstack([draws, draws]), both, called(ranking))


def _over_pairs(estimate: Estimate, inside_MN: Booleans) -> Floats:
    """The variance of the rates [4] over pairs; NaN below three pairs."""
    if len(inside_MN) < 6:
        return np.full(1 + len(TARGETS), np.nan)
    return over_pairs(estimate, inside_MN, lambda scores_MN, members_MN: _rates(*_called(scores_MN, members_MN)))


def over_pairs(estimate: Estimate, inside_MN: Booleans, rates: Callable[[Floats, Booleans], Floats]) -> Floats:
    """The jackknife variance over pairs, each left out in turn (Efron & Tibshirani 1993, chapter 11).

    rates: a function of scores and memberships [M, N] that returns rates [T]. Returns one variance a rate, [T].
    """
    pairs = np.arange(len(inside_MN)) // 2
    kept = [np.flatnonzero(pairs != pair) for pair in range(pairs[-1] + 1)]
    found_PT = np.stack([rates(estimate(models, inside_MN[models]), inside_MN[models]) for models in kept])
    return np.asarray((len(kept) - 1) * found_PT.var(0))


def bounded(value: float, parts: Sequence[float], counts: Sequence[int]) -> Bounded:
    """A rate and its interval. parts: its variances over units and over pairs; NaN gives no interval.

    counts: the number of units and of pairs.
    """
    total, widest = float(sum(parts)), value * (1 - value)
    if np.isnan(total):
        return Bounded(value, None, None)
    if not total or not widest:  # no variance shows, so the interval is that of so many independent units
        return Bounded(value, *wilson(value, counts[0]))
    freedom = total**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    return Bounded(value, *wilson(value, widest / total, float(stdtrit(freedom, 1 - TAIL))))
