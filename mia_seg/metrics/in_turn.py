"""What a fleet says of its own training: each model plays the victim in turn, and all their scores lie on one scale.

Axes: M models in pairs, N scenes in U units as in `per_scene`; B bootstrap rounds; 4 rates: AUC and three TPRs.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from mia_seg.metrics._ranking import Booleans, Groups, area_under, called, called_again, rank
from mia_seg.metrics.intervals import TAIL, Floats, Integers, wilson
from mia_seg.metrics.membership import NOT_RESOLVABLE, TARGETS
from mia_seg.metrics.per_scene import SLACK, Estimate, divided

DRAWS = 400  # of the bootstrap over units, for a variance
CELLS = 2**21  # counts that are held at once


@dataclass(frozen=True)
class Bounded:
    """A rate with its 95% interval; None where there are too few pairs to tell how models differ."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pooled:
    """All models' scores on one scale. tpr_at_fpr: "not resolvable" where one unit is more than the target."""

    auc: Bounded
    tpr_at_fpr: dict[str, Bounded | str]


def pooled(
    estimate: Estimate, inside_MN: npt.ArrayLike, *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> Pooled:
    """AUC and TPR at FPR 10%, 1% and 0.1% of all M x N scores together; 95% intervals for other scenes and models.

    inside_MN: who trained on what, bool. Two variances are added. That of units comes from a bootstrap that draws units
    with all models' scores. That of pairs comes from a jackknife that leaves a pair out and estimates anew: a model is
    the victim once, and otherwise what others are compared with. Intervals are Wilson's for as many draws as the
    variance is worth, with Student's quantile (Satterthwaite's degrees of freedom); below three pairs there is none.
    How often they hold the truth is in benchmarks/per_scene.md. Raises MiaSegError as `per_scene.divided`.
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


def _called(scores_MN: Floats, inside_MN: Booleans) -> tuple[Integers, Integers]:
    return called(rank(scores_MN.ravel(), inside_MN.ravel()))


def _rates(tp: Integers, fp: Integers) -> Floats:
    """AUC, and the TPR at the largest operating point with an FPR of each target at most: [..., 4]."""
    rates = [area_under(tp, fp)]
    for target in TARGETS:
        point = np.count_nonzero(fp <= target * fp[..., -1:] + SLACK, axis=-1, keepdims=True) - 1
        rates.append((np.take_along_axis(tp, point, -1) / tp[..., -1:])[..., 0])
    return np.stack(rates, -1)


def _over_units(scores_MN: Floats, inside_MN: Booleans, units_N: Integers, *, seed: int) -> Floats:
    """Variance of the rates [4] over draws of the units, each with all its scenes' scores by all models."""
    ranking, count = rank(scores_MN.ravel(), inside_MN.ravel()), int(units_N.max()) + 1
    slots = np.tile(units_N, len(scores_MN))[ranking.order_N]
    both = Groups(np.where(ranking.members_N, slots, slots + count), count, count)
    draws_BU = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    passes = np.array_split(draws_BU, -(-DRAWS * scores_MN.size // CELLS))
    again = (called_again(np.hstack([draws, draws]), both, called(ranking)) for draws in passes)
    return np.asarray(np.concatenate([_rates(tp, fp) for tp, fp in again]).var(0, ddof=1))


def _over_pairs(estimate: Estimate, inside_MN: Booleans) -> Floats:
    """The variance of the rates [4] over pairs; NaN below three."""
    if len(inside_MN) < 6:
        return np.full(1 + len(TARGETS), np.nan)
    return over_pairs(estimate, inside_MN, lambda scores_MN, members_MN: _rates(*_called(scores_MN, members_MN)))


def over_pairs(estimate: Estimate, inside_MN: Booleans, rates: Callable[[Floats, Booleans], Floats]) -> Floats:
    """The jackknife's variance, over pairs left out, of what `rates` makes of scores and memberships [M, N].

    Efron & Tibshirani 1993, chapter 11.
    """
    pairs = np.arange(len(inside_MN)) // 2
    kept = [np.flatnonzero(pairs != pair) for pair in range(pairs[-1] + 1)]
    found_PT = np.stack([rates(estimate(models, inside_MN[models]), inside_MN[models]) for models in kept])
    return np.asarray((len(kept) - 1) * found_PT.var(0))


def bounded(value: float, parts: Sequence[float], counts: Sequence[int]) -> Bounded:
    """The interval of a rate by its variances over units and over pairs, of which there are so many; NaN: none."""
    total, widest = float(sum(parts)), value * (1 - value)
    if np.isnan(total):
        return Bounded(value, None, None)
    if not total or not widest:  # no error shows: as sure as so many units can make it
        return Bounded(value, *wilson(value, counts[0]))
    freedom = total**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    return Bounded(value, *wilson(value, widest / total, float(stdtrit(freedom, 1 - TAIL))))
